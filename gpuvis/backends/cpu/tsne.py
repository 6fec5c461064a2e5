"""The t-SNE layout on the CPU: gradient descent, with the repulsion interpolated on a grid.

Exaggeration, momentum and gains are scikit-learn's (van der Maaten, Hinton 2008; Jacobs 1988). Iterations and learning
rate are openTSNE's: the rate is the number of points over the exaggeration of the phase (Belkina et al. 2019,
doi:10.1038/s41467-019-13055-y; a fourth of it, since the gradient here has that paper's factor 4), where scikit-learn
keeps the first phase's to the end. On MNIST 500 iterations without exaggeration so reach a divergence of 2.81, the 750
of scikit-learn at its rate 2.77, and the map is as true (recall@15 0.340 and 0.343).

The repulsion is, for each point, the sum of K² d over all others, and Z, the sum of K over all pairs, with
K = 1 / (1 + |d|²). Among few points all pairs are added up. Among many the sums are convolutions of one charge, all
ones, and go over a grid by FFT (Linderman, Rachh, Hoskins, Steinerberger, Kluger 2019, doi:10.1038/s41592-018-0308-4),
with fewer transforms than there: K² d is -∇K / 2, so the slope of the one potential Σ K gives both components of the
force, and its product with the charge gives Z: one transform forth, one back. Charges go to the grid and slopes come
from it by cubic B-splines, which are smooth, where the paper has Lagrange polynomials; dividing the transform of K by
that of the splines, squared, makes both interpolate (as in particle-mesh Ewald: Essmann et al. 1995,
doi:10.1063/1.470117).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.backends.cpu.affinities import arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.order import along, permuted
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
ALL_PAIRS = 3000  # up to so many points the repulsion is added up pair by pair
SPACING = 0.4  # between nodes: the forces are then off by about 1 %, by the square root of the sum of squares
FEWEST = 32  # nodes along a side
MOST = 2048  # a map wider than this gets a coarser grid
MARGIN = 5  # nodes that no point reaches
ROOM = 1.06  # how much larger a new grid is than its points
STRIPS = 4  # of the grid, that are filled by one call


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


def exact(points: Array, force: Array) -> float:
    """Fill the repulsion by all pairs; return Z."""
    totals = np.empty(len(points), F)
    in_ranges(loops.tsne_pairs, len(points), np.ascontiguousarray(points.T), force, totals)
    return float(totals.sum(dtype=np.float64)) - len(points)


class Grid:
    """A square grid that holds the points, and the transform of K on it.

    Parameters
    ----------
    width : float
        Of the points' bounding square.
    rows : int
        How many points there are.
    """

    def __init__(self, width: float, rows: int) -> None:
        from scipy import fft  # which a map of few points does without

        wanted = ROOM * width / SPACING + MARGIN
        padded = 2 * fft.next_fast_len(int(np.clip(wanted, FEWEST, MOST)), real=True)
        self.size = size = padded // 2
        self.spacing = max(SPACING, ROOM * width / (size - MARGIN))
        steps = np.arange(padded)
        squares = np.square(np.minimum(steps, padded - steps) * self.spacing)
        spline = (2 + np.cos(2 * np.pi / padded * steps)) / 3  # the transform of its values at the nodes, 1/6, 4/6, 1/6
        kernel = fft.rfft2(1 / (1 + squares[:, None] + squares)).real
        self.kernel = (kernel / np.square(spline[:, None] * spline[: size + 1])).astype(F)
        self.charge = np.zeros((size, size), F)
        self.ends, self.order = np.empty(size + 1, np.int64), np.empty(rows, np.int32)

    def fits(self, width: float) -> bool:
        """Tell whether the points lie on the grid, and are not so few nodes wide that a smaller one would do."""
        room = self.spacing * (self.size - MARGIN)
        return bool(width <= room and (self.size <= FEWEST or width > room / 3))

    def repulsion(self, points: Array, middle: Array, force: Array) -> float:
        """Fill the repulsion of points around a middle; return Z."""
        from scipy import fft

        size, padded, workers = self.size, 2 * self.size, current_threads()
        low = middle - self.spacing * (size - 1) / 2
        frame = float(low[0]), float(low[1]), 1 / self.spacing
        loops.grid_order(points, frame, self.ends, self.order)
        self.charge[:] = 0
        strips = -(-size // loops.STRIP)
        for odd in (0, 1):  # no two even ones meet, and no two odd ones
            arguments = points, frame, self.ends, self.order, self.charge, odd
            in_ranges(loops.grid_spread, (strips + 1 - odd) // 2, *arguments, size=STRIPS)
        # Axis by axis, since half of the padded square is empty before, and not asked for after.
        wave = fft.rfft(self.charge, padded, axis=1, workers=workers)
        wave = fft.fft(wave, padded, axis=0, workers=workers, overwrite_x=True)
        wave *= self.kernel
        wave = fft.ifft(wave, axis=0, workers=workers, overwrite_x=True)[:size]
        potential = fft.irfft(wave, padded, axis=1, workers=workers, overwrite_x=True)
        sums = np.empty(size)
        in_ranges(loops.grid_overlap, size, self.charge, potential, sums)
        in_ranges(loops.grid_gather, len(points), points, frame, potential, force)
        total = float(sums.sum())
        return max(total - len(points), 1e-3 * len(points))  # not 0 where points lie so far apart that K vanishes


class Repulsion:
    """The repulsion of one map of so many rows, whose grid grows with it."""

    def __init__(self, rows: int) -> None:
        self.by_grid, self.grid = rows > ALL_PAIRS, None  # type: bool, Grid | None

    def fill(self, points: Array, force: Array) -> float:
        """Fill the repulsion of points; return Z."""
        if not self.by_grid:
            return exact(points, force)
        corners = np.array([[axis.min(), axis.max()] for axis in points.T], np.float64)
        width = float((corners[:, 1] - corners[:, 0]).max())
        if self.grid is None or not self.grid.fits(width):
            self.grid = Grid(width, len(points))
        return self.grid.repulsion(points, corners.mean(1), force)
