"""Find cache folders by the files in them, and check that these can be read."""

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
    """Check that the two files that every cache has exist and can be read.

    Raises
    ------
    CacheError
        The folder or one of the files is missing or cannot be read.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises where it has no permission
        raise CacheError(f"{folder} is not a folder; expected one with embeddings.pt and metadata.csv")
    missing = []
    for name in (EMBEDDINGS, TABLE):
        try:
            check_readable(folder / name)
        except FileNotFoundError:
            missing.append(name)
        except CacheError:
            _check_permissions(folder)
            raise
    if len(missing) == 2:
        _check_permissions(folder)
        raise CacheError(f"{folder} holds no cache; expected embeddings.pt and metadata.csv in it or in folders below")
    if missing:
        raise CacheError(f"{folder}: {missing[0]} is missing; write the cache again")


def read_info(path: Path) -> dict[str, Any] | None:
    """Return the content of `meta.json`; None if it cannot be read or is no JSON object."""
    try:
        check_ordinary(path)
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return info if isinstance(info, dict) else None


def _check_permissions(folder: Path) -> None:
    """Check that a folder can be listed and entered."""
    try:
        os.scandir(folder).close()
        os.stat(f"{folder}/.")  # noqa: PTH116  Path leaves out the dot
    except OSError as error:
        problem = f"{folder} cannot be read: {error.strerror}"
        raise CacheError(f"{problem}; give yourself the right to list and enter it, or leave it out") from None


def check_readable(path: Path) -> None:
    """Check that a file exists and can be read.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CacheError
        It cannot be read, or is no regular file.
    """
    try:
        check_ordinary(path)
        path.open("rb").close()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror}; make it a readable file") from None


def find(roots: Iterable[Path]) -> Iterator[Path]:
    """Find the cache folders among and below the given folders.

    A folder that holds `embeddings.pt` or `metadata.csv` is a cache. If a root itself holds `embeddings.pt`, nothing
    below it is searched, since there may be a million images. A root without any cache is yielded as well: reading it
    raises the error that explains what is missing.

    Parameters
    ----------
    roots : iterable of Path

    Yields
    ------
    Path
        Each folder once, in the order of the names below each root.
    """
    yielded: set[str] = set()
    for root in roots:
        is_cache = os.path.exists(root / EMBEDDINGS)  # noqa: PTH110  Path.exists raises where it has no permission
        for folder in [root] if is_cache else list(_below(root)) or [root]:
            real = os.path.realpath(folder)
            if real not in yielded:
                yielded.add(real)
                yield folder


def enclosing_cache(path: Path) -> Path:
    """Return the cache folder that contains a file: its nearest parent that holds `embeddings.pt`.

    Raises
    ------
    CacheError
        No parent holds `embeddings.pt`.
    """
    for folder in (path.parent, *Path(os.path.abspath(path.parent)).parents):
        if os.path.exists(folder / EMBEDDINGS):  # noqa: PTH110  Path.exists raises where it has no permission
            return folder
    problem = f"{path} lies in no cache: expected embeddings.pt in its folder or in a folder above, and found none"
    raise CacheError(f"{problem}; put it into the folder of its cache")


def _below(root: Path) -> Iterator[Path]:
    """Yield cache folders below a root: real folders first, then links to folders, then folders that are unreadable."""
    walked: set[str] = set()
    starts: list[Path] = [root]  # grows while it is walked
    unreadable: list[Path] = []
    for start in starts:
        for parent, folders, files in os.walk(start, onerror=lambda error: unreadable.append(Path(error.filename))):
            real = os.path.realpath(parent)
            if real in walked:
                folders.clear()
                continue
            walked.add(real)
            folders.sort()
            starts += [path for path in (Path(parent, name) for name in folders) if path.is_symlink()]
            if EMBEDDINGS in files or TABLE in files:
                yield Path(parent)
    yield from unreadable
