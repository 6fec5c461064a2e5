"""A `.pt` file as what it is on disk: a zip archive whose directory keeps a CRC-32 of each record.

The writer may switch the CRC-32 off, and then it reads 0. torch itself checks none of them, so that a flipped byte
would load silently. Files in torch's older format are no zip archives.
"""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from pathlib import Path

DAMAGE = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError),  # as zipfile has it, where bits are flipped
    *(UnicodeDecodeError, struct.error, ValueError, zlib.error),
)


def records(path: Path) -> dict[str, zipfile.ZipInfo] | None:
    """Return the records of a file, named without their common folder; None if its directory cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.partition("/")[2]: info for info in archive.infolist()}
    except DAMAGE:
        return None


def damaged_record(path: Path) -> str | None:
    """Return the name of a damaged record, other than the tensor's bytes; None if there is none to be found."""
    found = records(path) or {}
    if not any(info.CRC for info in found.values()):
        return None
    with zipfile.ZipFile(path) as archive:
        for name, info in found.items():
            if not name.startswith("data/"):
                try:
                    archive.read(info)
                except DAMAGE:
                    return name
    return None


def content(path: Path, name: str) -> bytes:
    """Return the bytes of a record.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    record = (records(path) or {})[name]
    with zipfile.ZipFile(path) as archive:
        return archive.read(record)


def stored_at(path: Path, name: str) -> int:
    """Return where the bytes of a record start in the file.

    Raises
    ------
    KeyError
        There is none of this name.
    ValueError
        It is compressed.
    """
    record = (records(path) or {})[name]
    if record.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with path.open("rb") as file:
        file.seek(record.header_offset + 26)  # of the lengths of two fields, after which the bytes come
        lengths = struct.unpack("<HH", file.read(4))
    return record.header_offset + 30 + int(sum(lengths))


def storage_crc(path: Path) -> int | None:
    """Return the CRC-32 that a file promises for the bytes of its one tensor, None where it promises none."""
    found = records(path) or {}
    data = [info.CRC for name, info in found.items() if name.startswith("data/")]
    if len(data) != 1 or not any(info.CRC for info in found.values()):
        return None
    return data[0] if byte_order(path) == sys.byteorder else None  # else torch turns the bytes round


def byte_order(path: Path) -> str:
    """Return the byte order of a file's tensors: little, big, or damaged."""
    try:
        return content(path, "byteorder").decode("ascii")
    except KeyError:
        return "little"  # before torch 2.1
    except DAMAGE:
        return "damaged"
