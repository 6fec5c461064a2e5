"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


def beside(path: Path) -> Path:
    """Return the temporary path, which a killed run may leave behind."""
    return path.with_name(f".{path.name}.part")


def sweep(*paths: Path) -> None:
    """Remove what a process that died had begun to write in the place of some files."""
    for path in paths:
        beside(path).unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Give a temporary path in the same folder, and put that file in the place of `path` at the end.

    A killed run leaves at most the temporary file, which the next run to write `path` replaces. If the file is shared,
    others may be writing it too, and the temporary path is like no other.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.part") if shared else beside(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
