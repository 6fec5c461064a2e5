"""A `.pt` file as what it is on disk: a zip archive whose directory keeps a CRC-32 of each record.

The writer may switch the CRC-32 off, and then it reads 0. torch itself checks none of them, so that a flipped byte
would load silently. Files in torch's older format are no zip archives.
"""

from __future__ import annotations

import errno
import struct
import sys
import zipfile
import zlib
from pathlib import Path

DAMAGE = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError),  # as zipfile has it, where bits are flipped
    *(UnicodeDecodeError, struct.error, ValueError, zlib.error),
)

MAGIC = b"PK\x03\x04"  # how an archive starts
A_FOLDER = 0x10  # of the attributes that MS-DOS had
MOST_RECORDS = 1000
ASIDE_BYTES = 1 << 20


def records(path: Path) -> dict[str, zipfile.ZipInfo] | None:
    """Return the records of a file, named without their common folder; None if its directory cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            before = any(info.header_offset < 0 for info in found.values())  # the start of the file, which was cut off
            return None if before else found
    except DAMAGE:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None  # a place before the start of the file


def fault(path: Path) -> str:
    """Say why a file is no archive as `torch.save` writes it of one tensor; empty if it is, or is no archive at all.

    Nothing large is read: what is hostile unpacks to far more than it is.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    found = records(path)
    if found is None:
        with path.open("rb") as file:
            an_archive = file.read(4) == MAGIC or zipfile.is_zipfile(path)  # its start, or its end
        return "is truncated or corrupt: it has no directory of its records" if an_archive else ""
    aside = {name: info for name, info in found.items() if not name.startswith("data/")}
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > min(MOST_RECORDS, len(found)):
            return f"has {len(archive.infolist()):,} records, or two of one name; expected those of one tensor"
        if told := next(filter(None, map(_fault_of_record, found.values())), ""):
            return told
        if (size := sum(info.file_size for info in aside.values())) > ASIDE_BYTES:
            return f"has {size:,} bytes in records that hold no tensor; expected some hundred"
        checked = aside if any(info.CRC for info in found.values()) else {}
        for name, info in checked.items():
            try:
                archive.read(info)
            except DAMAGE:
                return f"is damaged: the CRC-32 of its record {name!r} is wrong"
    return ""


def _fault_of_record(info: zipfile.ZipInfo) -> str:
    name = info.filename.partition("/")[2]
    if info.compress_type != zipfile.ZIP_STORED:
        return f"has a compressed record, {name!r}, as torch.save does not write them"
    if info.external_attr & A_FOLDER:  # torch reads nothing of it, and gives what the memory held before
        return f"is damaged: its record {name!r} is marked as a folder"
    return ""


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
