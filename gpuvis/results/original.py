"""The embeddings that a saved map is of: what it can be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpuvis.errors import CacheError
from gpuvis.io import cache as caches
from gpuvis.reduction import reduce

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpuvis.backends.base import Array, Backend, Plan
    from gpuvis.io.cache import Cache
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


def of_map(folder: Path, rows: int, settings: Settings, run: dict[str, Any] | None, backend: Backend) -> Original:
    """Read and verify the embeddings of a saved map.

    Parameters
    ----------
    folder : Path
        The cache.
    rows : int
        Of the map.
    settings : Settings
        Of this one map, where no record tells them.
    run : dict or None
        Its run record.
    backend : Backend

    Raises
    ------
    GpuvisError
        They are not there, not whole, of another number of rows, or too large.
    """
    cache, known = read(folder, settings, backend)
    if len(cache.embeddings) != rows:
        told = f"{folder}: the map has {rows} rows and the embeddings {len(cache.embeddings)}"
        raise CacheError(f"{told}; they are paired row by row, so make the map again with gpuvis reduce")
    metric = run["effective"].get("metric") if run else None
    return Original(cache.embeddings, metric or getattr(settings, settings.methods[0]).metric, known, cache.labels)
