"""Load a saved map: its coordinates, table and record."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io.schema import NUMBER, TABLE
from gpuvis.results.folder import Folder
from gpuvis.results.outputs import Outputs, load_array
from gpuvis.settings import METHODS

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.backends.base import Array, Planned
    from gpuvis.io.cache import Cache


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
    """The measures of a map; None: not requested, or not possible.

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
    """The content of a page.

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


class SavedMap(NamedTuple):
    """A map that was saved.

    Attributes
    ----------
    coords : ndarray of shape (N, 2), float32
    table : pandas.DataFrame with N rows
        `metadata.csv`, and columns of scores, predictions and `recall`, where there are any; all strings.
    record : dict or None
        The run record; None if there is none of this map.
    recall : ndarray of shape (N,), float32, or None
        The share of each point's nearest neighbours that the map keeps; NaN where it was not measured.
    """

    coords: np.ndarray
    table: pd.DataFrame
    record: dict[str, Any] | None
    recall: np.ndarray | None


def load_map(
    folder: str | os.PathLike[str],
    method: str = next(iter(METHODS)),
    prefix: str = "vis",
    out: str | os.PathLike[str] | None = None,
) -> SavedMap:
    """Load a map that `gpuvis reduce` or `gpuvis.run` has saved.

    Parameters
    ----------
    folder : path
        The cache.
    method : {"umap", "tsne"}, default="umap"
    prefix : str, default="vis"
        Start of the names of the map's files.
    out : path, optional
        Where these files lie. Default: in the folder of the cache.

    Raises
    ------
    CacheError
        There is no such map, or it does not fit the cache.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> cache = gpuvis.write_cache("cache", X, {"file_name": [f"{row}.png" for row in range(60)]})
    >>> gpuvis.run(gpuvis.Request("cache", backend="cpu")).exit_code
    0
    >>> saved = gpuvis.load_map("cache")
    >>> saved.coords.shape, saved.record["effective"]["method"], len(saved.table)
    ((60, 2), 'umap', 60)
    """
    files = Outputs(Path(folder if out is None else out), prefix, method)
    if not files.coords.exists():
        raise CacheError(f"{files.coords} is not there; make the map with gpuvis reduce or gpuvis.run")
    of_cache = Folder(Path(folder), files.folder)
    shown, record = saved(files.coords, of_cache), files.read_own_record()
    recall = files.load_quality(record) if record else None
    table = of_cache.annotations.joined(shown.table, recall)
    return SavedMap(shown.coords, table, json.loads(record.to_json()) if record else None, recall)
