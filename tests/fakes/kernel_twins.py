"""What each compiled loop computes, by its definition, in plain NumPy and in double precision.

A twin takes what its loop reads, and returns what the loop fills for all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.interpolate import BSpline
from scipy.special import xlogy

Array = np.ndarray
Graph = tuple[Array, Array, Array]  # indptr, indices, weights
SPLINE = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)


def wide(*values: Any) -> Any:
    """Return arrays or numbers in double precision, as they are in single precision."""
    found = [np.asarray(value, np.float32).astype(np.float64) for value in values]
    return found if len(found) > 1 else found[0]


def widen(halves: Array) -> Array:
    return halves.view(np.float16).astype(np.float32)


def nearest_of(X: Array, squares: Array, queries: Array, k: int) -> Array:
    """Return the rows with the least |x|² - 2 q x for each query q; of equals, the first."""
    X, squares, queries = wide(X, squares, queries)
    return np.argsort(squares - 2 * queries @ X.T, axis=1, kind="stable")[:, :k]


def search_all(queries: Array, own: Array, X: Array, squares: Array, k: int) -> Array:
    """Return the nearest rows of each query but its own; -1: there is none."""
    found = np.full((len(queries), k), -1)
    for q, query in enumerate(queries):
        others = np.delete(np.arange(len(X)), own[q] if own[q] >= 0 else [])
        near = others[nearest_of(X[others], squares[others], query[None], k)[0]]
        found[q, : len(near)] = near
    return found


def search_lists(lists: Array, X: Array, squares: Array, starts: Array, k: int, first: int, last: int) -> Array:
    """Return the nearest rows of each row of a range in its lists; of equals, those of the list seen first.

    The lists are seen in turn, from the nearest one of the first row on.
    """
    found = np.full((last - first, k), -1)
    turns = np.roll(np.arange(len(starts) - 1), -lists[first, 0])
    for row in range(first, last):
        seen = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in turns if one in lists[row]])
        others = seen[seen != row]
        near = others[nearest_of(X[others], squares[others], X[row][None], k)[0]]
        found[row - first, : len(near)] = near
    return found


def measure(X: Array, real: Array, scaled: bool, order: Array, found: Array) -> tuple[Array, Array]:
    """Return indices and distances of the graph: row i is its row order[i], which comes first."""
    squares = np.square(wide(X)[:, None] - wide(X)[found]).sum(2)
    apart = np.where((real[:, None] & real[found]) > 0, squares / 2, 1) if scaled else np.sqrt(squares)
    rising = apart.argsort(1, kind="stable")
    indices, distances = np.empty((2, len(X), found.shape[1] + 1))
    indices[order] = np.column_stack([order, np.take_along_axis(order[found], rising, 1)])
    distances[order] = np.column_stack([np.zeros(len(X)), np.take_along_axis(apart, rising, 1)])
    return indices, distances


def width_for(rising: Callable[[Array], Array], target: float, rows: int, octaves: int) -> Array:
    """Return for each row the width at which a function reaches a target, from 2^-octaves to 2^octaves."""
    low, high = np.full((rows, 1), -float(octaves)), np.full((rows, 1), float(octaves))
    for _ in range(64):
        middle = (low + high) / 2
        above = rising(2**middle)[:, None] > target
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 2**high


def memberships(distances: Array) -> Array:
    """Return exp(-(d - nearest) / width), with the widths for which they sum to log2(k)."""
    far, k = wide(distances)[:, 1:], distances.shape[1]
    nearest = np.where(far > 0, far, np.inf).min(1, keepdims=True)
    beyond = np.maximum(far - np.where(np.isinf(nearest), 0, nearest), 0)
    width = width_for(lambda width: np.exp(-beyond / width).sum(1), np.log2(k), len(far), 63)
    return np.exp(-beyond / np.maximum(width, 1e-3 * far.sum(1, keepdims=True) / k))


def probabilities(distances: Array, entropy: float) -> Array:
    """Return p = exp(-d² / width) / their sum, with the widths at which -sum p log(p) is the entropy."""
    far = wide(distances)[:, 1:]
    squares = far**2 - far[:, :1] ** 2  # a constant cancels

    def p(width: Array) -> Array:
        kernel = np.exp(-squares / width)
        return kernel / kernel.sum(1, keepdims=True)

    return p(width_for(lambda width: -xlogy(p(width), p(width)).sum(1), entropy, len(far), 99))


def mixed(x: int) -> int:
    """Return the mixing of SplitMix64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def drawn(row: int, rows: int, random: int) -> list[int]:
    """Return which positions of the shuffled order repel a row: twice 16 in succession."""
    one = mixed(random ^ ((row + 1) * 0x9E3779B97F4A7C15 % 2**64))
    return [((draw >> 32) * rows >> 32) + t for draw in (one, mixed(one)) for t in range(16)]


