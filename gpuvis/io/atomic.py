"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

TEMPORARY = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.part", re.DOTALL)


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
