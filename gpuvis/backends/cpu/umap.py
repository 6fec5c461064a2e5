"""The UMAP layout on the CPU: each vertex gathers its gradient from the positions of the epoch before.

umap-learn moves both ends of one edge after the other, so that its result depends on the order, and a seeded one takes
a single thread. Here an epoch (`kernels/umap.cpp`) is a step of Adam (Kingma, Ba 2015, arXiv:1412.6980; so do uwot's
`batch` mode and others) along the same forces: all attractions of a vertex, each by its weight and whole, where
umap-learn draws edges by their weights and limits each pull; and 32 repulsions, scaled to the 5 that umap-learn draws
for each attraction. The weights, the curve (a, b), the constant in the repulsion and its limit are umap-learn's.

The start is the first two principal components, which place the classes as the data does, and cost less than the
spectral one. Measured by tests/benchmarks/layouts.py on the digits, MNIST (PCA to 50), a CLIP-like class hierarchy, a
long-tailed one with 1,500 classes of 2, and a graph in 57 parts: Adam's rate falling by the square (`FALL`) finds more
neighbours than a linear fall on all five, at the same epochs, with trustworthiness about the same. Momentum alone, at a
rate chosen for it, is about as good at the same epochs, but on MNIST, where it needs more, at most twice as many; Adam
takes one rate for all. A far smaller `EPSILON` makes no clear difference. Starts from 10 to 20 wide differ little: 10
loses some neighbours on the digits and the parts, 20 is as good as 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuvis.backends.cpu.affinities import arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.order import along, permuted
from gpuvis.backends.parallel import in_ranges

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

F = np.float32
FEW_ROWS = 10_000  # up to which there are more epochs, as in umap-learn
EPOCHS, EPOCHS_OF_FEW = 200, 300
LEAST, LEAST_OF_FEW = 1 / 200, 1 / 500  # weights below it are left out, as in umap-learn's epochs
SORTED_AT = 20  # the epoch by which neighbours lie together
WIDTH = F(15)  # of the start, from the middle
NOISE = 1e-4  # of the start, so that equal rows can part
TINY = F(1e-30)  # a start that is no wider is in one place
RATE, FALL = 1.0, 2  # of Adam: at first, and the power by which it falls to 0
MEAN, SQUARE, EPSILON = 0.5, 0.9, 0.1  # of Adam: how slowly its averages forget, and what gradients are small


def epochs_of(rows: int) -> int:
    """Return how many epochs a layout of so many rows takes."""
    return EPOCHS_OF_FEW if rows <= FEW_ROWS else EPOCHS


def least_weight(rows: int) -> float:
    """Return the weight below which an edge is left out."""
    return LEAST_OF_FEW if rows <= FEW_ROWS else LEAST


def curve(min_dist: float) -> tuple[float, float]:
    """Return a and b, such that 1 / (1 + a d^(2b)) is near to UMAP's curve for `min_dist`, with `spread` 1.

    The curve is 1 up to `min_dist` and exp(min_dist - d) beyond; the fit is by least squares on 300 distances up to 3,
    as in umap-learn; here by Gauss-Newton steps, damped as Levenberg and Marquardt do, since importing `scipy.optimize`
    for it takes a sixth of the time of a small map.
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


def layout(weights: csr_matrix, start: np.ndarray, min_dist: float, seed: int) -> np.ndarray:
    """Lay a weighted graph out in the plane.

    Parameters
    ----------
    weights : csr_matrix of shape (N, N)
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
    points = start * (WIDTH / max(np.abs(start).max(), TINY)) + draw.normal(0, NOISE, start.shape)
    points = np.ascontiguousarray(points, np.float32)
    after, means, squares = np.empty_like(points), np.zeros_like(points), np.zeros_like(points)
    mixed = np.resize(draw.permutation(rows), rows + loops.DRAWN)  # the first ones again, after the last
    shuffled = np.empty((len(mixed), 2), np.float32)
    graph, (a, b), n_epochs, order = arrays(weights), curve(min_dist), epochs_of(rows), None
    for epoch in range(n_epochs):
        if epoch == SORTED_AT and rows > FEW_ROWS:
            order = along(points)
            graph = arrays(permuted(weights, order))
            points, means, squares = points[order], means[order], squares[order]
        _shuffle(points, mixed, shuffled)
        random, adam = int(draw.integers(1 << 63)), _adam(epoch, n_epochs)
        in_ranges(loops.umap_epoch, rows, graph, points, after, means, squares, shuffled, a, b, random, adam)
        points, after = after, points
    if order is None:
        return points
    after[order] = points
    return after


def _shuffle(points: np.ndarray, mixed: np.ndarray, shuffled: np.ndarray) -> None:
    """Copy positions into a shuffled order, so that those next to each other are a random sample."""
    as_numbers = points.view(np.int64)[:, 0], shuffled.view(np.int64)[:, 0]  # x and y as one
    np.take(as_numbers[0], mixed, out=as_numbers[1], mode="clip")  # any other mode copies once more


def _adam(epoch: int, n_epochs: int) -> tuple[float, ...]:
    """Return Adam's rate in an epoch, corrected for the start of its mean; what corrects its square; and the rest."""
    rate = RATE * (1 - epoch / n_epochs) ** FALL / (1 - MEAN ** (epoch + 1))
    return rate, (1 - SQUARE ** (epoch + 1)) ** -0.5, MEAN, SQUARE, EPSILON
