"""Compute PCA, neighbours and layouts with scikit-learn, umap-learn and pynndescent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from gpuvis.backends.base import Layout
from gpuvis.backends.library_warnings import collect_warnings
from gpuvis.backends.neighbor_graph import Graph, repaired
from gpuvis.backends.parallel import openmp_limited
from gpuvis.errors import SettingsError, is_out_of_memory
from gpuvis.settings import Tsne, Umap

EXACT_ROWS = 5000  # most rows for which scikit-learn compares all pairs
SAMPLE = 256  # rows for which recall is measured


def pca(X: np.ndarray, n_components: int, seed: int) -> tuple[np.ndarray, float | None]:
    """Compute PCA scores by scikit-learn, which chooses the solver by the shape of X.

    Parameters and results are those of `Backend.pca`.
    """
    with collect_warnings():
        from sklearn.decomposition import PCA

        model = PCA(n_components, random_state=seed)
        scores = model.fit_transform(X)
    kept = float(model.explained_variance_ratio_.sum())
    return np.ascontiguousarray(scores, np.float32), kept if np.isfinite(kept) else None


def neighbors(X: np.ndarray, k: int, metric: str, seed: int) -> Graph:
    """Build the neighbour graph for any metric: exact, by scikit-learn, for few rows; else by pynndescent.

    pynndescent runs on one thread, because its result depends on the number of threads.

    Parameters
    ----------
    X : ndarray of shape (N, D), float32
    k : int
        Columns of the graph, including the row itself; at most N.
    metric : str
    seed : int

    Returns
    -------
    Graph
        Its details hold the `engine` and the `recall` on a sample of rows.
    """
    if len(X) <= EXACT_ROWS:
        return nearest(X, k, metric)
    with collect_warnings(), _numba_errors():
        from pynndescent import NNDescent

        cache_compiled("pynndescent.pynndescent_", "pynndescent.rp_trees", "pynndescent.utils", "pynndescent.distances")
        indices, distances = NNDescent(X, metric, n_neighbors=k, random_state=seed, n_jobs=1).neighbor_graph
    sample = np.random.default_rng(seed).choice(len(X), SAMPLE, replace=False)
    true, _ = _exact(X, X[sample], k, metric)
    recall = float(np.mean([np.isin(ids, indices[row]).mean() for ids, row in zip(true, sample, strict=True)]))
    return _graph(indices, distances, "pynndescent", recall)


def nearest(X: np.ndarray, k: int, metric: str) -> Graph:
    """Build the exact neighbour graph for any metric and any number of rows."""
    return _graph(*_exact(X, X, k, metric), "scikit-learn, exact", 1.0)


def _exact(X: np.ndarray, queries: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices and distances of the k nearest rows of each query, ascending."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric).fit(X)
    with openmp_limited():
        distances, indices = model.kneighbors(queries)
    return indices, distances


def _graph(indices: np.ndarray, distances: np.ndarray, engine: str, recall: float) -> Graph:
    graph = repaired(indices.astype(np.int32), distances.astype(np.float32), np)
    return Graph(graph.indices, graph.distances, np, {"engine": engine, "recall": recall})


def umap(X: np.ndarray, graph: Graph, settings: Umap, seed: int) -> Layout:
    """Lay out a graph by umap-learn, on one thread, because results of several threads differ despite the seed."""
    with collect_warnings() as notes, _numba_errors():
        from umap import UMAP

        cache_compiled("umap.umap_", "umap.layouts")
        model = UMAP(
            n_neighbors=settings.n_neighbors,
            min_dist=settings.min_dist,
            metric=settings.metric,
            precomputed_knn=(*graph.nearest(settings.n_neighbors), None),
            random_state=seed,
            n_jobs=1,
        )
        coords = model.fit_transform(X)
    return Layout(coords, notes)


def tsne(X: np.ndarray, start: np.ndarray, settings: Tsne, seed: int) -> Layout:
    """Lay out a matrix by scikit-learn's t-SNE, which searches the neighbours by itself."""
    with collect_warnings() as notes:
        from sklearn.manifold import TSNE

        model: Any = TSNE(
            perplexity=settings.perplexity,
            metric=settings.metric,
            method=settings.method,
            init=start,
            random_state=seed,
        )
        with openmp_limited():
            coords = model.fit_transform(X)
    return Layout(coords, notes, {"iterations": int(model.n_iter_), "kl": float(model.kl_divergence_)})


@contextmanager
def _numba_errors() -> Iterator[None]:
    """Name numba's environment variables in an error raised in the block, because a wrong one may be the cause.

    Raises
    ------
    SettingsError
        The block failed for another reason than lack of memory, while such variables were set.
    """
    try:
        yield
    except Exception as error:
        names = sorted(name for name in os.environ if name.startswith("NUMBA_"))
        if not names or is_out_of_memory(error):
            raise
        message = " ".join(str(error).split())
        raise SettingsError(f"numba stopped: {message}; look at {', '.join(names)} in the environment") from error


def cache_compiled(*modules: str) -> None:
    """Make numba cache the compiled functions of these modules on disk, if it finds a folder it can write to."""
    from numba.core.registry import CPUDispatcher

    for name in modules:
        for function in vars(sys.modules[name]).values():
            if isinstance(function, CPUDispatcher):
                with suppress(RuntimeError):
                    function.enable_caching()
