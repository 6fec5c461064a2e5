"""Build neighbour graphs on the GPU by cuVS: exact, by NN-descent, or in batches from the host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cupy
import numpy as np
from cuvs.neighbors import all_neighbors, nn_descent

from gpuvis import arrays
from gpuvis.backends.gpu import limits, memory_model
from gpuvis.backends.gpu.plan import GraphPlan
from gpuvis.backends.neighbor_graph import Graph, repaired
from gpuvis.settings import METRICS

NAMES = {"manhattan": "l1"}  # metrics with another name in cuVS
ALGORITHMS = {"exact": "brute_force", "nn_descent": "nn_descent", "batched": "nn_descent"}


def build(X: Any, plan: GraphPlan) -> Graph:
    """Build the graph of the nearest neighbours of every row.

    Parameters
    ----------
    X : cupy.ndarray or ndarray of shape (N, D), float32, C order
        On the host for a batched graph, otherwise on the device.
    plan : GraphPlan

    Returns
    -------
    Graph
        On the device, unless the plan puts it on the host.
    """
    xp: Any = np if plan.on_host else cupy
    directed = _directed_rows(X, plan.metric)
    if directed is None:
        return repaired(*_search(X, plan, xp), xp)
    indices, distances = xp.full((len(X), plan.k), -1, np.int64), xp.full((len(X), plan.k), np.inf, np.float32)
    k, rows = min(plan.k, len(directed)), xp.asarray(directed)
    if k > 1:
        graph = repaired(*_search(X[directed], replace(plan, k=k), xp), xp)
        indices[rows, :k], distances[rows, :k] = rows[graph.indices], graph.distances
        if k < plan.k:
            _fill_columns(indices, distances, rows, k, xp)
    return repaired(indices, distances, xp)


def _directed_rows(X: Any, metric: str) -> Any:
    """Return the indices of the rows that have a direction; None if all have one, or if the metric needs none.

    Rows of zeros have no direction for cosine distances, and constant rows none for correlation. Their distance to
    every row is 1, as on the CPU. cuVS computes 0 / 0 instead: in an exact search they are no row's neighbour and have
    only row 0 as neighbour; with NN-descent they are nearest to all rows.
    """
    if not METRICS[metric].angular:
        return None
    xp: Any = np if isinstance(X, np.ndarray) else cupy
    blocks = (block for _, block in arrays.blocks(X, memory_model.CHUNK))
    if metric == "cosine":
        directed = xp.concatenate([xp.einsum("ij,ij->i", block, block) > 0 for block in blocks])
    else:
        directed = xp.concatenate([block.max(1) > block.min(1) for block in blocks])
    (rows,) = xp.where(directed)
    return None if len(rows) == len(X) else rows


def _fill_columns(indices: Any, distances: Any, rows: Any, k: int, xp: Any) -> None:
    """Fill the columns from k on with rows without a direction, at distance 1, and sort each row by distance.

    `rows`: the rows with a direction; there are fewer of them than columns of the graph.
    """
    (undirected,) = xp.where(indices[:, 0] < 0)
    positions = xp.arange(len(rows))[:, None] + xp.arange(indices.shape[1] - k)[None, :]
    indices[rows, k:], distances[rows, k:] = undirected[positions % len(undirected)], 1
    order = distances[rows].argsort(1)
    indices[rows] = xp.take_along_axis(indices[rows], order, 1)
    distances[rows] = xp.take_along_axis(distances[rows], order, 1)


def _search(X: Any, plan: GraphPlan, xp: Any) -> tuple[Any, Any]:
    """Return the indices and distances from cuVS, before repair."""
    indices = xp.empty((len(X), plan.k), np.int64)
    distances = xp.empty((len(X), plan.k), np.float32)
    X, scale = _centred(X, plan)
    cupy.cuda.runtime.deviceSynchronize()  # cuVS works on its own stream, and does not synchronise at the end
    all_neighbors.build(X, plan.k, _params(plan), indices=indices, distances=distances)
    cupy.cuda.runtime.deviceSynchronize()
    if scale != 1:
        distances *= np.float32(1 / scale)
    return indices, distances


def _centred(X: Any, plan: GraphPlan) -> tuple[Any, float]:
    """Return a matrix for NN-descent, and the factor by which it was scaled.

    NN-descent computes in float16, so rows far from zero are centred, then scaled. If the mean is no farther from zero
    than the rows are from the mean, centring would gain less than one bit, and nothing is done.
    """
    if not plan.centred:
        return X, 1.0
    xp: Any = np if isinstance(X, np.ndarray) else cupy
    blocks = (block for _, block in arrays.blocks(X, memory_model.CHUNK))
    squares = sum(float(xp.einsum("ij,ij->", block, block)) for block in blocks) / len(X)
    mean = X.mean(0, dtype=np.float64)
    if 2 * float(mean @ mean) <= squares:
        return X, 1.0
    mean = mean.astype(np.float32)
    scale = arrays.scale(max(float((X.max(0) - mean).max()), float((mean - X.min(0)).max())), limits.SAFE)
    centred = X - mean
    centred *= np.float32(scale)
    return centred, scale


def _params(plan: GraphPlan) -> Any:
    """Return the parameters of cuVS for a plan."""
    metric = NAMES.get(plan.metric, plan.metric)
    search = None
    if plan.kind != "exact":
        final, intermediate = memory_model.degrees(plan.k)
        search = nn_descent.IndexParams(metric=metric, graph_degree=final, intermediate_graph_degree=intermediate)
    return all_neighbors.AllNeighborsParams(
        algo=ALGORITHMS[plan.kind],
        metric=metric,
        n_clusters=plan.n_clusters,
        overlap_factor=memory_model.OVERLAP,
        nn_descent_params=search,
    )
