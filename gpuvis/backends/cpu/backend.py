"""The CPU backend: compiled loops on NumPy arrays; umap-learn and scikit-learn where they are asked for.

The libraries are imported where they are used: importing them takes seconds, and a run that draws only one of the
maps should not pay for the other.
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
from gpuvis.backends.cpu.neighbors import widened
from gpuvis.backends.cpu.plan import CpuPlan, Search
from gpuvis.backends.cpu.plan import plan as make_plan
from gpuvis.backends.neighbor_graph import Graph
from gpuvis.io import pt, table
from gpuvis.settings import METRICS, MethodName, MethodSettings, Settings, Tsne, Umap

name, xp = "cpu", np
SAFE = (1e-12, 1e12)  # 10^8 squares of such values, summed, neither overflow nor vanish
read_tensor, factorize = pt.read, table.factorize
ROUNDING = 1e-12  # of a small cosine distance, which is summed from differences of float32
WIDEST = 8192  # columns up to which the covariance is formed
PARTS = 8  # in which work is shared out, at least; of no number of threads, on which results would depend
COMPARED = 128, 2048  # anchors and rows: their distances stay in the processor's cache
BLOCK_BYTES = 16 << 20  # of rows as float32, whose products are taken together
MOMENTS_BYTES = 1 << 30  # of products of columns that wait to be summed
LOW_RECALL = 0.98  # below which a note is made


def describe() -> Device:
    """Return the processor, its threads and its memory."""
    return Device("cpu", machine.cpu_name(), machine.cpu_threads(), machine.memory_bytes())


def check(settings: Settings) -> None:
    """Refuse nothing: all settings are known here."""


def plan(rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> CpuPlan:
    """Say how a reduction will be done."""
    return make_plan(rows, settings)


def promise(method: MethodName, plan: CpuPlan) -> str:
    """Return what is promised about repeating a map with the same input, settings and seed."""
    return plan.repeatable[method]


def working(plan: CpuPlan) -> AbstractContextManager[None]:
    """Use the planned threads in the block."""
    return parallel.threads(plan.threads)


def as_array(X: Any, scale: float = 1.0) -> np.ndarray:
    """Return a tensor or array, times a scale, as float32 in C order: a view by DLPack if it is that already."""
    if hasattr(X, "detach"):  # a tensor: NumPy knows no bfloat16, so torch does the conversion
        X = X.detach().cpu().float().contiguous()
    if not isinstance(X, np.ndarray):
        X = np.from_dlpack(X)
    if X.dtype == np.float16:
        X = widened(X)
    with np.errstate(over="ignore"):  # too large for float32 becomes Inf, which is refused
        rows = np.ascontiguousarray(X, np.float32)
    return rows if scale == 1 else np.multiply(rows, np.float32(scale))


def to_host(X: np.ndarray) -> np.ndarray:
    """Return the array as float32 in C order."""
    return np.ascontiguousarray(X, np.float32)


def load(X: Any, scale: float, plan: CpuPlan) -> np.ndarray:
    """Return a matrix as float32. Half precision stays as it is: its rows are converted where they are used."""
    return X if scale == 1 and isinstance(X, np.ndarray) and X.dtype == np.float16 else as_array(X, scale)


def pca(X: Any, n_components: int, seed: int, scale: float, plan: CpuPlan) -> tuple[np.ndarray, float | None]:
    """Principal components: block by block, so that a large mapped file is never held whole."""
    return _components(X, n_components, seed, scale, plan.threads)


def _components(X: Any, n_components: int, seed: int, scale: float, threads: int) -> tuple[np.ndarray, float | None]:
    rows, columns = X.shape
    if rows < columns:
        return principal.of_few_rows(as_array(X, scale), n_components, np, _largest(n_components))
    if columns > WIDEST:
        from gpuvis.backends.cpu import libraries

        return libraries.pca(as_array(X, scale), n_components, seed)
    step = max(1, BLOCK_BYTES // (4 * columns))
    pieces = [slice(start, start + step) for start in range(0, rows, step)]
    shift = principal.middle(as_array(X[pieces[0]], scale), np)
    scores = np.empty((rows, n_components), np.float32)
    abreast = max(1, min(threads, MOMENTS_BYTES // (12 * columns**2)))  # as float32 and float64

    def moments(piece: slice) -> Any:
        found = principal.moments(as_array(X[piece], scale), shift, np)
        pt.release_pages(X)
        return found

    def project(piece: slice) -> None:
        scores[piece] = model.transform(as_array(X[piece], scale))
        pt.release_pages(X)

    model = principal.solve(
        parallel.in_order(moments, pieces, abreast), shift, n_components, np, _largest(n_components)
    )
    for _ in parallel.in_order(project, pieces, threads):
        pass
    return scores, model.variance_kept


def _largest(count: int) -> Any:
    """Return what finds the largest eigenvalues of a symmetric matrix, rising, and their vectors."""
    from scipy.linalg import eigh

    return lambda matrix: eigh(matrix, subset_by_index=[len(matrix) - min(count, len(matrix)), len(matrix) - 1])


def neighbors(X: np.ndarray, plan: Search) -> Graph:
    """Return the neighbour graph of a matrix."""
    if METRICS[plan.metric].by_products:  # else our own search does not know it
        from gpuvis.backends.cpu import neighbors as cpu_neighbors

        return cpu_neighbors.search(X, plan.k, plan.metric, plan.seed)
    from gpuvis.backends.cpu import libraries

    return libraries.neighbors(as_array(X), plan.k, plan.metric, plan.seed)


def nearest(X: np.ndarray, metric: str, k: int) -> np.ndarray:
    """Return the k rows nearest to each row, exactly, the row itself first."""
    if METRICS[metric].by_products:
        from gpuvis.backends.cpu import neighbors as cpu_neighbors

        graph = cpu_neighbors.search(X, k, metric, 0, exact=True)
    else:
        from gpuvis.backends.cpu import libraries

        graph = libraries.nearest(X, k, metric)
    found: np.ndarray = graph.indices
    return found


def in_parts(work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
    """Call `work((first, last))` for parts of so many, or fewer if they are few in all, on all threads."""
    parallel.in_ranges(work, count, size=min(size, -(-count // PARTS)))


def cdist(A: np.ndarray, B: np.ndarray, metric: str) -> np.ndarray:
    """Return the distances of rows, (m, n), by their differences: squared euclidean ones, others by SciPy."""
    if metric == "sqeuclidean":
        squares = np.empty((len(A), len(B)), A.dtype)
        loops.squared_distances(A, np.ascontiguousarray(B.T), squares, (0, len(A)))
        return squares
    from scipy.spatial import distance

    found: np.ndarray = distance.cdist(A, B, {"manhattan": "cityblock"}.get(metric, metric))
    np.nan_to_num(found, copy=False, nan=0.0)  # 0 / 0, of rows of zeros by Bray and Curtis
    return found


def tally(values: Any, base: int, limits: Any, closer: Any, far: Any, near: Any) -> None:
    """Take in distances, (m, n): count those below limits, and keep the least."""
    loops.tally(values, base, limits, closer, far, near, (0, len(values)))


def to_numpy(X: np.ndarray) -> np.ndarray:
    """Return an array as it is."""
    return X


def start(X: np.ndarray, asked: MethodSettings) -> np.ndarray:
    """Return what a layout needs of a matrix besides its graph: its first two principal components."""
    if isinstance(asked, Umap) and asked.library:
        return as_array(X)
    rows, columns = X.shape
    if columns == 1 and isinstance(asked, Umap):
        return np.hstack([as_array(X - X.mean(dtype=np.float64)), np.zeros((rows, 1), np.float32)])
    if columns < 2 or (isinstance(asked, Tsne) and asked.init != "pca"):
        return np.zeros((rows, 2), np.float32)
    return _components(X, 2, 0, 1.0, parallel.current_threads())[0]


def umap(X: np.ndarray, graph: Graph, settings: Umap, seed: int) -> Layout:
    """UMAP of a graph; X is what `start` gave."""
    notes = _of_recall(graph)
    if settings.library:
        from gpuvis.backends.cpu import libraries

        drawn = libraries.umap(X, graph, settings, seed)
        return replace(drawn, notes=notes + drawn.notes)
    from gpuvis.backends.cpu import affinities
    from gpuvis.backends.cpu import umap as umap_layout

    found = affinities.memberships(graph, settings.n_neighbors, umap_layout.least_weight(len(X)))
    coords, details = umap_layout.layout(found, X, settings.min_dist, seed), {"epochs": umap_layout.epochs_of(len(X))}
    return Layout(coords, notes, details, X)


def _of_recall(graph: Graph) -> list[str]:
    recall = graph.details["recall"]
    return [f"neighbours are approximate: {recall:.1%} of the true ones were found"] if recall < LOW_RECALL else []


def tsne(X: np.ndarray, graph: Graph | None, settings: Tsne, seed: int) -> Layout:
    """t-SNE: of a graph, where X is what `start` gave; else by scikit-learn, of the matrix itself."""
    begin = scaled(X if graph else start(X, settings))
    lost = begin is None and settings.init == "pca"
    notes = [ALL_THE_SAME] if lost else []
    if begin is None:
        begin = np.random.default_rng(seed).normal(0, 1e-4, (len(X), 2)).astype(np.float32)
    if graph is None:
        from gpuvis.backends.cpu import libraries

        drawn = libraries.tsne(as_array(X), begin, settings, seed)
        return replace(drawn, notes=notes + drawn.notes)
    from gpuvis.backends.cpu import affinities
    from gpuvis.backends.cpu import tsne as tsne_layout

    found = affinities.probabilities(graph, graph.indices.shape[1], settings.perplexity)
    coords, details = tsne_layout.layout(found, begin)
    return Layout(coords, notes + _of_recall(graph), details, X if settings.init == "pca" and not lost else None)


LAYOUTS: dict[MethodName, Callable[..., Layout]] = {"umap": umap, "tsne": tsne}


def layout(method: MethodName, X: np.ndarray, graph: Graph | None, settings: MethodSettings, seed: int) -> Layout:
    """Return the map that a method makes; X is what `start` gave."""
    return LAYOUTS[method](X, graph, settings, seed)


def scaled(start: np.ndarray) -> np.ndarray | None:
    """Return a start as t-SNE wants it, its first column 1e-4 wide; None where there is hardly any width."""
    width = start[:, 0].std(dtype=np.float64)
    return (start * (1e-4 / width)).astype(np.float32) if width > 0 and np.isfinite(1e-4 / width) else None


def settle() -> dict[str, float]:
    """Return nothing: the CPU is never behind."""
    return {}


def give_back() -> None:
    """Do nothing: freed memory is the system's."""
