"""Find the images of a cache, and link them relative to the page."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuvis.io.schema import IMAGES
from gpuvis.page.options import URLS

if TYPE_CHECKING:
    from gpuvis.page.thumbnails import Sheets

LOOKED_UP = 100  # images that tell whether they are where they are looked for


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


def folder_of(root: str | None, cache: Path) -> str | None:
    """Return the root that was asked for; else the usual folder, if it is there."""
    usual = str(cache / IMAGES)
    return root if root is not None else usual if os.path.isdir(usual) else None  # noqa: PTH112  Path.is_dir raises


def path_of(root: str | Path, name: str) -> str:
    """Return the path of an image, always below the root: steps up are left out."""
    parts = (part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})
    return "/".join([str(root).rstrip("/"), *parts])


def file_of(root: str | Path, name: str) -> str:
    """Return the path of an image as it is there: accents may be written in another way than in its name."""
    path = path_of(root, name)
    others = [] if name.isascii() else [path_of(root, unicodedata.normalize(form, name)) for form in ("NFC", "NFD")]
    return next(filter(os.path.isfile, (path, *others)), path)


def missing(root: str, names: Sequence[str]) -> str:
    """Say that none of some images is there, and what to do; empty if one is, or nobody can tell."""
    named = list(filter(None, names))
    some = named[:: len(named) // LOOKED_UP + 1]
    if root.startswith(URLS) or not some or any(map(os.path.isfile, (file_of(root, name) for name in some))):
        return ""
    problem = f"no image was found: of {len(some):,} that were looked for the first is {path_of(root, some[0])!r}"
    if os.path.isfile(some[0]):  # noqa: PTH113  Path.is_file raises
        return f"{problem}; file_name is the whole path, so use --image_root /"
    return f"{problem}; name the folder with --image_root that file_name starts from"


def stamp(root: str, names: Sequence[str]) -> str:
    """Return what changes when one of the images does."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(_stamp(file_of(root, name)) if name else b"")
    return digest.hexdigest()


def _stamp(path: str) -> bytes:
    try:
        found = os.stat(path)  # noqa: PTH116  names may be such as no path can have
    except (OSError, ValueError):
        return b"none "
    return f"{found.st_size} {found.st_mtime_ns} ".encode()
