"""Lay out a UMAP graph on the CPU: in each epoch every vertex moves by a gradient from the positions of the last epoch.

umap-learn moves both ends of an edge at once, one edge after another. Its result depends on the order of the edges, so
with a seed it runs on a single thread. Here an epoch (`kernels/umap.cpp`) is one step of Adam for all vertices (Kingma,
Ba 2015, arXiv:1412.6980; uwot's `batch` mode and others do the same), along the forces of umap-learn:

- The attraction of a vertex is the weighted sum over all its edges. umap-learn draws edges at random by their weights,
  and limits each pull.
- The repulsion is from 32 random vertices, scaled to the 5 that umap-learn draws for each attraction.

The weights, the curve (a, b), and the constant and the limit of the repulsion are umap-learn's.

The layout starts from the first two principal components. They arrange the classes as the data does, and cost less than
a spectral start. The constants below were measured by tests/benchmarks/layouts.py on the digits, MNIST (PCA to 50), a
CLIP-like class hierarchy, a long-tailed one with 1,500 classes of 2, and a graph in 57 parts:

- Adam's rate falls to 0 by the square (`FALL`). With the same number of epochs this gives a higher recall than a linear
  fall on all five, at about the same trustworthiness.
- Momentum alone, with a rate tuned for each data set, is about as good with the same number of epochs, except on MNIST,
  where it needs up to twice as many. Adam needs only one rate for all.
- A far smaller `EPSILON` makes no clear difference.
- Starts with a `WIDTH` from 10 to 20 differ little: 10 has a lower recall on the digits and on the graph in parts, 20
  is as good as 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuvis.backends.cpu.affinities import csr_arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.order import morton_order, permuted
from gpuvis.backends.parallel import in_ranges

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

F = np.float32
FEW_ROWS = 10_000  # most rows for which there are more epochs, as in umap-learn
EPOCHS, EPOCHS_OF_FEW = 200, 300
LEAST, LEAST_OF_FEW = 1 / 200, 1 / 500  # least weight of an edge; umap-learn never draws edges below it
SORTED_AT = 20  # epoch at which points are sorted in memory: by then, neighbours are close on the map
WIDTH = F(15)  # largest absolute coordinate at the start
NOISE = 1e-4  # standard deviation of the noise added to the start, so that equal rows can separate
TINY = F(1e-30)  # prevents a division by 0 if all points start at the origin
RATE, FALL = 1.0, 2  # Adam's initial learning rate, and the power by which it falls to 0
MEAN, SQUARE, EPSILON = 0.5, 0.9, 0.1  # Adam's decay rates, beta 1 and beta 2, and its epsilon


def epoch_count(rows: int) -> int:
    """Return the number of epochs of a layout."""
    return EPOCHS_OF_FEW if rows <= FEW_ROWS else EPOCHS


def least_weight(rows: int) -> float:
    """Return the least weight of an edge; edges below it are left out."""
    return LEAST_OF_FEW if rows <= FEW_ROWS else LEAST


def curve(min_dist: float) -> tuple[float, float]:
    """Fit a and b such that 1 / (1 + a d^(2b)) is close to UMAP's curve for `min_dist`, with `spread` 1.

    The curve is 1 up to `min_dist`, and exp(min_dist - d) above. As in umap-learn, the fit is by least squares on 300
    distances up to 3. It is done here by the Levenberg-Marquardt algorithm, because importing `scipy.optimize` takes a
    sixth of the time of a small map.

    Parameters
    ----------
    min_dist : float
        From 0 to 1.

    Returns
    -------
    a, b : float
    """
    d = np.linspace(0, 3, 300)[1:]  # without 0, where both curves are 1
    target = np.where(d < min_dist, 1, np.exp(min_dist - d))
    fitted, damping = np.array([1.0, 1.0]), 1e-3

    def misfit(a: float, b: float) -> np.ndarray:
        return 1 / (1 + a * d ** (2 * b)) - target

    for _ in range(200):
        a, b = fitted
        power, residual = d ** (2 * b), misfit(a, b)
        slope = np.stack([-power, -2 * a * power * np.log(d)], 1) / (1 + a * power)[:, None] ** 2
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(normal.diagonal()), -slope.T @ residual)
        better = (fitted + step > 0).all() and np.sum(misfit(*(fitted + step)) ** 2) <= residual @ residual
        fitted, damping = (fitted + step, damping / 10) if better else (fitted, damping * 10)
        if better and np.abs(step).max() < 1e-12:
            break
    return float(fitted[0]), float(fitted[1])


def layout(weights: csr_matrix, start: np.ndarray, min_dist: float, seed: int) -> np.ndarray:
    """Lay out a weighted graph in the plane.

    Parameters
    ----------
    weights : csr_matrix of shape (N, N)
        As `affinities.memberships` returns them; the largest is 1.
    start : ndarray of shape (N, 2)
        Initial coordinates, in any unit.
    min_dist : float
        How close points may lie on the map, from 0 to 1.
    seed : int

    Returns
    -------
    ndarray of shape (N, 2), float32
    """
    rows, rng = len(start), np.random.default_rng(seed)
    points = start * (WIDTH / max(np.abs(start).max(), TINY)) + rng.normal(0, NOISE, start.shape)
    points = np.ascontiguousarray(points, np.float32)
    after, means, squares = np.empty_like(points), np.zeros_like(points), np.zeros_like(points)
    # The loop reads DRAWN consecutive positions from any row on, so the first DRAWN are repeated at the end.
    permutation = np.resize(rng.permutation(rows), rows + loops.DRAWN)
    shuffled = np.empty((len(permutation), 2), np.float32)
    graph, (a, b), n_epochs, order = csr_arrays(weights), curve(min_dist), epoch_count(rows), None
    for epoch in range(n_epochs):
        if epoch == SORTED_AT and rows > FEW_ROWS:
            order = morton_order(points)
            graph = csr_arrays(permuted(weights, order))
            points, means, squares = points[order], means[order], squares[order]
        _shuffle(points, permutation, shuffled)
        random, adam = int(rng.integers(1 << 63)), _adam(epoch, n_epochs)
        in_ranges(loops.umap_epoch, rows, graph, points, after, means, squares, shuffled, a, b, random, adam)
        points, after = after, points
    if order is None:
        return points
    after[order] = points
    return after


def _shuffle(points: np.ndarray, permutation: np.ndarray, shuffled: np.ndarray) -> None:
    """Fill `shuffled` with the positions in random order, so that consecutive ones are a random sample."""
    source, target = points.view(np.int64)[:, 0], shuffled.view(np.int64)[:, 0]  # x and y as one number: faster
    np.take(source, permutation, out=target, mode="clip")  # any other mode makes one more copy


def _adam(epoch: int, n_epochs: int) -> tuple[float, ...]:
    """Return Adam's parameters in an epoch: rate, unbiased, mean, square, epsilon (struct Adam in `kernels.hpp`).

    The rate includes the bias correction of the mean gradient; `unbiased` is the bias correction of the root mean
    square.
    """
    rate = RATE * (1 - epoch / n_epochs) ** FALL / (1 - MEAN ** (epoch + 1))
    return rate, (1 - SQUARE ** (epoch + 1)) ** -0.5, MEAN, SQUARE, EPSILON
