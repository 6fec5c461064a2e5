"""Check that the parts of a cache agree: the embeddings, their table, labels and `meta.json`."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import arrays
from gpuvis.errors import CacheError, DataError
from gpuvis.io import table
from gpuvis.io.schema import COLUMNS, FILE_NAME, LABELS, NUMBER, TABLE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


def check_embeddings(path: Path, embeddings: torch.Tensor | np.ndarray) -> None:
    """Check the shape and the data type of the embeddings read from `path`.

    Raises
    ------
    CacheError
        They are not a matrix of at least 5 rows and 1 column, or not of a floating-point type.
    """
    try:
        arrays.check_shape(embeddings)
    except DataError as error:
        raise CacheError(f"{path} {error}") from None
    dtype = arrays.dtype_name(embeddings)
    if dtype not in {"float16", "bfloat16", "float32", "float64"}:
        raise CacheError(f"{path} has type {dtype}; expected floating point of 16 to 64 bits; save it as float32")


def check_rows(folder: Path, count: int, rows: pd.DataFrame) -> list[str]:
    """Check that the table has one row for each of the `count` rows of the embeddings.

    Returns
    -------
    list of str
        Notes on columns and file names that the table lacks.

    Raises
    ------
    CacheError
        The numbers of rows differ.
    """
    if len(rows) != count:
        raise CacheError(
            f"{folder}: embeddings.pt has {count} rows but metadata.csv has {len(rows)}; "
            "they are paired row by row, so write the cache again"
        )
    notes = [f"metadata.csv has no column {name}" for name in COLUMNS if name not in rows]
    if FILE_NAME in rows and (blank := int((rows[FILE_NAME].str.strip() == "").sum())):
        notes.append(f"file_name is blank in {blank} of {len(rows)} rows")
    return notes


def flat_labels(path: Path, labels: torch.Tensor | np.ndarray, rows: int) -> torch.Tensor | np.ndarray:
    """Return the labels read from `path` as int64 of shape (N,).

    Parameters
    ----------
    path : Path
    labels : torch.Tensor or ndarray of shape (N,) or (N, 1)
    rows : int
        The expected N.

    Raises
    ------
    CacheError
        They are not whole numbers, too large, or not one for each row.
    """
    dtype, count = arrays.dtype_name(labels), prod(labels.shape)
    if not dtype.startswith(("int", "uint")):
        raise CacheError(f"{path} has type {dtype}; expected whole numbers, so save the labels as int64")
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
    numbers: torch.Tensor | np.ndarray = flat.long() if hasattr(flat, "long") else flat.astype("int64")
    if dtype == "uint64" and (numbers < 0).any():
        raise CacheError(f"{path} has labels above {2**63 - 1}; save them as int64")
    return numbers


def check_labels(folder: Path, labels: torch.Tensor | np.ndarray, rows: pd.DataFrame) -> list[str]:
    """Check that the labels agree with the class numbers of the table, if it has any.

    Returns
    -------
    list of str
        A note if they could not be compared.

    Raises
    ------
    CacheError
        They disagree in a row.
    """
    if not table.has_values(rows, NUMBER):
        return [f"the labels of {LABELS} are used, since {TABLE} has no {NUMBER}"]
    numbers = table.class_numbers(rows[NUMBER])
    if numbers is None:
        return [f"{NUMBER} is not a whole number in every row, or too large, so labels.pt was not compared with it"]
    array: Any = labels.numpy() if hasattr(labels, "numpy") else labels
    (differing,) = (array != numbers).nonzero()
    if len(differing):
        row = int(differing[0])
        raise CacheError(
            f"{folder}: labels.pt disagrees with {NUMBER} of metadata.csv, first in row {row} (counted from 0): "
            f"{int(labels[row])} and {int(numbers[row])}; rows that differ: {len(differing)}; write the cache again"
        )
    return []


def check_info(folder: Path, info: dict[str, Any], shape: tuple[int, ...]) -> list[str]:
    """Check that `meta.json` agrees with the shape (N, D) of the embeddings.

    Returns
    -------
    list of str
        A note for each number that `meta.json` lacks.

    Raises
    ------
    CacheError
        They disagree.
    """
    notes = []
    for key, size in zip(("num_samples", "dim"), shape, strict=True):
        if info.get(key) is None:
            notes.append(f"meta.json has no {key}")
        elif info[key] != size:
            raise CacheError(
                f"{folder}: meta.json says {key} is {info[key]!r}, but embeddings.pt has {size}; write the cache again"
            )
    return notes
