"""The cache folder: read it, check it, write it."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import arrays
from gpuvis.errors import CacheError, DataError, OutputError
from gpuvis.io import agreement, folders, pt, table
from gpuvis.io.files import replacing
from gpuvis.io.folders import COLUMNS, EMBEDDINGS, INFO, LABELS, TABLE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

NAME = COLUMNS[0]


@dataclass(frozen=True, eq=False)
class Cache:
    """One cache folder, read and checked.

    Attributes
    ----------
    folder : Path
        Where it lies.
    embeddings : torch.Tensor or ndarray of shape (N, D)
        In the file's own floating-point type, a large file memory-mapped where the format allows it.
    table : pandas.DataFrame with N rows
        `metadata.csv`, every column as strings.
    labels : torch.Tensor or ndarray of shape (N,), int64, or None
        `labels.pt`, where there is one.
    info : dict
        `meta.json`; empty where there is none.
    notes : tuple of str
        What is unusual, but no error.
    """

    folder: Path
    embeddings: torch.Tensor | np.ndarray
    table: pd.DataFrame
    labels: torch.Tensor | np.ndarray | None
    info: dict[str, Any]
    notes: tuple[str, ...]

    def verify(self, go_on: Callable[[], None] = lambda: None) -> tuple[float, Cache]:
        """Read every value once: it has to be finite, and the bytes those that were written.

        `go_on` is called before each block of rows; what it raises ends the reading.

        Returns
        -------
        tuple
            The largest value in size, and the cache with notes on its values.

        Raises
        ------
        CacheError
            A row holds NaN or Inf, rows differ by less than float32 can tell, or the file's CRC-32 does not match its
            content.
        """
        largest, notes = _verify(self, pt.storage_crc(self.folder / EMBEDDINGS), go_on)
        return largest, replace(self, notes=(*self.notes, *(f"{EMBEDDINGS}: {note}" for note in notes)))


def _verify(cache: Cache, expected: int | None, go_on: Callable[[], None]) -> tuple[float, list[str]]:
    path, embeddings = cache.folder / EMBEDDINGS, cache.embeddings
    storage, crc, done, seen = pt.storage(embeddings), 0, 0, arrays.Values()
    for start, block in arrays.blocks(embeddings):
        go_on()
        seen.look_at(block)
        end = len(storage) * (start + len(block)) // len(embeddings)  # the same bytes, if the tensor fills its storage
        if expected is not None:
            crc = zlib.crc32(storage[done:end].data, crc)
        done = end
        pt.let_go(embeddings)
    _check_crc(path, crc, expected)
    try:
        return seen.check(cache.table.get(NAME))
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

    Raises
    ------
    CacheError
    """
    folders.check_readable(path)
    labels = read_tensor(path)
    _check_crc(path, zlib.crc32(pt.storage(labels).data), pt.storage_crc(path))
    return labels


def read(
    folder: str | os.PathLike[str],
    read_table: Callable[[Path], pd.DataFrame] = table.read,
    read_tensor: Callable[[Path], torch.Tensor | np.ndarray] = pt.load,
) -> Cache:
    """Read a cache folder and check all but the values themselves (`Cache.verify` does that).

    `read_table` reads `metadata.csv`, `read_tensor` the tensors; others than the usual have to give the same values.

    Raises
    ------
    CacheError
        A file is missing, damaged, of the wrong shape or type, or the files disagree.
    """
    folder = Path(folder)
    folders.check_files(folder)
    embeddings = read_tensor(folder / EMBEDDINGS)
    agreement.check_embeddings(folder / EMBEDDINGS, embeddings)
    rows = read_table(folder / TABLE)
    labels = read_labels(folder / LABELS, read_tensor) if (folder / LABELS).exists() else None
    return _agreed(folder, embeddings, rows, labels, _read_info(folder / INFO))


def _agreed(
    folder: Path,
    embeddings: torch.Tensor | np.ndarray,
    rows: pd.DataFrame,
    labels: torch.Tensor | np.ndarray | None,
    info: dict[str, Any] | str,
) -> Cache:
    """Put the parts together if they fit. `info` may be a note that says why there is none."""
    notes = agreement.check_rows(folder, embeddings, rows)
    if labels is None:
        notes.append("there is no labels.pt; the labels of metadata.csv are used")
    else:
        labels = agreement.flat_labels(folder / LABELS, labels, len(rows))
        notes += agreement.check_labels(folder, labels, rows)
    if isinstance(info, str):
        return Cache(folder, embeddings, rows, labels, {}, (*notes, info))
    notes += agreement.check_info(folder, info, tuple(embeddings.shape))
    return Cache(folder, embeddings, rows, labels, info, tuple(notes))


def _read_info(path: Path) -> dict[str, Any] | str:
    if not path.exists():
        return "there is no meta.json"
    info = folders.read_info(path)
    return "meta.json cannot be read, so nothing was checked against it" if info is None else info


def write(
    folder: str | os.PathLike[str],
    embeddings: torch.Tensor | np.ndarray,
    rows: pd.DataFrame | Mapping[str, Sequence[Any]],
    labels: torch.Tensor | np.ndarray | None = None,
    info: Mapping[str, Any] | None = None,
) -> Cache:
    """Write a cache folder that `read` gives back, each file whole or not at all.

    Parameters
    ----------
    folder : path
        Made if it is not there; files of the same names are replaced.
    embeddings : torch.Tensor or ndarray of shape (N, D)
        Floating point, finite.
    rows : pandas.DataFrame with N rows, or its columns by name
        Becomes `metadata.csv`; values are written as strings.
    labels : torch.Tensor or ndarray of shape (N,), integer, optional
        Becomes `labels.pt`.
    info : mapping, optional
        More keys for `meta.json`, besides `timestamp`, `num_samples` and `dim`.

    Returns
    -------
    Cache
        The folder, read back.

    Raises
    ------
    CacheError
        The parts do not make a valid cache; nothing was written.
    OutputError
        The folder cannot be written.
    """
    folder = Path(folder)
    try:
        embeddings = pt.as_tensor(embeddings)
        labels = None if labels is None else pt.as_tensor(labels)
    except (TypeError, ValueError) as error:
        raise CacheError(f"{folder}: embeddings and labels have to be tensors or arrays of numbers: {error}") from None
    agreement.check_embeddings(folder / EMBEDDINGS, embeddings)
    count, dim = embeddings.shape
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    meta = {"timestamp": now, "num_samples": count, "dim": dim, **(info or {})}
    cache = _agreed(folder, embeddings, table.strings(rows), labels, meta)
    _verify(cache, None, lambda: None)
    told = json.dumps(meta, indent=2)
    try:
        _write_files(cache, told)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return read(folder)


def _write_files(cache: Cache, info: str) -> None:
    folder, embeddings = cache.folder, cache.embeddings
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / EMBEDDINGS) as path:
        pt.save(embeddings, path)
    if cache.labels is None:
        (folder / LABELS).unlink(missing_ok=True)  # of the cache that was here before
    else:
        with replacing(folder / LABELS) as path:
            pt.save(cache.labels, path)
    with replacing(folder / TABLE) as path:
        table.write(path, cache.table)
    with replacing(folder / INFO) as path:
        path.write_text(info, encoding="utf-8")
