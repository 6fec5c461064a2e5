"""Neighbour graphs on the GPU, by cuVS: exact, by NN-descent, or in batches from the host."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from cuvs.neighbors import all_neighbors, nn_descent

from gpuvis.backends import footprint
from gpuvis.backends.graph import Graph, repaired
from gpuvis.backends.plan import GraphPlan

METRICS = {"manhattan": "l1"}  # what cuVS calls differently
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
    indices = xp.empty((len(X), plan.k), np.int64)
    distances = xp.empty((len(X), plan.k), np.float32)
    cupy.cuda.runtime.deviceSynchronize()  # cuVS works on a stream of its own, and does not wait at its end
    all_neighbors.build(X, plan.k, _params(plan), indices=indices, distances=distances)
    cupy.cuda.runtime.deviceSynchronize()
    return repaired(indices, distances, xp)


def _params(plan: GraphPlan) -> Any:
    metric = METRICS.get(plan.metric, plan.metric)
    search = None
    if plan.kind != "exact":
        final, intermediate = footprint.degrees(plan.k)
        search = nn_descent.IndexParams(metric=metric, graph_degree=final, intermediate_graph_degree=intermediate)
    return all_neighbors.AllNeighborsParams(
        algo=ALGORITHMS[plan.kind],
        metric=metric,
        n_clusters=plan.n_clusters,
        overlap_factor=footprint.OVERLAP,
        nn_descent_params=search,
    )
