"""The front page of a batch: every map as a small picture with its numbers, linked to its page."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gpuvis.page import template

OURS = '<meta name="generator" content="gpuvis">'
HEAD_BYTES = 1 << 18  # of a page, in which its icon is
ICON = re.compile(rb'<link rel="icon" href="(data:image/png;base64,[A-Za-z0-9+/=]+)">')


@dataclass(frozen=True)
class Entry:
    """One map: its page, relative to the front page, and what is told of it."""

    page: Path
    picture: str
    caption: str


def picture_of(page: Path) -> str:
    """Return the small picture that a page holds as its icon; empty if it has none."""
    with page.open("rb") as file:
        found = ICON.search(file.read(HEAD_BYTES))
    return found[1].decode("ascii") if found else ""


def is_ours(path: Path) -> bool:
    """Tell whether a front page may be replaced: there is none yet, or it is one of ours."""
    try:
        return OURS in path.read_text(encoding="utf-8", errors="replace")[:1000]
    except FileNotFoundError:
        return True


def draw(entries: Sequence[Entry], title: str) -> str:
    """Draw the front page."""
    return template.filled("index.html", {"title": html.escape(title), "maps": "\n".join(map(_item, entries))})


def _item(entry: Entry) -> str:
    folder, caption = html.escape(entry.page.parent.as_posix()), html.escape(entry.caption)
    link = html.escape(quote(entry.page.as_posix().encode("utf-8", "surrogateescape")))
    return f'<li><a href="{link}"><img src="{entry.picture}" alt=""><h2>{folder}</h2><p>{caption}</p></a></li>'
