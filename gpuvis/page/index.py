"""Build the front page of several folders: a small picture of every map, linked to its page."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from gpuvis.io.files import check_ordinary
from gpuvis.page import palette, template
from gpuvis.page.options import GENERATOR

MARK = '<meta name="description" content="Maps of several folders, by gpuvis">'  # in every front page
HEAD_BYTES = 1 << 18  # the start of a page, which holds its icon
LINK = re.compile(rb'<li><a href="([^"]+)">')
ICON = re.compile(rb'<link rel="icon" href="(data:image/png;base64,[A-Za-z0-9+/=]+)">')


@dataclass(frozen=True)
class Entry:
    """One map on the front page.

    Attributes
    ----------
    page : Path
        Path of its page, relative to the front page.
    picture : str
        A small picture of the map, as a data URL; may be empty.
    caption : str
    """

    page: Path
    picture: str
    caption: str


def picture_of(page: Path) -> str:
    """Return the icon of a page as a data URL; empty if it has none."""
    with page.open("rb") as file:
        match = ICON.search(file.read(HEAD_BYTES))
    return match[1].decode("ascii") if match else ""


def is_ours(path: Path) -> bool:
    """Return whether a front page may be written to a path: the file does not exist, or is a front page by gpuvis."""
    try:
        check_ordinary(path)
        return MARK in path.read_text(encoding="utf-8", errors="replace")[:1000]
    except FileNotFoundError:
        return True


def links(path: Path) -> list[str]:
    """Return the paths of the pages that a front page links to, relative to it; empty if it does not exist."""
    addresses = LINK.findall(path.read_bytes()) if path.exists() else []
    return [os.fsdecode(unquote_to_bytes(html.unescape(address.decode("ascii")))) for address in addresses]


def draw(entries: Sequence[Entry], title: str) -> str:
    """Return the HTML of the front page, with the maps in the order of their paths."""
    by_path = {entry.page.as_posix(): entry for entry in entries}
    items = (_item(by_path[path]) for path in palette.in_order(by_path))
    return template.fill(
        "index.html", {"generator": GENERATOR + MARK, "title": html.escape(title), "maps": "\n".join(items)}
    )


def _item(entry: Entry) -> str:
    folder, caption = html.escape(entry.page.parent.as_posix()), html.escape(entry.caption)
    link = html.escape(quote(os.fsencode(entry.page.as_posix())))
    return f'<li><a href="{link}"><img src="{entry.picture}" alt=""><h2>{folder}</h2><p>{caption}</p></a></li>'
