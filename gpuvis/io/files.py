"""Files on disk: write them whole or not at all, lock their folder, check free space."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from secrets import token_hex

from filelock import FileLock, Timeout

from gpuvis.errors import OutputError, OutputExistsError
from gpuvis.signals import stops_deferred

TEMPORARY = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.part", re.DOTALL)
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
logger = logging.getLogger(__name__)
_made: set[Path] = set()  # folders that were not there before; two may be held at once, and go with the last of them
_making = threading.Lock()  # held while folders are made or removed


def sweep(*paths: Path) -> None:
    """Remove what runs that died had begun to write in the place of some files; nobody may be writing them now."""
    for folder in {path.parent for path in paths}:
        names = {path.name for path in paths if path.parent == folder}
        for name in os.listdir(folder):  # noqa: PTH208  many names, of which few become paths
            found = TEMPORARY.fullmatch(name)
            if found and found[1] in names:
                with suppress(OSError):  # a folder of that name is nobody's temporary file
                    (folder / name).unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, and put that file in the place of `path` at the end.

    Nobody can guess its name, and it is a new file, so that nothing is written through a link. A killed run leaves at
    most that file.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.part")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path, needed_bytes: int) -> None:
    """Check that files of so many bytes can be written to a folder, which need not be there yet.

    Raises
    ------
    OutputError
        It is read-only, something else stands in its place, or the disk is full.
    """
    there = _nearest(folder)
    try:
        if not there.is_dir():
            raise OutputError(f"{there} is not a folder, so nothing can be written below it; choose another --out-dir")
        if not _may_write(there):
            raise OutputError(f"{there} is read-only; name a folder that can be written to with --out-dir")
        free = shutil.disk_usage(there).free
    except PermissionError as error:
        raise OutputError(f"{there} cannot be written to: {error.strerror}; choose another --out-dir") from None
    if free < needed_bytes:
        bits, unit = (20, "MiB") if free >> 20 else (10, "KiB")
        shortage = (
            f"{there} has {free >> bits} {unit} free, but the outputs need about {-(-needed_bytes >> bits)} {unit}"
        )
        raise OutputError(f"{shortage}; make room there, or use another --out-dir")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other runs; the lock goes with the process, however that ends.

    The folder is made if it is not there, and removed again if nothing came to lie in it.

    Raises
    ------
    OutputExistsError
        Another run is writing there.
    OutputError
        The folder cannot be written to.
    """
    path = folder / ".gpuvis.lock"
    # Whoever writes last releases it. Where there are no locks, we say so ourselves.
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        with stops_deferred():
            _make(folder)
            _acquire(lock, path)
        yield
    finally:
        try:
            _release(lock, path)
        except KeyboardInterrupt:  # it may have come before the release had begun
            _release(lock, path)
            raise


def _make(folder: Path) -> None:
    try:
        with _making:
            _made.update(parent for parent in (folder, *folder.parents) if not os.path.lexists(parent))
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from None


def _acquire(lock: FileLock, path: Path) -> None:
    """Take the lock, or go on without where there are none."""
    folder, was_there = path.parent, os.path.lexists(path)
    try:
        lock.acquire()
    except Timeout:
        raise OutputExistsError(f"{folder}: another gpuvis is writing maps here; wait until it ends") from None
    except OSError as error:
        if not was_there:
            path.unlink(missing_ok=True)
        if error.errno not in NO_LOCKS:
            what = "cannot be written to" if error.filename else "cannot be locked against other runs"
            advice = "run again, or use another --out-dir"
            raise OutputError(f"{folder} {what}: {error.strerror or error}; {advice}") from None
        logger.warning(
            "%s: this file system has no locks (%s), so let no two runs write here at a time", folder, error.strerror
        )


def _release(lock: FileLock, path: Path) -> None:
    with stops_deferred():
        if lock.is_locked:
            path.unlink(missing_ok=True)  # whoever has it open already notices, and takes a new one
            lock.release()
        with _making, suppress(OSError):
            for parent in takewhile(_made.__contains__, path.parents):
                parent.rmdir()
                _made.discard(parent)


def check_ordinary(path: Path) -> None:
    """Check that a path leads to an ordinary file.

    Raises
    ------
    OSError
        It leads to something else, or nowhere.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
