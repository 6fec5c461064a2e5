"""What a cache folder holds, told without reading a 100 GB tensor through.

A `.pt` file is a zip archive whose directory keeps a CRC-32 of each record; the writer may switch that off, and
then it reads 0. So the hash of blocks sampled over the whole file stands beside it. Small files, and those in
the older format that is no zip archive, are hashed whole.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any

WHOLE_BYTES = 64 << 20
BLOCK_BYTES = 64 << 10
BLOCKS = 256

INPUTS = ("embeddings.pt", "metadata.csv")


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_cache(folder: Path) -> dict[str, Any]:
    """Return what tells the content of one cache from that of another, ready for JSON.

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    """
    tensor, table = (folder / name for name in INPUTS)
    return {tensor.name: _of_tensor(tensor), table.name: {"sha256": of_file(table)}}


def _of_tensor(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    records = zip_records(path) if size > WHOLE_BYTES else None
    if records is None:
        return {"bytes": size, "sha256": of_file(path)}
    crcs = {name: f"{record.CRC:08x}" for name, record in records.items()}
    return {"bytes": size, "crc32": crcs, "sampled_sha256": _sampled(path, size)}


def _sampled(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for k in range(BLOCKS):
            file.seek((size - BLOCK_BYTES) * k // (BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def zip_records(path: Path) -> dict[str, zipfile.ZipInfo] | None:
    """Return the records of a `.pt` file, named without their common folder; None if it is no zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.partition("/")[2]: info for info in archive.infolist()}
    except zipfile.BadZipFile:
        return None


def storage_crc(path: Path) -> int | None:
    """Return the CRC-32 that a `.pt` file promises for the bytes of its one tensor, None where it promises none."""
    records = zip_records(path)
    if not records or not any(info.CRC for info in records.values()):
        return None
    if _byte_order(path, records) != sys.byteorder:
        return None  # torch turns the bytes round as it reads them
    data = [info.CRC for name, info in records.items() if name.startswith("data/")]
    return data[0] if len(data) == 1 else None


def _byte_order(path: Path, records: dict[str, zipfile.ZipInfo]) -> str:
    if "byteorder" not in records:
        return "little"  # before torch 2.1
    with zipfile.ZipFile(path) as archive:
        return archive.read(records["byteorder"]).decode("ascii", "replace")
