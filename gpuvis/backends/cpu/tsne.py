"""The layout of t-SNE on the CPU: gradient descent from joint probabilities to coordinates.

Exaggeration, momentum and gains are scikit-learn's (van der Maaten, Hinton 2008; Jacobs 1988). Iterations and learning
rate are openTSNE's: the rate is the number of points over the exaggeration of the phase (Belkina et al. 2019,
doi:10.1038/s41467-019-13055-y; a fourth of it, since the gradient here has that paper's factor 4), where scikit-learn
keeps the first phase's to the end. On MNIST 500 iterations without exaggeration so reach a divergence of 2.81, the 750
of scikit-learn at its rate 2.77, and the map is as true (recall@15 0.340 and 0.343).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.backends.cpu.affinities import arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.order import along, permuted
from gpuvis.backends.cpu.repulsion import Repulsion
from gpuvis.backends.parallel import current_threads, in_order, in_ranges

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = Any
F = np.float32
EXAGGERATION = 12.0
EARLY, LATE = 250, 500  # iterations with and without exaggeration
SLOWEST = 50.0  # the least learning rate
SORTED_AT = 100  # the iteration by which the clusters lie where they stay
TINY = 1e-30
BLOCK = 8192  # points whose divergence is summed at a time


def layout(weights: csr_matrix, start: Array) -> tuple[Array, dict[str, Any]]:
    """Lay out a graph of joint probabilities in the plane.

    The coordinates are the same to the bit for any number of threads.

    Parameters
    ----------
    weights : csr_matrix of shape (N, N)
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
    repulsion = Repulsion(len(points))
    points, normalizer = _descended(weights, points, repulsion)
    return points, {
        "iterations": EARLY + LATE,
        "repulsion": "grid" if repulsion.by_grid else "exact",
        "kl": _cross_entropy(weights, points) + float(np.log(normalizer)),
    }


def _descended(weights: csr_matrix, points: Array, repulsion: Repulsion) -> tuple[Array, float]:
    """Return the points after all steps, and Z of theirs."""
    graph, order = arrays(weights), None
    after, force, update, gain = (np.full_like(points, value) for value in (0, 0, 0, 1))
    for iteration in range(EARLY + LATE):
        if iteration == SORTED_AT and repulsion.by_grid:
            order = along(points)
            graph = arrays(permuted(weights, order))
            points, update, gain = points[order], update[order], gain[order]
        if iteration == EARLY:
            update[:], gain[:] = 0, 1
        exaggeration, momentum = (EXAGGERATION, 0.5) if iteration < EARLY else (1.0, 0.8)
        rate = max(len(points) / exaggeration / 4, SLOWEST)
        pulls = 4 * exaggeration, -4 / max(repulsion.fill(points, force), TINY)
        in_ranges(loops.tsne_step, len(points), graph, points, force, pulls, (rate, momentum), update, gain, after)
        points, after = after, points
    normalizer = repulsion.fill(points, force)
    if order is not None:
        after[order] = points
        points = after
    return points, normalizer


def _cross_entropy(weights: csr_matrix, points: Array) -> float:
    """Return the sum of p log(p / K), K = 1 / (1 + |d|²)."""

    def of_block(first: int) -> float:
        rows = slice(first, first + BLOCK)
        block = weights[rows]
        d = np.repeat(points[rows], np.diff(block.indptr), axis=0) - points[block.indices]
        p = block.data
        return float((p * np.log(np.maximum(p * (1 + np.square(d).sum(1)), TINY))).sum(dtype=np.float64))

    return sum(in_order(of_block, range(0, len(points), BLOCK), current_threads()))
