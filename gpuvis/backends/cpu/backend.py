"""The CPU backend: compiled loops on NumPy arrays; umap-learn and scikit-learn where the settings name them.

The libraries are imported where they are used, because importing them takes seconds, and a run that computes only one
of the maps should not pay for the other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from gpuvis import machine
from gpuvis.backends import parallel
from gpuvis.backends import pca as principal
from gpuvis.backends.base import ALL_THE_SAME, Device, Layout
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.neighbors import as_float32
from gpuvis.backends.cpu.plan import CpuPlan, Search
from gpuvis.backends.cpu.plan import plan as make_plan
from gpuvis.backends.neighbor_graph import Graph
from gpuvis.io import pt, table
from gpuvis.settings import METRICS, MethodName, MethodSettings, Settings, Tsne, Umap

name, xp = "cpu", np
SAFE = (1e-12, 1e12)  # the sum of 10^8 squares of such values neither overflows nor vanishes
read_tensor, factorize = pt.read, table.factorize
ROUNDING = 1e-12  # error of a small cosine distance, which is summed from differences of float32
WIDEST = 8192  # most columns for which the covariance is computed
PARTS = 8  # fewest parts of work; independent of the number of threads, so that results are too
COMPARED = 128, 2048  # anchors and rows: their distances stay in the processor's cache
BLOCK_BYTES = 16 << 20  # bytes of a block of rows, as float32
MOMENTS_BYTES = 1 << 30  # bytes of blocks' moments that may wait to be summed
LOW_RECALL = 0.98  # a recall below this gives a note


def describe() -> Device:
    """Return the processor, its threads and its memory."""
    return Device("cpu", machine.cpu_name(), machine.cpu_threads(), machine.memory_bytes())


def check(settings: Settings) -> None:
    """Accept all settings."""


def plan(rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> CpuPlan:
    """Plan a reduction."""
    return make_plan(rows, settings)


def promise(method: MethodName, plan: CpuPlan) -> str:
    """Return whether the same input, settings and seed give the same map, as a sentence."""
    return plan.repeatable[method]


def working(plan: CpuPlan) -> AbstractContextManager[None]:
    """Use the planned threads in the block."""
    return parallel.threads(plan.threads)


def as_array(X: Any, scale: float = 1.0) -> np.ndarray:
    """Return a tensor or array, times a scale, as float32 in C order; a view if it is float32 in C order already."""
    if hasattr(X, "detach"):  # a tensor: NumPy has no bfloat16, so torch converts it
        X = X.detach().cpu().float().contiguous()
    if not isinstance(X, np.ndarray):
        X = np.from_dlpack(X)
    if X.dtype == np.float16:
        X = as_float32(X)
    with np.errstate(over="ignore"):  # values too large for float32 become Inf, which is refused later
        rows = np.ascontiguousarray(X, np.float32)
    return rows if scale == 1 else np.multiply(rows, np.float32(scale))


def to_host(X: np.ndarray) -> np.ndarray:
    """Return the array as float32 in C order."""
    return np.ascontiguousarray(X, np.float32)


def load(X: Any, scale: float, plan: CpuPlan) -> np.ndarray:
    """Return a matrix as float32. float16 is kept, and converted block by block where it is used."""
    return X if scale == 1 and isinstance(X, np.ndarray) and X.dtype == np.float16 else as_array(X, scale)


def pca(X: Any, n_components: int, seed: int, scale: float, plan: CpuPlan) -> tuple[np.ndarray, float | None]:
    """Compute PCA scores block by block, so that a large memory-mapped file is never in memory as a whole."""
    return _pca_scores(X, n_components, seed, scale, plan.threads)


def _pca_scores(X: Any, n_components: int, seed: int, scale: float, threads: int) -> tuple[np.ndarray, float | None]:
    rows, columns = X.shape
    if rows < columns:
        return principal.gram_scores(as_array(X, scale), n_components, np, _eigensolver(n_components))
    if columns > WIDEST:
        from gpuvis.backends.cpu import libraries

        return libraries.pca(as_array(X, scale), n_components, seed)
    step = max(1, BLOCK_BYTES // (4 * columns))
    blocks = [slice(start, start + step) for start in range(0, rows, step)]
    shift = principal.block_mean(as_array(X[blocks[0]], scale), np)
    scores = np.empty((rows, n_components), np.float32)
    workers = max(1, min(threads, MOMENTS_BYTES // (12 * columns**2)))  # 12: bytes of float32 plus float64

    def moments(block: slice) -> Any:
        block_moments = principal.moments(as_array(X[block], scale), shift, np)
        pt.release_pages(X)
        return block_moments

    def project(block: slice) -> None:
        scores[block] = model.transform(as_array(X[block], scale))
        pt.release_pages(X)

    model = principal.solve(
        parallel.in_order(moments, blocks, workers), shift, n_components, np, _eigensolver(n_components)
    )
    for _ in parallel.in_order(project, blocks, threads):
        pass
    return scores, model.variance_kept


def _eigensolver(count: int) -> Any:
    """Return a function that computes the `count` largest eigenvalues of a symmetric matrix, and their vectors.

    The eigenvalues are ascending.
    """
    from scipy.linalg import eigh

    return lambda matrix: eigh(matrix, subset_by_index=[len(matrix) - min(count, len(matrix)), len(matrix) - 1])


def neighbors(X: np.ndarray, plan: Search) -> Graph:
    """Return the neighbour graph of a matrix."""
    if METRICS[plan.metric].by_products:  # our own search computes distances by matrix products only
        from gpuvis.backends.cpu import neighbors as cpu_neighbors

        return cpu_neighbors.search(X, plan.k, plan.metric, plan.seed)
    from gpuvis.backends.cpu import libraries

    return libraries.neighbors(as_array(X), plan.k, plan.metric, plan.seed)


def nearest(X: np.ndarray, metric: str, k: int) -> np.ndarray:
    """Return the indices of the k nearest rows of each row, exactly, the row itself first."""
    if METRICS[metric].by_products:
        from gpuvis.backends.cpu import neighbors as cpu_neighbors

        graph = cpu_neighbors.search(X, k, metric, 0, exact=True)
    else:
        from gpuvis.backends.cpu import libraries

        graph = libraries.nearest(X, k, metric)
    indices: np.ndarray = graph.indices
    return indices


def in_parts(work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
    """Call `work((first, last))` on all threads, for at least `PARTS` parts of `count` items, of at most `size`."""
    parallel.in_ranges(work, count, size=min(size, -(-count // PARTS)))


def cdist(A: np.ndarray, B: np.ndarray, metric: str) -> np.ndarray:
    """Return the distances between rows, (m, n), from their differences."""
    if metric == "sqeuclidean":
        squares = np.empty((len(A), len(B)), A.dtype)
        loops.squared_distances(A, np.ascontiguousarray(B.T), squares, (0, len(A)))
        return squares
    from scipy.spatial import distance

    distances: np.ndarray = distance.cdist(A, B, {"manhattan": "cityblock"}.get(metric, metric))
    np.nan_to_num(distances, copy=False, nan=0.0)  # the Bray-Curtis distance of two rows of zeros is 0 / 0
    return distances


def tally(values: Any, base: int, limits: Any, counts: Any, distances: Any, indices: Any) -> None:
    """Update counts and nearest rows from distances, (m, n), as `Backend.tally` describes."""
    loops.tally(values, base, limits, counts, distances, indices, (0, len(values)))


def to_numpy(X: np.ndarray) -> np.ndarray:
    """Return the array unchanged."""
    return X


def start(X: np.ndarray, settings: MethodSettings) -> np.ndarray:
    """Return the first two principal components, from which a layout starts; for umap-learn the matrix itself."""
    if isinstance(settings, Umap) and settings.library:
        return as_array(X)
    rows, columns = X.shape
    if columns == 1 and isinstance(settings, Umap):
        return np.hstack([as_array(X - X.mean(dtype=np.float64)), np.zeros((rows, 1), np.float32)])
    if columns < 2 or (isinstance(settings, Tsne) and settings.init != "pca"):
        return np.zeros((rows, 2), np.float32)
    scores, _ = _pca_scores(X, 2, 0, 1.0, parallel.current_threads())
    return scores


def umap(X: np.ndarray, graph: Graph, settings: Umap, seed: int) -> Layout:
    """Compute the UMAP map of a graph; X: from `start`."""
    notes = _recall_notes(graph)
    if settings.library:
        from gpuvis.backends.cpu import libraries

        result = libraries.umap(X, graph, settings, seed)
        return replace(result, notes=notes + result.notes)
    from gpuvis.backends.cpu import affinities
    from gpuvis.backends.cpu import umap as umap_layout

    weights = affinities.memberships(graph, settings.n_neighbors, umap_layout.least_weight(len(X)))
    coords = umap_layout.layout(weights, X, settings.min_dist, seed)
    return Layout(coords, notes, {"epochs": umap_layout.epoch_count(len(X))}, X)


def _recall_notes(graph: Graph) -> list[str]:
    recall = graph.details["recall"]
    return [f"neighbours are approximate: {recall:.1%} of the true ones were found"] if recall < LOW_RECALL else []


def tsne(X: np.ndarray, graph: Graph | None, settings: Tsne, seed: int) -> Layout:
    """Compute the t-SNE map of a graph, where X is from `start`; without a graph, that of a matrix by scikit-learn."""
    initial = scale_start(X if graph else start(X, settings))
    no_axes = initial is None and settings.init == "pca"
    notes = [ALL_THE_SAME] if no_axes else []
    if initial is None:
        initial = np.random.default_rng(seed).normal(0, 1e-4, (len(X), 2)).astype(np.float32)
    if graph is None:
        from gpuvis.backends.cpu import libraries

        result = libraries.tsne(as_array(X), initial, settings, seed)
        return replace(result, notes=notes + result.notes)
    from gpuvis.backends.cpu import affinities
    from gpuvis.backends.cpu import tsne as tsne_layout

    weights = affinities.probabilities(graph, graph.indices.shape[1], settings.perplexity)
    coords, details = tsne_layout.layout(weights, initial)
    return Layout(coords, notes + _recall_notes(graph), details, X if settings.init == "pca" and not no_axes else None)


LAYOUTS: dict[MethodName, Callable[..., Layout]] = {"umap": umap, "tsne": tsne}


def layout(method: MethodName, X: np.ndarray, graph: Graph | None, settings: MethodSettings, seed: int) -> Layout:
    """Compute the map of a method; X: from `start`."""
    return LAYOUTS[method](X, graph, settings, seed)


def scale_start(start: np.ndarray) -> np.ndarray | None:
    """Scale initial coordinates for t-SNE: standard deviation 1e-4 in column 0. None if they are (almost) constant."""
    width = start[:, 0].std(dtype=np.float64)
    return (start * (1e-4 / width)).astype(np.float32) if width > 0 and np.isfinite(1e-4 / width) else None


def settle() -> dict[str, float]:
    """Do nothing: work on the CPU is done when a function returns."""
    return {}


def give_back() -> None:
    """Do nothing: NumPy returns freed memory to the system."""
