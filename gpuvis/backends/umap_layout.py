"""The layout of UMAP by gathered gradients: each vertex moves itself, from where all were in the epoch before.

umap-learn moves both ends of one edge after the other, so that its result depends on the order, and a seeded one takes
a single thread. Here an epoch is a step of Adam (Kingma, Ba 2015, arXiv:1412.6980; so do uwot's `batch` mode and
others) along the same forces: all attractions of a vertex, each by its weight and whole, where umap-learn draws edges
by their weights and limits each pull; and `NEGATIVES` repulsions, scaled to the 5 that umap-learn draws for each
attraction. The weights, the curve (a, b), the constant in the repulsion and its limit are umap-learn's.

The start is the first two principal components, which place the classes as the data does, and cost less than the
spectral one. Measured by tests/benchmarks/layouts.py on the digits, MNIST (PCA to 50), a CLIP-like class hierarchy, a
long-tailed one with 1,500 classes of 2, and a graph in 57 parts: Adam's rate falling by the square (`FALL`) finds more
neighbours than a linear fall on all five, at the same epochs, with trustworthiness about the same. Momentum alone, at a
rate chosen for it, is about as good at the same epochs, but on MNIST, where it needs more, at most twice as many; Adam
takes one rate for all. A far smaller `EPSILON` makes no clear difference. Starts from 10 to 20 wide differ little: 10
loses some neighbours on the digits and the parts, 20 is as good as 15.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.compiled import bits, blocks, from_bits, inlined, kernel, prange
from gpuvis.backends.order import along, permuted
from gpuvis.backends.pairs import fetched, summed
from gpuvis.backends.weights import Weights

F = np.float32
FEW_ROWS = 10_000  # up to which there are more epochs, as in umap-learn
EPOCHS, EPOCHS_OF_FEW = 200, 300
LEAST, LEAST_OF_FEW = 1 / 200, 1 / 500  # weights below it are left out, as in umap-learn's epochs
SORTED_AT = 20  # the epoch by which neighbours lie together
WIDTH = F(15)  # of the start, from the middle
NOISE = 1e-4  # of the start, so that equal rows can part
BLOCK = 256  # vertices
LANES = 16  # positions that are drawn together, next to each other in a shuffled order
NEGATIVES = 32  # positions drawn for each vertex in an epoch
RATIO = F(5)  # repulsions for each attraction, as in umap-learn
TINY = F(1e-30)  # a start that is no wider is in one place
SHORTEST = F(1e-12)  # squared distance: logarithms need one above 0
CLOSE = F(1e-3)  # squared distance below which the repulsion does not grow, as in umap-learn
STRONGEST = F(4)  # of one repulsion along an axis, as in umap-learn
RATE, FALL = 1.0, 2  # of Adam: at first, and the power by which it falls to 0
MEAN, SQUARE, EPSILON = 0.5, 0.9, F(0.1)  # of Adam: how slowly its averages forget, and what gradients are small


def epochs_of(rows: int) -> int:
    """Return how many epochs a layout of so many rows takes."""
    return EPOCHS_OF_FEW if rows <= FEW_ROWS else EPOCHS


def least_weight(rows: int) -> float:
    """Return the weight below which an edge is left out."""
    return LEAST_OF_FEW if rows <= FEW_ROWS else LEAST


def curve(min_dist: float) -> tuple[float, float]:
    """Return a and b, such that 1 / (1 + a d^(2b)) is near to UMAP's curve for `min_dist`, with `spread` 1.

    The curve is 1 up to `min_dist` and exp(min_dist - d) beyond; the fit is by least squares on 300 distances up to 3,
    as in umap-learn; here by Gauss-Newton steps, damped as Levenberg and Marquardt do.
    """
    d = np.linspace(0, 3, 300)[1:]  # at 0 both are 1
    wanted = np.where(d < min_dist, 1, np.exp(min_dist - d))
    known, damping = np.array([1.0, 1.0]), 1e-3

    def misfit(a: float, b: float) -> np.ndarray:
        return 1 / (1 + a * d ** (2 * b)) - wanted

    for _ in range(200):
        a, b = known
        power, off = d ** (2 * b), misfit(a, b)
        slope = np.stack([-power, -2 * a * power * np.log(d)], 1) / (1 + a * power)[:, None] ** 2
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(normal.diagonal()), -slope.T @ off)
        better = (known + step > 0).all() and np.sum(misfit(*(known + step)) ** 2) <= off @ off
        known, damping = (known + step, damping / 10) if better else (known, damping * 10)
        if better and np.abs(step).max() < 1e-12:
            break
    return float(known[0]), float(known[1])


@inlined
def _power(x: Any, exponent: Any) -> Any:
    """Return x ** exponent of a float32 above 0, to 2e-5 of itself; it vectorises, as a call of a library does not.

    The logarithm is the exponent in the bits of x and a polynomial of its mantissa, and the way back the same. The
    polynomials were fitted for the least maximal error with their ends fixed.
    """
    whole = bits(x)
    m = from_bits(np.int32(np.int32(whole & np.int32(0x7FFFFF)) | np.int32(0x3F800000))) - F(1)
    log = F(0.41560601) + m * (F(-0.19357565) + m * F(0.04514903))
    log = m * (F(1.44191704) + m * (F(-0.70909643) + m * log))
    log = (log + F(np.int32(np.int32(whole >> np.int32(23)) - np.int32(127)))) * exponent
    log = max(F(-126), log)
    floor = np.int32(np.int32(log + F(256)) - np.int32(256))
    r = log - F(floor)
    up = F(1) + r * (F(0.69300392) + r * (F(0.24154982) + r * (F(0.05174426) + r * F(0.01370200))))
    return up * from_bits(np.int32(np.int32(floor + np.int32(127)) << np.int32(23)))


@inlined
def _within(x: Any) -> Any:
    x = min(STRONGEST, x)
    return max(-STRONGEST, x)


@kernel
def _shuffle(Y: Any, order: Any, shuffled: Any, bounds: Any) -> None:
    """Copy positions into a shuffled order, so that those next to each other are a random sample."""
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            shuffled[0, i], shuffled[1, i] = Y[order[i], 0], Y[order[i], 1]


@inlined
def _attraction(Y: Any, i: int, near: Any, weights: Any, a: Any, b: Any, room: Any) -> Any:
    x, y = Y[i, 0], Y[i, 1]
    pairs = fetched(Y, near, room)
    for t in range(len(weights)):
        dx, dy = x - pairs[2 * t], y - pairs[2 * t + 1]
        square = dx * dx + dy * dy + SHORTEST
        power = _power(square, b)
        pull = weights[t] * power / (square * (F(1) + a * power))
        pairs[2 * t], pairs[2 * t + 1] = pull * dx, pull * dy
    pull_x, pull_y = summed(pairs)
    return F(-4) * a * b * pull_x, F(-4) * a * b * pull_y  # an edge pulls at its ends twice, as (i, j) and as (j, i)


@inlined
def _repulsion(Y: Any, i: int, shuffled: Any, random: Any, a: Any, b: Any, room: Any) -> Any:
    x, y = Y[i, 0], Y[i, 1]
    pairs = room.view(F)
    for part in range(NEGATIVES // LANES):
        random = _mixed(random)
        first = np.int64(((random >> np.uint64(32)) * np.uint64(len(Y))) >> np.uint64(32))
        xs, ys = shuffled[0, first : first + LANES], shuffled[1, first : first + LANES]
        out = pairs[part * 2 * LANES : (part + 1) * 2 * LANES]
        for t in range(len(xs)):
            dx, dy = x - xs[t], y - ys[t]
            square = dx * dx + dy * dy
            push = F(2) * b / ((CLOSE + square) * (F(1) + a * _power(square + SHORTEST, b)))
            out[2 * t], out[2 * t + 1] = _within(push * dx), _within(push * dy)
    return summed(pairs[: 2 * NEGATIVES])


@inlined
def _mixed(x: Any) -> Any:
    """Return a random number from another one (SplitMix64's mixing; Steele, Lea, Flood 2014, OOPSLA)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def _sum_rows(indptr: Any, weights: Any, sums: Any, bounds: Any) -> None:
    for block in prange(len(bounds) - 1):
        for i in range(bounds[block], bounds[block + 1]):
            total = 0.0
            for t in range(indptr[i], indptr[i + 1]):
                total += weights[t]
            sums[i] = total


@kernel
def _epoch(graph: Any, state: Any, shuffled: Any, a: Any, b: Any, random: Any, rates: Any, bounds: Any) -> None:
    """Move every vertex once, from `Y` to `after`."""
    (indptr, indices, weights, degrees), (Y, after, means, squares), (rate, unbiased, root) = graph, state, rates
    for block in prange(len(bounds) - 1):
        longest = NEGATIVES
        for i in range(bounds[block], bounds[block + 1]):
            longest = max(longest, indptr[i + 1] - indptr[i])
        room = np.empty(longest, np.int64)
        for i in range(bounds[block], bounds[block + 1]):
            edges = slice(indptr[i], indptr[i + 1])
            pull = _attraction(Y, i, indices[edges], weights[edges], a, b, room)
            push = _repulsion(Y, i, shuffled, random ^ (np.uint64(i + 1) * np.uint64(0x9E3779B97F4A7C15)), a, b, room)
            for axis in range(2):
                gradient = pull[axis] + degrees[i] * RATIO / F(NEGATIVES) * push[axis]
                mean = F(MEAN) * means[i, axis] + F(1 - MEAN) * gradient
                square = F(SQUARE) * squares[i, axis] + F(1 - SQUARE) * gradient * gradient
                means[i, axis], squares[i, axis] = mean, square
                after[i, axis] = Y[i, axis] + rate * mean * unbiased / (np.sqrt(square) * root + EPSILON)


def layout(weights: Weights, start: np.ndarray, min_dist: float, seed: int) -> np.ndarray:
    """Lay a weighted graph out in the plane.

    Parameters
    ----------
    weights : Weights
        As `weights.memberships` gives them; the largest is 1.
    start : ndarray of shape (N, 2)
        Positions of any scale.
    min_dist : float
    seed : int

    Returns
    -------
    ndarray of shape (N, 2), float32
    """
    rows, draw = len(start), np.random.default_rng(seed)
    Y = start * (WIDTH / max(np.abs(start).max(), TINY)) + draw.normal(0, NOISE, start.shape)
    Y = np.ascontiguousarray(Y, np.float32)
    state = [Y, np.empty_like(Y), np.zeros_like(Y), np.zeros_like(Y)]
    mixed = draw.permutation(rows)
    mixed = np.resize(mixed, rows + LANES)  # the first ones again, after the last
    shuffled = np.empty((2, len(mixed)), np.float32)
    degrees, bounds = np.empty(rows, np.float32), blocks(rows, BLOCK)
    _sum_rows(weights.indptr, weights.values, degrees, bounds)
    graph = weights.indptr, weights.indices.view(np.uint32), weights.values
    (a, b), n_epochs = map(F, curve(min_dist)), epochs_of(rows)
    all_bounds = blocks(len(mixed), 1 << 14)
    order = None
    for epoch in range(n_epochs):
        if epoch == SORTED_AT and rows > FEW_ROWS:
            order = along(state[0])
            graph, degrees, state = permuted(graph, order), degrees[order], [one[order] for one in state]
        _shuffle(state[0], mixed, shuffled, all_bounds)
        unbiased, root = 1 / (1 - MEAN ** (epoch + 1)), (1 - SQUARE ** (epoch + 1)) ** -0.5
        rates = F(RATE * (1 - epoch / n_epochs) ** FALL), F(unbiased), F(root)
        _epoch((*graph, degrees), tuple(state), shuffled, a, b, np.uint64(draw.integers(1 << 63)), rates, bounds)
        state[:2] = state[1::-1]
    Y, there = state[:2]
    if order is not None:
        there[order] = Y
    return Y if order is None else there
