"""Load a saved map with its table and record, and hold what jobs pass on about a map."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io import table
from gpuvis.io.schema import NUMBER, TABLE
from gpuvis.labels import classes
from gpuvis.results.folder import Folder
from gpuvis.results.outputs import Outputs, load_array
from gpuvis.settings import METHODS

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.backends.base import Array, Planned
    from gpuvis.io.cache import Cache


@dataclass(frozen=True, eq=False)
class Original:
    """The verified embeddings from which a map was computed: the original space.

    Attributes
    ----------
    X : torch.Tensor or ndarray of shape (N, D)
        The embeddings.
    metric : str
        The metric of the map.
    planned : Planned
    labels : torch.Tensor or ndarray of shape (N,), or None
        The content of `labels.pt`.
    principal : array of shape (N, 2), or None
        The first two principal components, if the map was computed in this run and its layout started from them.
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
        A verified cache.
    planned : Planned
    rows : int
        Number of rows of the map.
    metric : str
        The metric of the map.

    Raises
    ------
    CacheError
        The embeddings have another number of rows.
    """
    if len(cache.embeddings) != rows:
        problem = f"{cache.folder}: the map has {rows} rows and the embeddings {len(cache.embeddings)}"
        raise CacheError(f"{problem}; they are paired row by row, so make the map again with gpuvis reduce")
    return Original(cache.embeddings, metric, planned, cache.labels)


@dataclass(frozen=True, eq=False)
class Measured:
    """The measures of a map; None where they were not requested, or could not be computed.

    Attributes
    ----------
    quality : dict or None
        The measures that `gpuvis.measure` returns, and `points`: for how many points the recall was measured.
    recall : ndarray of shape (N,), float32, or None
        The recall of each point; NaN where it was not measured.
    neighbors : ndarray of shape (N, 10) or None
        The nearest rows of each row in the original space, for the page.
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
        How the map compares with the original space.
    is_current : bool, default=True
        Whether the cache is unchanged since the map was computed from it.
    """

    coords: np.ndarray
    table: pd.DataFrame
    measured: Measured = field(default_factory=Measured)
    is_current: bool = True


def saved(path: Path, folder: Folder) -> Shown:
    """Load the coordinates in a file, with the table of their cache, to which the labels are added.

    Raises
    ------
    CacheError
        A file cannot be read, or the numbers of rows differ.
    """
    coords, rows = _load_coords(path), folder.table
    if len(rows) != len(coords):
        problem = f"{path} has {len(coords)} rows but {folder.path / TABLE} has {len(rows)}"
        raise CacheError(f"{problem}; they are paired row by row, so make the map again")
    return Shown(coords, rows if table.has_values(rows, NUMBER) else classes.labelled(rows, folder.labels))


def _load_coords(path: Path) -> np.ndarray:
    coords = load_array(path)
    if coords.ndim != 2 or coords.shape[1] != 2 or len(coords) == 0:
        content = f"{coords.dtype} of shape {coords.shape}"
        raise CacheError(f"{path} holds {content}; expected two columns of numbers; save an array of shape (N, 2)")
    with np.errstate(over="ignore"):
        coords = coords.astype(np.float32)
    if not np.isfinite(coords).all():
        raise CacheError(f"{path} holds NaN, Inf or too large numbers; make the map again")
    return coords


class SavedMap(NamedTuple):
    """A saved map.

    Attributes
    ----------
    coords : ndarray of shape (N, 2), float32
    table : pandas.DataFrame with N rows
        `metadata.csv`, with columns of scores, predictions and `recall` if they exist; all strings.
    record : dict or None
        The run record; None if no record describes this map.
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
        The cache folder.
    method : {"umap", "tsne"}, default="umap"
    prefix : str, default="vis"
        Start of the names of the map's files.
    out : path, optional
        The folder of these files. Default: the cache folder.

    Raises
    ------
    CacheError
        There is no such map, or it has another number of rows than the cache.

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
    cache = Folder(Path(folder), files.folder)
    shown, record = saved(files.coords, cache), files.read_own_record()
    recall = files.load_quality(record) if record else None
    rows = cache.annotations.joined(shown.table, recall)
    return SavedMap(shown.coords, rows, json.loads(record.to_json()) if record else None, recall)
