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

DAMAGE = (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, struct.error, ValueError, EOFError, zlib.error)


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


def storage_crc(path: Path) -> int | None:
    """Return the CRC-32 that a file promises for the bytes of its one tensor, None where it promises none."""
    found = records(path) or {}
    data = [info.CRC for name, info in found.items() if name.startswith("data/")]
    if len(data) != 1 or not any(info.CRC for info in found.values()):
        return None
    return data[0] if _byte_order(path, found) == sys.byteorder else None  # else torch turns the bytes round


def _byte_order(path: Path, found: dict[str, zipfile.ZipInfo]) -> str:
    if "byteorder" not in found:
        return "little"  # before torch 2.1
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(found["byteorder"]).decode("ascii")
    except DAMAGE:
        return "damaged"
