"""Fingerprints of a cache and of files, without reading a 100 GB tensor through.

The CRC-32 that a `.pt` file keeps of its records may be switched off, so the hash of blocks sampled over the whole
file stands beside it. Small files, and those in the older format that is no zip archive, are hashed whole.
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

WHOLE_BYTES = 64 << 20
BLOCK_BYTES = 64 << 10
BLOCKS = 256


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    check_ordinary(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_cache(folder: Path) -> dict[str, Any]:
    """Return what tells the content of one cache from that of another, ready for JSON.

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
        INFO: {key: info.get(key) for key in ("num_samples", "dim")},  # what it is checked for
    }


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the files in which two fingerprints differ; the first, of an earlier run, may tell of fewer."""
    return [name for name, value in before.items() if value != now.get(name)]


def of_tensor(path: Path) -> dict[str, Any]:
    """Return what tells one `.pt` file from another."""
    check_ordinary(path)
    size = path.stat().st_size
    records = pt.records(path) if size > WHOLE_BYTES else None
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


def stamp(paths: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    """Return what changes when one of some files comes, goes, is replaced or is written over."""
    seen = []
    for path in paths:
        with suppress(OSError):
            at = path.stat()
            seen.append((str(path), at.st_ino, at.st_size, at.st_mtime_ns))
    return seen


def stamp_of_cache(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return the stamp of the files of a cache."""
    return stamp(folder / name for name in (EMBEDDINGS, TABLE, LABELS, INFO))
