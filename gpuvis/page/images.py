"""Where the images are, as a page finds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gpuvis.folders import IMAGES
from gpuvis.page.thumbnails import Sheets
from gpuvis.pages import URLS


@dataclass(frozen=True, eq=False)
class Images:
    """Where the images are.

    Attributes
    ----------
    link : str or None
        What a page puts before a file's name, ending with a slash; None: it knows no place.
    sheets : Sheets or None
        Small ones, which the page holds.
    """

    link: str | None
    sheets: Sheets | None = None


def link(root: str | Path, page: Path) -> str:
    """Return the link from a page to the root of the images: relative, where it is a folder and that is possible."""
    if str(root).startswith(URLS):
        return str(root).rstrip("/") + "/"
    try:
        way = os.path.relpath(root, page.parent)
    except ValueError:  # another drive
        return Path(os.path.abspath(root)).as_uri() + "/"
    return quote(os.fsencode(Path(way).as_posix())) + "/"


def folder_of(root: str | None, cache: Path, names: list[str]) -> str | None:
    """Return the root that was asked for; else the usual folder, if the first file that is named lies there."""
    if root is not None:
        return root
    first = next(filter(None, names), "")
    usual = cache / IMAGES
    found = os.path.isfile(path_of(usual, first))  # noqa: PTH113  Path.is_file raises for names that cannot be
    return str(usual) if first and found else None


def path_of(root: str | Path, name: str) -> str:
    """Return the path of an image, always below the root: steps up are left out."""
    parts = (part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})
    return "/".join([str(root), *parts])
