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

MAX_LOOKED_UP = 100  # most images that are looked up to find out whether their folder is right


@dataclass(frozen=True, eq=False)
class Images:
    """Where a page finds the images.

    Attributes
    ----------
    link : str or None
        Link to the folder of the images, ending with a slash; None if it is unknown.
    sheets : Sheets or None
        Thumbnails, which the page includes.
    """

    link: str | None
    sheets: Sheets | None = None


def link(root: str | Path, page: Path) -> str:
    """Return the link from a page to the root of the images: relative if the root is a folder on the same drive.

    Parameters
    ----------
    root : str or Path
        Folder or URL.
    page : Path
        Path of the page.
    """
    if str(root).startswith(URLS):
        return str(root).rstrip("/") + "/"
    try:
        relative = os.path.relpath(root, page.parent)
    except ValueError:  # on another drive
        return Path(os.path.abspath(root)).as_uri() + "/"
    return quote(os.fsencode(Path(relative).as_posix())) + "/"


def folder_of(root: str | None, cache: Path) -> str | None:
    """Return the root of the images: `root`, or else the folder `images` of the cache; None if that does not exist."""
    usual = str(cache / IMAGES)
    return root if root is not None else usual if os.path.isdir(usual) else None  # noqa: PTH112  Path.is_dir raises


def path_of(root: str | Path, name: str) -> str:
    """Return the path of an image. It is always below the root: parts such as ".." are dropped from the name."""
    parts = (part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})
    return "/".join([str(root).rstrip("/"), *parts])


def file_of(root: str | Path, name: str) -> str:
    """Return the path of an image on disk, even if its accents are in another Unicode form than in `name`."""
    path = path_of(root, name)
    variants = [] if name.isascii() else [path_of(root, unicodedata.normalize(form, name)) for form in ("NFC", "NFD")]
    return next(filter(os.path.isfile, (path, *variants)), path)


def missing(root: str, names: Sequence[str]) -> str:
    """Check whether a sample of the images exists.

    Returns
    -------
    str
        A message with advice if none of them exists; else empty. Images at a URL are not looked up.
    """
    named = list(filter(None, names))
    sample = named[:: len(named) // MAX_LOOKED_UP + 1]
    if root.startswith(URLS) or not sample or any(map(os.path.isfile, (file_of(root, name) for name in sample))):
        return ""
    first = sample[0]
    problem = f"no image was found: of {len(sample):,} that were looked for the first is {path_of(root, first)!r}"
    if os.path.isfile(first):  # noqa: PTH113  Path.is_file raises
        return f"{problem}; file_name is the whole path, so use --image_root /"
    return f"{problem}; name the folder with --image_root that file_name starts from"


def stamp(root: str, names: Sequence[str]) -> str:
    """Return a hash of the sizes and modification times of the images, to notice when an image changes."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(_stamp(file_of(root, name)) if name else b"")
    return digest.hexdigest()


def _stamp(path: str) -> bytes:
    try:
        status = os.stat(path)  # noqa: PTH116  the name may not be a valid path
    except (OSError, ValueError):
        return b"none "
    return f"{status.st_size} {status.st_mtime_ns} ".encode()
