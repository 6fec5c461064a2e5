"""A map that was saved: its coordinates and table, and the embeddings it is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io.schema import NUMBER, TABLE
from gpuvis.results.outputs import load_array

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from gpuvis.backends.base import Array, Planned
    from gpuvis.io.cache import Cache
    from gpuvis.results.folder import Folder


@dataclass(frozen=True, eq=False)
class Original:
    """Embeddings, verified.

    Attributes
    ----------
    X : torch.Tensor or ndarray of shape (N, D)
    metric : str
        Of the map's fit.
    planned : Planned
    labels : torch.Tensor or ndarray of shape (N,), or None
        Those of `labels.pt`.
    principal : array of shape (N, 2), or None
        The first two principal components, if the map's fit was now, and began at them.
    """

    X: Any
    metric: str
    planned: Planned
    labels: Any = None
    principal: Array | None = None


def original(cache: Cache, planned: Planned, rows: int, metric: str) -> Original:
    """Return the embeddings of a saved map.

    Parameters
    ----------
    cache : Cache
        Verified.
    planned : Planned
    rows : int
        Of the map.
    metric : str
        Of the map's fit.

    Raises
    ------
    CacheError
        They are of another number of rows.
    """
    if len(cache.embeddings) != rows:
        problem = f"{cache.folder}: the map has {rows} rows and the embeddings {len(cache.embeddings)}"
        raise CacheError(f"{problem}; they are paired row by row, so make the map again with gpuvis reduce")
    return Original(cache.embeddings, metric, planned, cache.labels)


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


def saved(path: Path, folder: Folder) -> Shown:
    """Return the coordinates in a file, and the table of their cache, with labels if there are any.

    Raises
    ------
    CacheError
        They cannot be read, or do not fit together.
    """
    from gpuvis.io import table
    from gpuvis.labels import classes

    coords, rows = _load(path), folder.table
    if len(rows) != len(coords):
        problem = f"{path} has {len(coords)} rows but {folder.path / TABLE} has {len(rows)}"
        raise CacheError(f"{problem}; they are paired row by row, so make the map again")
    return Shown(coords, rows if table.has_values(rows, NUMBER) else classes.labelled(rows, folder.labels))


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
