"""Neighbour graphs on the GPU, by cuVS: exact, by NN-descent, or in batches from the host."""

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

NAMES = {"manhattan": "l1"}  # what cuVS calls differently
ALGORITHMS = {"exact": "brute_force", "nn_descent": "nn_descent", "batched": "nn_descent"}


def build(X: Any, plan: GraphPlan) -> Graph:
    """Find the k nearest neighbours of every row.

    Parameters
    ----------
    X : cupy.ndarray or ndarray of shape (N, D), float32, C order
        On the host for a batched graph, else on the device.
    plan : GraphPlan

    Returns
    -------
    Graph
        On the device, unless the plan puts it on the host.
    """
    xp: Any = np if plan.on_host else cupy
    some = _directed(X, plan.metric)
    if some is None:
        return repaired(*_search(X, plan, xp), xp)
    indices, distances = xp.full((len(X), plan.k), -1, np.int64), xp.full((len(X), plan.k), np.inf, np.float32)
    k, place = min(plan.k, len(some)), xp.asarray(some)
    if k > 1:
        near, far = _search(X[some], replace(plan, k=k), xp)
        indices[place, :k], distances[place, :k] = place[repaired(near, far, xp).indices], far
        if k < plan.k:
            _fill(indices, distances, place, k, xp)
    return repaired(indices, distances, xp)


def _directed(X: Any, metric: str) -> Any:
    """Return which rows have a direction, or None: all have one, or the metric asks for none.

    The others, of zeros by cosine and constant ones by correlation, are 1 away from every row, as on the CPU. cuVS has
    them at 0 / 0, which is nobody's neighbour and has row 0 for all of its own; or, by NN-descent, nearest to all.
    """
    if not METRICS[metric].angular:
        return None
    xp: Any = np if isinstance(X, np.ndarray) else cupy
    blocks = (block for _, block in arrays.blocks(X, memory_model.CHUNK))
    if metric == "cosine":
        known = xp.concatenate([xp.einsum("ij,ij->i", block, block) > 0 for block in blocks])
    else:
        known = xp.concatenate([block.max(1) > block.min(1) for block in blocks])
    return None if bool(known.all()) else xp.where(known)[0]


def _fill(indices: Any, distances: Any, some: Any, k: int, xp: Any) -> None:
    """Give some rows, which are fewer than neighbours are asked for, others that have no direction: 1 away."""
    lost = xp.where(indices[:, 0] < 0)[0]
    turn = xp.arange(len(some))[:, None] + xp.arange(indices.shape[1] - k)[None, :]
    indices[some, k:], distances[some, k:] = lost[turn % len(lost)], 1
    order = distances[some].argsort(1)
    indices[some] = xp.take_along_axis(indices[some], order, 1)
    distances[some] = xp.take_along_axis(distances[some], order, 1)


def _search(X: Any, plan: GraphPlan, xp: Any) -> tuple[Any, Any]:
    """Return indices and distances as cuVS finds them."""
    indices = xp.empty((len(X), plan.k), np.int64)
    distances = xp.empty((len(X), plan.k), np.float32)
    X, scale = _centred(X, plan)
    cupy.cuda.runtime.deviceSynchronize()  # cuVS works on a stream of its own, and does not wait at its end
    all_neighbors.build(X, plan.k, _params(plan), indices=indices, distances=distances)
    cupy.cuda.runtime.deviceSynchronize()
    if scale != 1:
        distances *= np.float32(1 / scale)
    return indices, distances


def _centred(X: Any, plan: GraphPlan) -> tuple[Any, float]:
    """Return a matrix for NN-descent, which reckons in float16: rows far from zero less their middle, and scaled.

    Of rows that are no farther from zero than from their middle it would save less than a bit.
    """
    if not plan.centred:
        return X, 1.0
    xp: Any = np if isinstance(X, np.ndarray) else cupy
    squares = sum(float(xp.einsum("ij,ij->", block, block)) for _, block in arrays.blocks(X, memory_model.CHUNK)) / len(
        X
    )
    middle = X.mean(0, dtype=np.float64)
    if 2 * float(middle @ middle) <= squares:
        return X, 1.0
    middle = middle.astype(np.float32)
    scale = arrays.scale(max(float((X.max(0) - middle).max()), float((middle - X.min(0)).max())), limits.SAFE)
    centred = X - middle
    centred *= np.float32(scale)
    return centred, scale


def _params(plan: GraphPlan) -> Any:
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
