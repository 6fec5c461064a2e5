"""The layout of t-SNE on the CPU: gradient descent from joint probabilities to coordinates.

Exaggeration, momentum and gains are scikit-learn's (van der Maaten, Hinton 2008; Jacobs 1988). Iterations and learning
rate are openTSNE's: the rate is the number of points over the exaggeration of the phase (Belkina et al. 2019,
doi:10.1038/s41467-019-13055-y; a fourth of it, since the gradient here has that paper's factor 4), where scikit-learn
keeps the first phase's to the end. On MNIST 500 iterations without exaggeration so reach a divergence of 2.81, the 750
of scikit-learn at its rate 2.77, and the map is as true (recall@15 0.340 and 0.343).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.compiled import inlined, kernel, prange
from gpuvis.backends.order import along, permuted
from gpuvis.backends.pairs import fetched, summed
from gpuvis.backends.tsne_repulsion import BLOCKS, Repulsion
from gpuvis.backends.weights import Weights

Array = Any
Graph = tuple[Array, Array, Array]  # indptr, indices, p
F = np.float32
EXAGGERATION = 12.0
EARLY, LATE = 250, 500  # iterations with and without exaggeration
SLOWEST = 50.0  # the least learning rate
SORTED_AT = 100  # the iteration by which the clusters lie where they stay
TINY = 1e-30


def layout(weights: Weights, start: Array) -> tuple[Array, dict[str, Any]]:
    """Lay out a graph of joint probabilities in the plane.

    The coordinates are the same to the bit for any number of threads.

    Parameters
    ----------
    weights : Weights
        Joint probabilities, as `weights.probabilities` gives them.
    start : array of shape (N, 2), float32
        First coordinates, with a standard deviation of 1e-4; not all the same, since no force would part them.

    Returns
    -------
    array of shape (N, 2), float32
    dict
        What was done: ``iterations``, ``repulsion`` ("exact" or "grid") and ``kl``, the divergence reached.
    """
    points = np.array(start, F, order="C")
    if len(points) < 2:
        return points, {"iterations": 0, "repulsion": "exact", "kl": 0.0}
    graph = weights.indptr, weights.indices.view(np.uint32), weights.values
    repulsion = Repulsion(len(points))
    points, normalizer = _descended(graph, points, repulsion)
    return points, {
        "iterations": EARLY + LATE,
        "repulsion": "grid" if repulsion.by_grid else "exact",
        "kl": float(_cross_entropy(graph, points).sum() + np.log(normalizer)),
    }


def _descended(graph: Graph, points: Array, repulsion: Repulsion) -> tuple[Array, float]:
    """Return the points after all steps, and Z of theirs."""
    order = None
    new, force, update, gain = np.empty_like(points), np.empty_like(points), np.zeros_like(points), np.ones_like(points)
    corners = np.stack([points.min(0), points.max(0)])
    for iteration in range(EARLY + LATE):
        if iteration == SORTED_AT and repulsion.by_grid:
            order = along(points)
            graph, points, update, gain = permuted(graph, order), points[order], update[order], gain[order]
        if iteration == EARLY:
            update[:], gain[:] = 0, 1
        exaggeration, momentum = (EXAGGERATION, 0.5) if iteration < EARLY else (1.0, 0.8)
        rate = max(len(points) / exaggeration / 4, SLOWEST)
        normalizer = repulsion.fill(points, corners, force)
        pulls = F(4 * exaggeration), F(-4 / max(normalizer, TINY))
        lows = _step(graph, points, (force, *pulls), (F(rate), F(momentum)), (update, gain), new).min(0)
        corners = np.stack([lows[:2], -lows[2:]])
        points, new = new, points
    normalizer = repulsion.fill(points, corners, force)
    if order is not None:
        new[order] = points
        points = new
    return points, normalizer


@inlined
def _attraction(i: int, graph: Any, points: Array, room: Array) -> Any:
    """Return the sum of p K d over the neighbours of a point; room is for them."""
    indptr, indices, p = graph
    weights = p[indptr[i] : indptr[i + 1]]  # a slice, since an index that may be negative costs time
    pairs = fetched(points, indices[indptr[i] : indptr[i + 1]], room)
    x, y = points[i, 0], points[i, 1]
    for t in range(len(weights)):
        dx = x - pairs[2 * t]
        dy = y - pairs[2 * t + 1]
        c = weights[t] / (F(1) + dx * dx + dy * dy)
        pairs[2 * t], pairs[2 * t + 1] = c * dx, c * dy
    return summed(pairs)


@inlined
def _stepped(gradient: Any, at: Any, value: Any, pace: Any, update: Array, gain: Array) -> Any:
    """Return where one coordinate moves: momentum, and a gain that grows while the gradient keeps its side."""
    rate, momentum = pace
    step, g = update[at], gain[at]
    g = g + F(0.2) if step * gradient < F(0) else max(g * F(0.8), F(0.01))
    step = momentum * step - rate * g * gradient
    update[at], gain[at] = step, g
    return value + step


@kernel
def _step(graph: Any, points: Array, pulls: Any, pace: Any, memory: Any, new: Array) -> Array:
    """Fill the points after one step; return for each block its lowest x and y, and its highest, negative."""
    indptr = graph[0]
    force, attractive, repulsive = pulls
    update, gain = memory  # not in the function that writes them: there numba 0.64 drops the writing
    n = len(points)
    lows = np.full((BLOCKS, 4), F(np.inf))
    for block in prange(BLOCKS):
        first, last = block * n // BLOCKS, (block + 1) * n // BLOCKS
        longest = 0
        for i in range(first, last):
            longest = max(longest, indptr[i + 1] - indptr[i])
        room = np.empty(longest, np.int64)
        low_x, low_y, high_x, high_y = F(np.inf), F(np.inf), F(-np.inf), F(-np.inf)
        for i in range(first, last):
            ax, ay = _attraction(i, graph, points, room)
            x = _stepped(attractive * ax + repulsive * force[i, 0], (i, 0), points[i, 0], pace, update, gain)
            y = _stepped(attractive * ay + repulsive * force[i, 1], (i, 1), points[i, 1], pace, update, gain)
            new[i, 0], new[i, 1] = x, y
            low_x, low_y, high_x, high_y = min(low_x, x), min(low_y, y), max(high_x, x), max(high_y, y)
        lows[block, 0], lows[block, 1], lows[block, 2], lows[block, 3] = low_x, low_y, -high_x, -high_y
    return lows


@kernel
def _cross_entropy(graph: Any, points: Array) -> Array:
    """Return the sums of p log(p / K), for each block."""
    indptr, indices, p = graph
    n = len(points)
    sums = np.zeros(BLOCKS)
    for block in prange(BLOCKS):
        for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
            for t in range(indptr[i], indptr[i + 1]):
                if p[t] > 0:
                    dx = points[i, 0] - points[indices[t], 0]
                    dy = points[i, 1] - points[indices[t], 1]
                    sums[block] += p[t] * np.log(p[t] * (F(1) + dx * dx + dy * dy))
    return sums