def neighbors(graph: Graph) -> list[tuple[Array, Array]]:
    """Return the neighbours and their weights for each point."""
    indptr, indices, weights = graph
    return [(indices[first:last], wide(weights[first:last])) for first, last in pairwise(indptr)]


def pulled(graph: Graph, points: Array, size: Callable[[Array], Array]) -> Array:
    """Return for each point the sum of weight * size(d²) * d over its neighbours."""
    sums = np.empty(points.shape)
    for i, (near, weights) in enumerate(neighbors(graph)):
        d = points[i] - points[near]
        sums[i] = (weights * size(np.square(d).sum(1))) @ d
    return sums


def umap_epoch(
    graph: Graph,
    state: tuple[Array, Array, Array],
    shuffled: Array,
    curve: tuple[float, float],
    random: int,
    adam: tuple[float, float, float, float, float],
) -> tuple[Array, Array, Array]:
    """Return the points after a step of Adam, and its averages; `state` is both before.

    Neighbours attract by the gradient of 2 w log(1 / (1 + a d^2b)), and 32 others repel as 5 for each of them would.
    """
    (points, means, squares), shuffled = wide(*state), wide(shuffled)
    (a, b), (rate, unbiased, mean, square, epsilon) = wide(*curve), wide(*adam)
    gradient = pulled(graph, points, lambda d2: -4 * a * b * (d2 + 1e-12) ** (b - 1) / (1 + a * (d2 + 1e-12) ** b))
    for i, (_, weights) in enumerate(neighbors(graph)):
        d = points[i] - shuffled[drawn(i, len(points), random)]
        d2 = np.square(d).sum(1, keepdims=True)
        push = 2 * b / ((1e-3 + d2) * (1 + a * (d2 + 1e-12) ** b)) * d
        gradient[i] += weights.sum() * 5 / 32 * np.clip(push, -4, 4).sum(0)
    means, squares = mean * means + (1 - mean) * gradient, square * squares + (1 - square) * gradient**2
    return points + rate * means / (np.sqrt(squares) * unbiased + epsilon), means, squares


def tsne_step(
    graph: Graph,
    points: Array,
    force: Array,
    pulls: tuple[float, float],
    pace: tuple[float, float],
    update: Array,
    gain: Array,
) -> tuple[Array, Array, Array]:
    """Return the updates, the gains and the points after a step; neighbours attract by p K d, K = 1 / (1 + |d|²)."""
    points, force, update, gain = wide(points, force, update, gain)
    (attractive, repulsive), (rate, momentum) = wide(*pulls), wide(*pace)
    gradient = attractive * pulled(graph, points, lambda d2: 1 / (1 + d2)) + repulsive * force
    gain = np.where(update * gradient < 0, gain + 0.2, np.maximum(gain * 0.8, 0.01))
    update = momentum * update - rate * gain * gradient
    return update, gain, points + update


def tsne_pairs(sides: Array) -> tuple[Array, Array]:
    """Return the sums of K² d and of K over all points, K = 1 / (1 + |d|²)."""
    d = wide(sides.T)[:, None] - wide(sides.T)
    K = 1 / (1 + np.square(d).sum(2))
    return np.einsum("ij,ijc->ic", K**2, d), K.sum(1)


def on_grid(points: Array, frame: tuple[float, float, float]) -> tuple[Array, Array]:
    """Return where points are on the grid, along its rows and its columns; rounded as the loops round it."""
    low_x, low_y, inverse = np.float32(frame)
    return (points[:, 0] - low_x) * inverse, (points[:, 1] - low_y) * inverse


def splines(at: Array, size: int, derivative: int = 0) -> Array:
    """Return the cubic B-spline around each node, or its slope, at some points: (points, nodes)."""
    return np.nan_to_num(SPLINE(wide(at)[:, None] - np.arange(size), derivative))


def grid_order(points: Array, frame: tuple[float, float, float], size: int) -> tuple[Array, Array]:
    """Return where each row of the grid ends in the order of the points by their rows, and this order."""
    rows = on_grid(points, frame)[0].astype(int)
    return np.bincount(rows, minlength=size + 1).cumsum(), rows.argsort(kind="stable")


def grid_spread(points: Array, frame: tuple[float, float, float], size: int) -> Array:
    """Return the charge of each node: the sum of the splines of all points."""
    u, v = on_grid(points, frame)
    return splines(u, size).T @ splines(v, size)


def grid_overlap(charge: Array, potential: Array) -> Array:
    return (wide(charge) * wide(potential)).sum(1)


def grid_gather(points: Array, frame: tuple[float, float, float], potential: Array) -> Array:
    """Return minus half the gradient of the potential at each point."""
    (u, v), size = on_grid(points, frame), len(potential)
    along_x = np.einsum("ir,rc,ic->i", splines(u, size, 1), wide(potential), splines(v, size))
    along_y = np.einsum("ir,rc,ic->i", splines(u, size), wide(potential), splines(v, size, 1))
    return -0.5 * wide(frame[2]) * np.stack([along_x, along_y], 1)
