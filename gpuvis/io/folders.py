"""Find cache folders, and check that their files are there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gpuvis.errors import CacheError
from gpuvis.io.files import check_ordinary
from gpuvis.io.schema import EMBEDDINGS, TABLE


def check_files(folder: Path) -> None:
    """Check that the two files that make a cache are there and can be read.

    Raises
    ------
    CacheError
    """
    if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises where it may not look
        raise CacheError(f"{folder} is not a folder; expected one with embeddings.pt and metadata.csv")
    missing = []
    for name in (EMBEDDINGS, TABLE):
        try:
            check_readable(folder / name)
        except FileNotFoundError:
            missing.append(name)
        except CacheError:
            _check_open(folder)
            raise
    if len(missing) == 2:
        _check_open(folder)
        raise CacheError(f"{folder} holds no cache; expected embeddings.pt and metadata.csv in it or in folders below")
    if missing:
        raise CacheError(f"{folder}: {missing[0]} is missing; write the cache again")


def read_info(path: Path) -> dict[str, Any] | None:
    """Return what `meta.json` holds; None if it cannot be read."""
    try:
        check_ordinary(path)
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return info if isinstance(info, dict) else None


def _check_open(folder: Path) -> None:
    """Check that a folder can be looked into."""
    try:
        os.scandir(folder).close()
        os.stat(f"{folder}/.")  # noqa: PTH116  Path leaves out the dot
    except OSError as error:
        problem = f"{folder} cannot be read: {error.strerror}"
        raise CacheError(f"{problem}; give yourself the right to list and enter it, or leave it out") from None


def check_readable(path: Path) -> None:
    """Check that a file is there and can be read.

    Raises
    ------
    FileNotFoundError
    CacheError
    """
    try:
        check_ordinary(path)
        path.open("rb").close()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror}; make it a readable file") from None


def find(roots: Iterable[Path]) -> Iterator[Path]:
    """Find the cache folders among and below the given folders, each once, in the order of their names.

    A folder that holds `embeddings.pt` or `metadata.csv` is a cache. A root with `embeddings.pt` stands for itself
    alone: below it there may be a million images to walk through. A root without any cache is given as it is: reading
    it tells what is wrong.
    """
    seen: set[str] = set()
    for root in roots:
        whole = os.path.exists(root / EMBEDDINGS)  # noqa: PTH110  Path.exists raises where it may not look
        for folder in [root] if whole else list(_below(root)) or [root]:
            real = os.path.realpath(folder)
            if real not in seen:
                seen.add(real)
                yield folder


def above(path: Path) -> Path:
    """Return the folder of the cache that a file lies in or below: the nearest that holds `embeddings.pt`.

    Raises
    ------
    CacheError
    """
    for folder in (path.parent, *Path(os.path.abspath(path.parent)).parents):
        if os.path.exists(folder / EMBEDDINGS):  # noqa: PTH110  Path.exists raises where it may not look
            return folder
    problem = f"{path} lies in no cache: expected embeddings.pt beside it or in a folder above, and found none"
    raise CacheError(f"{problem}; put it into the folder of its cache")


def _below(root: Path) -> Iterator[Path]:
    """Walk through real folders first and through links to folders after them, each once."""
    walked: set[str] = set()
    todo: list[Path] = [root]
    unreadable: list[Path] = []
    for start in todo:
        for parent, folders, files in os.walk(start, onerror=lambda error: unreadable.append(Path(error.filename))):
            real = os.path.realpath(parent)
            if real in walked:
                folders.clear()
                continue
            walked.add(real)
            folders.sort()
            todo += [path for path in (Path(parent, name) for name in folders) if path.is_symlink()]
            if EMBEDDINGS in files or TABLE in files:
                yield Path(parent)
    yield from unreadable
