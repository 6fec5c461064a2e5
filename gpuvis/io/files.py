"""Write files completely or not at all, lock a folder, and check that it can be written to."""

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

from gpuvis.errors import InUseError, OutputError
from gpuvis.signals import stops_deferred

LOCK = ".gpuvis.lock"
TEMPORARY = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.part", re.DOTALL)  # names of temporary files
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}  # errors of file systems without locks
logger = logging.getLogger(__name__)
_created: set[Path] = set()  # folders created by `locked`; two locked folders may share some of them
_creating = threading.Lock()  # held while folders are created or removed


def sweep(*paths: Path) -> None:
    """Remove the temporary files that killed runs left behind for these paths. No other run may be writing them."""
    for folder in {path.parent for path in paths}:
        names = {path.name for path in paths if path.parent == folder}
        for name in os.listdir(folder):  # noqa: PTH208  a Path for each of many names would be slow
            match = TEMPORARY.fullmatch(name)
            if match and match[1] in names:
                with suppress(OSError):  # a folder with such a name is not removed
                    (folder / name).unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the same folder, which replaces `path` when the block ends without error.

    The file is new and its name random, so nothing is written through a link. A killed run leaves at most this file.
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
    """Check that files can be written to a folder.

    Parameters
    ----------
    folder : Path
        Need not exist yet.
    needed_bytes : int
        Total size of the files.

    Raises
    ------
    OutputError
        The folder is read-only, a file has its name, or the disk is full.
    """
    existing = _nearest_existing(folder)
    try:
        if not existing.is_dir():
            raise OutputError(
                f"{existing} is not a folder, so nothing can be written below it; choose another --out-dir"
            )
        if not _may_write(existing):
            raise OutputError(f"{existing} is read-only; name a folder that can be written to with --out-dir")
        free = shutil.disk_usage(existing).free
    except PermissionError as error:
        raise OutputError(f"{existing} cannot be written to: {error.strerror}; choose another --out-dir") from None
    if free < needed_bytes:
        bits, unit = (20, "MiB") if free >> 20 else (10, "KiB")
        shortage = (
            f"{existing} has {free >> bits} {unit} free, but the outputs need about {-(-needed_bytes >> bits)} {unit}"
        )
        raise OutputError(f"{shortage}; make room there, or use another --out-dir")


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Lock a folder against other runs. The lock ends with the process, however that ends.

    The folder is created if it does not exist, and removed at the end if it is empty then.

    Parameters
    ----------
    folder : Path
    patience : float, default=0.0
        Seconds to wait if another run is writing there.

    Raises
    ------
    InUseError
        Another run is writing there.
    OutputError
        The folder cannot be written to.
    """
    path = folder / LOCK
    # Another thread may release the lock. A file system without locks is reported by `_acquire`.
    lock = _lock(path, patience)
    try:
        with stops_deferred():
            _create(folder)
            _acquire(lock, path)
        yield
    finally:
        try:
            _release(lock, path)
        except KeyboardInterrupt:  # it may have come before the release started
            _release(lock, path)
            raise


def _lock(path: Path, patience: float = 0.0) -> FileLock:
    return FileLock(path, timeout=patience, thread_local=False, fallback_to_soft=False)


@contextmanager
def token(folder: Path) -> Iterator[Path | None]:
    """Yield a new file in a folder, or in its nearest parent that exists, which is locked as far as locks go there.

    A process on another machine that sees the file, and that it is locked, has the same folder and respects its locks.
    Nothing that a lookup has found there before can hide it, since its name is random. None: no file can be written.
    """
    path = _nearest_existing(folder) / f".{LOCK}.{token_hex(4)}.part"
    try:
        path.touch(exist_ok=False)
    except OSError:
        yield None
        return
    lock = _lock(path)
    try:
        with suppress(OSError):
            lock.acquire()
        yield path
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def is_locked(path: Path) -> bool:
    """Tell whether another process has locked a file, which stays as it is."""
    lock = _lock(path)
    try:
        lock.acquire()
    except (Timeout, OSError) as error:
        return isinstance(error, Timeout)
    lock.release()
    return False


def _create(folder: Path) -> None:
    try:
        with _creating:
            _created.update(parent for parent in (folder, *folder.parents) if not os.path.lexists(parent))
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from None


def _acquire(lock: FileLock, path: Path) -> None:
    """Take the lock; on a file system without locks, warn and go on without it."""
    folder, existed = path.parent, os.path.lexists(path)
    try:
        lock.acquire()
    except Timeout:
        raise InUseError(f"{folder}: another gpuvis is writing maps here; wait until it ends") from None
    except OSError as error:
        if not existed:
            path.unlink(missing_ok=True)
        if error.errno not in NO_LOCKS:
            problem = "cannot be written to" if error.filename else "cannot be locked against other runs"
            advice = "run again, or use another --out-dir"
            raise OutputError(f"{folder} {problem}: {error.strerror or error}; {advice}") from None
        logger.warning(
            "%s: this file system has no locks (%s), so let no two runs write here at a time", folder, error.strerror
        )


def _release(lock: FileLock, path: Path) -> None:
    with stops_deferred():
        if lock.is_locked:
            path.unlink(missing_ok=True)  # a run that has the lock file open notices, and creates a new one
            lock.release()
        with _creating, suppress(OSError):
            for parent in takewhile(_created.__contains__, path.parents):
                parent.rmdir()
                _created.discard(parent)


def check_ordinary(path: Path) -> None:
    """Check that a path leads to a regular file, not to a folder, a pipe or a device.

    Raises
    ------
    OSError
        It leads to something else, or does not exist.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
