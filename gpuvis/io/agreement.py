"""Whether the parts of a cache, each of them read, fit together."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import arrays
from gpuvis.errors import CacheError, DataError
from gpuvis.io import table
from gpuvis.io.folders import COLUMNS, LABELS, TABLE
from gpuvis.labels import classes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

LABEL = "ground_truth_num_label"


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
    kind = arrays.kind(embeddings)
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
    if "file_name" in rows and (blank := int((rows["file_name"].str.strip() == "").sum())):
        notes.append(f"file_name is blank in {blank} of {len(rows)} rows")
    return notes


def flat_labels(path: Path, labels: torch.Tensor | np.ndarray, rows: int) -> torch.Tensor | np.ndarray:
    """Return the labels read from `path` as int64 of shape (N,).

    Raises
    ------
    CacheError
        They are no whole numbers, too large, or not one for each row.
    """
    kind, count = arrays.kind(labels), prod(labels.shape)
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
    if not classes.has_numbers(rows):
        return [f"the labels are those of {LABELS}, since {TABLE} has no {LABEL}"]
    told = table.class_numbers(rows[LABEL])
    if told is None:
        return [f"{LABEL} is not a whole number in every row, or too large, so labels.pt was not compared with it"]
    found: Any = labels
    differs = ((found.numpy() if hasattr(found, "numpy") else found) != told).nonzero()[0]
    if len(differs):
        k = int(differs[0])
        raise CacheError(
            f"{folder}: labels.pt disagrees with {LABEL} of metadata.csv, first in row {k} (counted from 0): "
            f"{int(labels[k])} and {int(told[k])}; rows that differ: {len(differs)}; write the cache again"
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
