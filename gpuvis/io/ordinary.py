"""Ordinary files: a pipe or a device in the place of one would be waited for, for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def check(path: Path) -> None:
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
