"""A cache folder: read it, check that its parts agree, verify its values, write it."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import arrays
from gpuvis.errors import CacheError, DataError, OutputError
from gpuvis.io import folders, pt, table
from gpuvis.io.files import replacing
from gpuvis.io.schema import COLUMNS, EMBEDDINGS, FILE_NAME, INFO, LABELS, NUMBER, TABLE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


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
    storage, crc, done, seen = pt.storage(embeddings), 0, 0, arrays.ValueScan()
    for start, block in arrays.blocks(embeddings):
        go_on()
        seen.add(block)
        end = len(storage) * (start + len(block)) // len(embeddings)  # the same bytes, if the tensor fills its storage
        if expected is not None:
            crc = zlib.crc32(storage[done:end].data, crc)
        done = end
        pt.let_go(embeddings)
    _check_crc(path, crc, expected)
    try:
        return seen.check(cache.table.get(FILE_NAME))
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
    check_embeddings(folder / EMBEDDINGS, embeddings)
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
    notes = check_rows(folder, embeddings, rows)
    if labels is None:
        notes.append("there is no labels.pt; the labels of metadata.csv are used")
    else:
        labels = flat_labels(folder / LABELS, labels, len(rows))
        notes += check_labels(folder, labels, rows)
    if isinstance(info, str):
        return Cache(folder, embeddings, rows, labels, {}, (*notes, info))
    notes += check_info(folder, info, tuple(embeddings.shape))
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
    check_embeddings(folder / EMBEDDINGS, embeddings)
    count, dim = embeddings.shape
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    meta = {"timestamp": now, "num_samples": count, "dim": dim, **(info or {})}
    cache = _agreed(folder, embeddings, table.strings(rows), labels, meta)
    _verify(cache, None, lambda: None)
    text = json.dumps(meta, indent=2)
    try:
        _write_files(cache, text)
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


def check_embeddings(path: Path, embeddings: torch.Tensor | np.ndarray) -> None:
    """Check the shape and the type of the tensor read from `path`.

    Raises
    ------
    CacheError
    """
    try:
        arrays.check_shape(embeddings)
    except DataError as error:
        raise CacheError(f"{path} {error}") from None
    kind = arrays.dtype_name(embeddings)
    if kind not in {"float16", "bfloat16", "float32", "float64"}:
        raise CacheError(f"{path} has type {kind}; expected floating point of 16 to 64 bits; save it as float32")


def check_rows(folder: Path, embeddings: torch.Tensor | np.ndarray, rows: pd.DataFrame) -> list[str]:
    """Check that each row of the tensor has its row in the table, and note what the table lacks.

    Raises
    ------
    CacheError
    """
    if len(rows) != len(embeddings):
        raise CacheError(
            f"{folder}: embeddings.pt has {len(embeddings)} rows but metadata.csv has {len(rows)}; "
            "they are paired row by row, so write the cache again"
        )
    notes = [f"metadata.csv has no column {name}" for name in COLUMNS if name not in rows]
    if FILE_NAME in rows and (blank := int((rows[FILE_NAME].str.strip() == "").sum())):
        notes.append(f"file_name is blank in {blank} of {len(rows)} rows")
    return notes


def flat_labels(path: Path, labels: torch.Tensor | np.ndarray, rows: int) -> torch.Tensor | np.ndarray:
    """Return the labels read from `path` as int64 of shape (N,).

    Raises
    ------
    CacheError
        They are no whole numbers, too large, or not one for each row.
    """
    kind, count = arrays.dtype_name(labels), prod(labels.shape)
    if not kind.startswith(("int", "uint")):
        raise CacheError(f"{path} has type {kind}; expected whole numbers, so save the labels as int64")
    if tuple(labels.shape) not in {(count,), (count, 1)}:
        raise CacheError(
            f"{path} has shape {tuple(labels.shape)}; expected (N,) or (N, 1); save one label for each row"
        )
    if count != rows:
        raise CacheError(
            f"{path.parent}: labels.pt has {count} rows but embeddings.pt and metadata.csv have {rows}; "
            "write the cache again"
        )
    flat: Any = labels.reshape(-1)
    whole: torch.Tensor | np.ndarray = flat.long() if hasattr(flat, "long") else flat.astype("int64")
    if kind == "uint64" and (whole < 0).any():
        raise CacheError(f"{path} has labels above {2**63 - 1}; save them as int64")
    return whole


def check_labels(folder: Path, labels: torch.Tensor | np.ndarray, rows: pd.DataFrame) -> list[str]:
    """Check the labels against the table's, where it has them.

    Raises
    ------
    CacheError
        They disagree in a row.
    """
    if not table.has_values(rows, NUMBER):
        return [f"the labels are those of {LABELS}, since {TABLE} has no {NUMBER}"]
    numbers = table.class_numbers(rows[NUMBER])
    if numbers is None:
        return [f"{NUMBER} is not a whole number in every row, or too large, so labels.pt was not compared with it"]
    found: Any = labels
    differs = ((found.numpy() if hasattr(found, "numpy") else found) != numbers).nonzero()[0]
    if len(differs):
        k = int(differs[0])
        raise CacheError(
            f"{folder}: labels.pt disagrees with {NUMBER} of metadata.csv, first in row {k} (counted from 0): "
            f"{int(labels[k])} and {int(numbers[k])}; rows that differ: {len(differs)}; write the cache again"
        )
    return []


def check_info(folder: Path, info: dict[str, Any], shape: tuple[int, ...]) -> list[str]:
    """Check what `meta.json` says of the tensor's shape.

    Raises
    ------
    CacheError
        It says otherwise.
    """
    notes = []
    for key, found in zip(("num_samples", "dim"), shape, strict=True):
        if info.get(key) is None:
            notes.append(f"meta.json does not tell {key}")
        elif info[key] != found:
            raise CacheError(
                f"{folder}: meta.json says {key} is {info[key]!r}, but embeddings.pt has {found}; write the cache again"
            )
    return notes
