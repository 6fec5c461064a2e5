"""Read a cache (a folder with embeddings.pt and metadata.csv), and verify its values."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuvis import arrays
from gpuvis.errors import CacheError, DataError
from gpuvis.io import folders, pt, table
from gpuvis.io.agreement import check_embeddings, check_info, check_labels, check_rows, flat_labels
from gpuvis.io.schema import EMBEDDINGS, FILE_NAME, INFO, LABELS, TABLE

if TYPE_CHECKING:
    import pandas as pd
    import torch


class VerifiedCache(NamedTuple):
    """The result of `Cache.verify`.

    Attributes
    ----------
    largest : float
        The largest absolute value of the embeddings.
    cache : Cache
        The cache, with notes on its values.
    """

    largest: float
    cache: Cache


@dataclass(frozen=True, eq=False)
class Head:
    """Everything in a cache folder but the values of its embeddings, checked.

    Attributes
    ----------
    shape : tuple of int
        (N, D), of the embeddings.
    table, labels, info, notes
        As in `Cache`.
    """

    shape: tuple[int, ...]
    table: pd.DataFrame
    labels: torch.Tensor | np.ndarray | None
    info: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cache:
    """One cache folder, read and checked.

    Attributes
    ----------
    folder : Path
        The folder it was read from.
    embeddings : torch.Tensor or ndarray of shape (N, D)
        The values in the floating-point type of the file. A large file is memory-mapped if its format allows that.
    table : pandas.DataFrame with N rows
        `metadata.csv`, every column as strings.
    labels : torch.Tensor or ndarray of shape (N,), int64, or None
        `labels.pt`; None if there is no such file.
    info : dict
        `meta.json`; empty if there is no such file.
    notes : tuple of str
        Anything unusual that is not an error.
    """

    folder: Path
    embeddings: torch.Tensor | np.ndarray
    table: pd.DataFrame
    labels: torch.Tensor | np.ndarray | None
    info: dict[str, Any]
    notes: tuple[str, ...]

    def verify(self, go_on: Callable[[], None] = lambda: None) -> VerifiedCache:
        """Read every value once; check that all are finite, and that the file is undamaged.

        Parameters
        ----------
        go_on : callable, optional
            Called before each block of rows. To end the reading, it raises an error.

        Returns
        -------
        VerifiedCache
            The largest absolute value, and the cache with notes on its values.

        Raises
        ------
        CacheError
            A row holds NaN or Inf, rows differ by less than float32 can represent, or the file's CRC-32 does not match
            its content.
        """
        largest, notes = verify_values(self, pt.storage_crc(self.folder / EMBEDDINGS), go_on)
        cache = replace(self, notes=(*self.notes, *(f"{EMBEDDINGS}: {note}" for note in notes)))
        return VerifiedCache(largest, cache)


def verify_values(cache: Cache, expected_crc: int | None, go_on: Callable[[], None]) -> tuple[float, list[str]]:
    """Read every value of the embeddings once, and check them.

    Parameters
    ----------
    cache : Cache
    expected_crc : int or None
        CRC-32 of the bytes; None: it is not checked.
    go_on : callable
        Called before each block of rows. To end the reading, it raises an error.

    Returns
    -------
    largest : float
        The largest absolute value.
    notes : list of str
        Unusual values.

    Raises
    ------
    CacheError
        A value is not finite, or the CRC-32 differs.
    """
    path, embeddings = cache.folder / EMBEDDINGS, cache.embeddings
    storage, crc, start_byte, scan = pt.storage(embeddings), 0, 0, arrays.ValueScan()
    for start, block in arrays.blocks(embeddings):
        go_on()
        scan.add(block)
        # If the tensor fills its storage, these are the bytes of the block.
        end_byte = len(storage) * (start + len(block)) // len(embeddings)
        if expected_crc is not None:
            crc = zlib.crc32(storage[start_byte:end_byte].data, crc)
        start_byte = end_byte
        pt.release_pages(embeddings)
    _check_crc(path, crc, expected_crc)
    try:
        return scan.check(cache.table.get(FILE_NAME))
    except DataError as error:
        raise CacheError(f"{path} {error}") from None


def _check_crc(path: Path, crc: int, expected: int | None) -> None:
    if expected is not None and crc != expected:
        raise CacheError(
            f"{path} is damaged: its CRC-32 is {crc:08x}, but {expected:08x} was written; "
            "copy it again or write the cache again"
        )


def read_labels(path: Path, read_tensor: Callable[[Path], torch.Tensor | np.ndarray]) -> torch.Tensor | np.ndarray:
    """Read `labels.pt`, and check its CRC-32.

    Parameters
    ----------
    path : Path
    read_tensor : callable
        Reads a `.pt` file.

    Raises
    ------
    CacheError
        The file cannot be read or is damaged.
    """
    folders.check_readable(path)
    labels = read_tensor(path)
    _check_crc(path, zlib.crc32(pt.storage(labels).data), pt.storage_crc(path))
    return labels


def look(folder: Path, rows: pd.DataFrame | None = None) -> Head:
    """Read everything in a cache folder but the values of its embeddings, and check that the parts agree.

    Parameters
    ----------
    folder : Path
    rows : DataFrame, optional
        `metadata.csv`, if it was read before.

    Raises
    ------
    CacheError
        See `read`.
    """
    folders.check_files(folder)
    head = _head(folder, pt.read_mapped(folder / EMBEDDINGS), pt.read, rows)
    # An array goes to another process as plain bytes, a tensor as shared memory.
    return head if head.labels is None else replace(head, labels=np.asarray(head.labels))


def read(
    folder: str | os.PathLike[str],
    read_tensor: Callable[[Path], torch.Tensor | np.ndarray] = pt.load,
    head: Head | None = None,
) -> Cache:
    """Read a cache folder, and check everything but the values of the embeddings, which `Cache.verify` checks.

    Parameters
    ----------
    folder : path
        Holds `embeddings.pt` and `metadata.csv`, perhaps also `labels.pt` and `meta.json`.
    read_tensor : callable, optional
        Reads a `.pt` file, and returns the same values as `gpuvis.io.pt.load`.
    head : Head, optional
        The result of `look`, if the files are still the same: then only the embeddings are read.

    Returns
    -------
    Cache

    Raises
    ------
    CacheError
        A file is missing, damaged, of the wrong shape or type, or the files disagree.

    Examples
    --------
    >>> import numpy as np
    >>> cache = gpuvis.write_cache("cache", np.eye(8, 3, dtype="float32"), {"file_name": list("abcdefgh")})
    >>> gpuvis.read_cache("cache").embeddings.shape
    torch.Size([8, 3])
    """
    folder = Path(folder)
    folders.check_files(folder)
    embeddings = read_tensor(folder / EMBEDDINGS)
    head = head or _head(folder, embeddings, read_tensor)
    if head.shape != tuple(embeddings.shape):
        raise CacheError(f"{folder}: the cache was written again while it was read; run again")
    return Cache(folder, embeddings, head.table, head.labels, head.info, head.notes)


def _head(
    folder: Path,
    embeddings: torch.Tensor | np.ndarray,
    read_tensor: Callable[[Path], torch.Tensor | np.ndarray],
    rows: pd.DataFrame | None = None,
) -> Head:
    """Read everything but the embeddings, and check that all parts agree."""
    check_embeddings(folder / EMBEDDINGS, embeddings)
    rows = table.read(folder / TABLE) if rows is None else rows
    labels = read_labels(folder / LABELS, read_tensor) if (folder / LABELS).exists() else None
    return check_parts(folder, tuple(embeddings.shape), rows, labels, _read_info(folder / INFO))


def check_parts(
    folder: Path,
    shape: tuple[int, ...],
    rows: pd.DataFrame,
    labels: torch.Tensor | np.ndarray | None,
    info: dict[str, Any] | str,
) -> Head:
    """Check that the parts of a cache agree, and return them. If `info` is a string, it says why there is no info."""
    notes = check_rows(folder, shape[0], rows)
    if labels is None:
        notes.append("there is no labels.pt; the labels of metadata.csv are used")
    else:
        labels = flat_labels(folder / LABELS, labels, len(rows))
        notes += check_labels(folder, labels, rows)
    if isinstance(info, str):
        return Head(shape, rows, labels, {}, (*notes, info))
    notes += check_info(folder, info, shape)
    return Head(shape, rows, labels, info, tuple(notes))


def _read_info(path: Path) -> dict[str, Any] | str:
    if not path.exists():
        return "there is no meta.json"
    info = folders.read_info(path)
    return "meta.json cannot be read, so nothing was checked against it" if info is None else info
