"""Compute fingerprints of caches and files, without reading all of a 100 GB tensor.

A `.pt` file holds the CRC-32 of each of its records. Its writer may switch that off, so a fingerprint also includes a
hash of blocks sampled over the whole file. Small files, and files in torch's older format, which is no zip archive,
are hashed completely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpuvis.io import folders, pt
from gpuvis.io.files import check_ordinary
from gpuvis.io.schema import EMBEDDINGS, INFO, LABELS, TABLE

WHOLE_BYTES = 64 << 20  # files up to this size are hashed completely
BLOCK_BYTES = 64 << 10
BLOCKS = 256  # blocks sampled from a larger file


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    """
    check_ordinary(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_cache(folder: Path) -> dict[str, Any]:
    """Return the fingerprint of a cache.

    Returns
    -------
    dict
        For each file of the cache its fingerprint, ready for JSON; None for `labels.pt` if there is none.

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    """
    labels, info = folder / LABELS, folders.read_info(folder / INFO) or {}
    return {
        EMBEDDINGS: of_tensor(folder / EMBEDDINGS),
        TABLE: {"sha256": of_file(folder / TABLE)},
        LABELS: of_tensor(labels) if labels.exists() else None,
        INFO: {key: info.get(key) for key in ("num_samples", "dim")},  # no other key affects a map
    }


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the names of the files in which two fingerprints differ; only files of the first are compared."""
    return [name for name, value in before.items() if value != now.get(name)]


def of_tensor(path: Path) -> dict[str, Any]:
    """Return the fingerprint of a `.pt` file, ready for JSON.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    """
    check_ordinary(path)
    size = path.stat().st_size
    records = pt.records(path) if size > WHOLE_BYTES else None
    if records is None:
        return {"bytes": size, "sha256": of_file(path)}
    crcs = {name: f"{record.CRC:08x}" for name, record in records.items()}
    return {"bytes": size, "crc32": crcs, "sampled_sha256": _sampled_sha256(path, size)}


def _sampled_sha256(path: Path, size: int) -> str:
    """Hash blocks spread evenly over a file, the first and the last included."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for k in range(BLOCKS):
            file.seek((size - BLOCK_BYTES) * k // (BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def stamp(paths: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    """Return the inode, size and modification time of each existing file, to notice when it is written again."""
    stamps = []
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            stamps.append((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return stamps


def stamp_of_cache(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return the stamp of the files of a cache."""
    return stamp(folder / name for name in (EMBEDDINGS, TABLE, LABELS, INFO))
