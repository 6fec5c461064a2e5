"""What a page shows: coordinates, their table, and what was measured."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io.folders import LABELS, TABLE, check_readable
from gpuvis.results.outputs import load_array

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found of a map; None: it was not asked for, or could not be found.

    Attributes
    ----------
    quality : dict or None
        What `quality.measure` gave, and `points`, of how many points the recall is known.
    recall : ndarray of shape (N,), float32, or None
        Of each point; NaN where it is not known.
    neighbors : ndarray of shape (N, 10) or None
        The rows nearest to each, for the page.
    """

    quality: dict[str, Any] | None = None
    recall: np.ndarray | None = None
    neighbors: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page shows.

    Attributes
    ----------
    coords : ndarray of shape (N, 2)
    table : pandas.DataFrame with N rows
    measured : Measured
        What was found in the original space.
    is_current : bool, default=True
        The cache is still the one that the map was made of.
    """

    coords: np.ndarray
    table: pd.DataFrame
    measured: Measured = field(default_factory=Measured)
    is_current: bool = True


def saved(path: Path, folder: Path) -> Shown:
    """Return the coordinates in a file, and the table of their cache, with labels if there are any.

    Raises
    ------
    CacheError
        They cannot be read, or do not fit together.
    """
    from gpuvis.io import cache, pt, table
    from gpuvis.io import cache as agreement
    from gpuvis.labels import classes

    coords = _load(path)
    with suppress(FileNotFoundError):  # which is told by what reads it
        check_readable(folder / TABLE)
    rows = table.read(folder / TABLE)
    if len(rows) != len(coords):
        told = f"{path} has {len(coords)} rows but {folder / TABLE} has {len(rows)}"
        raise CacheError(f"{told}; they are paired row by row, so make the map again")
    labels = folder / LABELS
    if not classes.has_numbers(rows) and labels.exists():
        rows = classes.labelled(rows, agreement.flat_labels(labels, cache.read_labels(labels, pt.read), len(rows)))
    return Shown(coords, rows)


def _load(path: Path) -> np.ndarray:
    coords = load_array(path)
    if coords.ndim != 2 or coords.shape[1] != 2 or len(coords) == 0:
        found = f"{coords.dtype} of shape {coords.shape}"
        raise CacheError(f"{path} holds {found}; expected two columns of numbers, and a row or more; save it so")
    with np.errstate(over="ignore"):
        coords = coords.astype(np.float32)
    if not np.isfinite(coords).all():
        raise CacheError(f"{path} holds NaN, Inf or too large numbers; make the map again")
    return coords
