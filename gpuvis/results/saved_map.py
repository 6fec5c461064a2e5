"""A map that was saved: its coordinates and table, and the embeddings it is of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io import cache as caches
from gpuvis.io.folders import check_readable
from gpuvis.io.schema import LABELS, NUMBER, TABLE
from gpuvis.reduction import reduce
from gpuvis.results.outputs import load_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from gpuvis.backends.base import Array, Backend, Plan
    from gpuvis.io.cache import Cache
    from gpuvis.results.record import RunRecord
    from gpuvis.settings import Settings


@dataclass(frozen=True, eq=False)
class Original:
    """Embeddings, verified.

    Attributes
    ----------
    X : torch.Tensor or ndarray of shape (N, D)
    metric : str
        Of the map's fit.
    known : tuple
        The plan, and the largest value in size.
    labels : torch.Tensor or ndarray of shape (N,), or None
        Those of `labels.pt`.
    principal : array of shape (N, 2), or None
        The first two principal components, if the map's fit was now, and began at them.
    """

    X: Any
    metric: str
    known: tuple[Plan, float]
    labels: Any = None
    principal: Array | None = None


def read(
    folder: Path, settings: Settings, backend: Backend, go_on: Callable[[], None] = lambda: None
) -> tuple[Cache, tuple[Plan, float]]:
    """Read and verify a cache; return it with the plan for some settings, and the largest value in size.

    `go_on` is called again and again meanwhile; what it raises ends the reading.

    Raises
    ------
    GpuvisError
        It is not whole, or too large.
    """
    cache = caches.read(folder, backend.read_table, backend.read_tensor)
    reduce.plan(cache.embeddings, settings, backend)  # refuse what cannot be before reading it through
    largest, cache = cache.verify(go_on)
    return cache, (reduce.plan(cache.embeddings, settings, backend, largest), largest)


def of_map(folder: Path, rows: int, settings: Settings, run: RunRecord | None, backend: Backend) -> Original:
    """Read and verify the embeddings of a saved map.

    Parameters
    ----------
    folder : Path
        The cache.
    rows : int
        Of the map.
    settings : Settings
        Of this one map, where no record tells them.
    run : RunRecord or None
        Its run record.
    backend : Backend

    Raises
    ------
    GpuvisError
        They are not there, not whole, of another number of rows, or too large.
    """
    cache, known = read(folder, settings, backend)
    if len(cache.embeddings) != rows:
        problem = f"{folder}: the map has {rows} rows and the embeddings {len(cache.embeddings)}"
        raise CacheError(f"{problem}; they are paired row by row, so make the map again with gpuvis reduce")
    metric = run.metric if run else None
    return Original(cache.embeddings, metric or next(iter(settings.maps.values())).metric, known, cache.labels)


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
    from gpuvis.io import pt, table
    from gpuvis.labels import classes

    coords = _load(path)
    with suppress(FileNotFoundError):  # which the reader reports
        check_readable(folder / TABLE)
    rows = table.read(folder / TABLE)
    if len(rows) != len(coords):
        problem = f"{path} has {len(coords)} rows but {folder / TABLE} has {len(rows)}"
        raise CacheError(f"{problem}; they are paired row by row, so make the map again")
    labels = folder / LABELS
    if not table.has_values(rows, NUMBER) and labels.exists():
        rows = classes.labelled(rows, caches.flat_labels(labels, caches.read_labels(labels, pt.read), len(rows)))
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
