"""Lay out t-SNE on the CPU by gradient descent, with the repulsion interpolated on a grid.

Exaggeration, momentum and gains are scikit-learn's (van der Maaten, Hinton 2008, JMLR 9:2579; Jacobs 1988). The numbers
of iterations and the learning rate are openTSNE's. The rate is the number of points divided by the exaggeration of the
phase (Belkina et al. 2019, doi:10.1038/s41467-019-13055-y), divided by 4, because the gradient here includes the factor
4 of that paper. scikit-learn keeps the rate of the first phase to the end. On MNIST, 500 iterations without
exaggeration reach a divergence of 2.81 this way; scikit-learn's 750 at its rate reach 2.77. The maps are about equally
good (recall@15 0.340 and 0.343).

The repulsion of a point is the sum of K² d over all other points, divided by Z. Here d is the difference of two points,
K = 1 / (1 + |d|²), and Z is the sum of K over all pairs of points. For few points all pairs are summed. For many points
the sums are convolutions, computed on a grid by FFT (Linderman, Rachh, Hoskins, Steinerberger, Kluger 2019,
doi:10.1038/s41592-018-0308-4), with fewer transforms than in that paper:

- Every point has a charge of 1. The convolution of the charges with K is the potential, Σ K: one transform forward and
  one back.
- K² d is -∇K / 2, so the slope of the potential at a point gives both components of its force.
- The product of charges and potential, summed over the grid, is Z.

Cubic B-splines spread the charges to the grid and read the slopes from it. They are smooth; the paper uses Lagrange
polynomials. Dividing the transform of K by the square of the splines' transform makes both steps interpolate (as in
particle-mesh Ewald: Essmann et al. 1995, doi:10.1063/1.470117).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.backends.cpu.affinities import csr_arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.order import morton_order, permuted
from gpuvis.backends.parallel import current_threads, in_order, in_ranges

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = Any
F = np.float32
EXAGGERATION = 12.0
EARLY, LATE = 250, 500  # iterations with and without exaggeration
SLOWEST = 50.0  # least learning rate
SORTED_AT = 100  # iteration at which points are sorted in memory: by then, clusters hardly move
TINY = 1e-30  # prevents divisions by 0 and logarithms of 0
BLOCK = 8192  # points whose divergence is summed at a time
ALL_PAIRS = 3000  # most points for which the repulsion is summed over all pairs
SPACING = 0.4  # distance of grid nodes, at which the root mean square error of the forces is about 1 %
FEWEST = 32  # fewest nodes along a side
MOST = 2048  # most nodes along a side; the grid of a wider map is coarser
MARGIN = 5  # nodes along a side without points
ROOM = 1.06  # width of a new grid, as a multiple of the width of its points
STRIPS = 4  # strips of the grid that one call fills


def layout(weights: csr_matrix, start: Array) -> tuple[Array, dict[str, Any]]:
    """Lay out a graph of joint probabilities in the plane.

    The coordinates are the same bits for any number of threads.

    Parameters
    ----------
    weights : csr_matrix of shape (N, N)
        Joint probabilities, as `affinities.probabilities` returns them.
    start : array of shape (N, 2), float32
        Initial coordinates, with a standard deviation of 1e-4. They must not all be equal, because equal points stay
        together.

    Returns
    -------
    coords : array of shape (N, 2), float32
    details : dict
        ``iterations``; ``repulsion``, "exact" or "grid"; and ``kl``, the final Kullback-Leibler divergence.
    """
    points = np.array(start, F, order="C")
    if len(points) < 2:
        return points, {"iterations": 0, "repulsion": "exact", "kl": 0.0}
    repulsion = Repulsion(len(points))
    points, normalizer = _descend(weights, points, repulsion)
    return points, {
        "iterations": EARLY + LATE,
        "repulsion": "grid" if repulsion.by_grid else "exact",
        "kl": _cross_entropy(weights, points) + float(np.log(normalizer)),
    }


def _descend(weights: csr_matrix, points: Array, repulsion: Repulsion) -> tuple[Array, float]:
    """Move points by gradient descent; return their final coordinates, and Z for them."""
    graph, order = csr_arrays(weights), None
    after, force, update, gain = (np.full_like(points, value) for value in (0, 0, 0, 1))
    for iteration in range(EARLY + LATE):
        if iteration == SORTED_AT and repulsion.by_grid:
            order = morton_order(points)
            graph = csr_arrays(permuted(weights, order))
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
    """Return the sum of p log(p / K) over the edges. Adding log Z gives the Kullback-Leibler divergence."""

    def block_sum(first: int) -> float:
        rows = slice(first, first + BLOCK)
        block = weights[rows]
        differences = np.repeat(points[rows], np.diff(block.indptr), axis=0) - points[block.indices]
        p = block.data
        return float((p * np.log(np.maximum(p * (1 + np.square(differences).sum(1)), TINY))).sum(dtype=np.float64))

    return sum(in_order(block_sum, range(0, len(points), BLOCK), current_threads()))


def exact_repulsion(points: Array, force: Array) -> float:
    """Compute the repulsion by a sum over all pairs.

    Parameters
    ----------
    points : array of shape (N, 2), float32
    force : array of shape (N, 2), float32
        Filled with the sum of K² d over all other points.

    Returns
    -------
    float
        Z, the sum of K over all pairs of different points.
    """
    totals = np.empty(len(points), F)
    in_ranges(loops.tsne_pairs, len(points), np.ascontiguousarray(points.T), force, totals)
    return float(totals.sum(dtype=np.float64)) - len(points)


class Grid:
    """A square grid around the points, and the Fourier transform of K on it.

    Parameters
    ----------
    width : float
        Side of the bounding square of the points.
    rows : int
        Number of points.
    """

    def __init__(self, width: float, rows: int) -> None:
        from scipy import fft  # here, because maps of few points do not need it

        nodes = ROOM * width / SPACING + MARGIN
        padded = 2 * fft.next_fast_len(int(np.clip(nodes, FEWEST, MOST)), real=True)
        self.size = size = padded // 2
        self.spacing = max(SPACING, ROOM * width / (size - MARGIN))
        steps = np.arange(padded)
        squares = np.square(np.minimum(steps, padded - steps) * self.spacing)
        spline = (2 + np.cos(2 * np.pi / padded * steps)) / 3  # transform of the spline at the nodes: 1/6, 4/6, 1/6
        kernel = fft.rfft2(1 / (1 + squares[:, None] + squares)).real
        self.kernel = (kernel / np.square(spline[:, None] * spline[: size + 1])).astype(F)
        self.charge = np.zeros((size, size), F)
        self.ends, self.order = np.empty(size + 1, np.int64), np.empty(rows, np.int32)

    def fits(self, width: float) -> bool:
        """Check that points of this width fit on the grid, and that the grid is not too large for them."""
        room = self.spacing * (self.size - MARGIN)
        return bool(width <= room and (self.size <= FEWEST or width > room / 3))

    def repulsion(self, points: Array, center: Array, force: Array) -> float:
        """Compute the repulsion of points.

        Parameters
        ----------
        points : array of shape (N, 2), float32
        center : array of shape (2,), float64
            Center of the bounding square of the points.
        force : array of shape (N, 2), float32
            Filled with the sum of K² d over all other points.

        Returns
        -------
        float
            Z, the sum of K over all pairs of different points.
        """
        from scipy import fft

        size, padded, workers = self.size, 2 * self.size, current_threads()
        low = center - self.spacing * (size - 1) / 2
        frame = float(low[0]), float(low[1]), 1 / self.spacing
        loops.grid_order(points, frame, self.ends, self.order)
        self.charge[:] = 0
        strips = -(-size // loops.STRIP)
        for odd in (0, 1):  # strips of the same parity never touch the same node, so threads can fill them in parallel
            arguments = points, frame, self.ends, self.order, self.charge, odd
            in_ranges(loops.grid_spread, (strips + 1 - odd) // 2, *arguments, size=STRIPS)
        # One axis at a time: half of the padded square is empty before the transforms, and not needed after them.
        spectrum = fft.rfft(self.charge, padded, axis=1, workers=workers)
        spectrum = fft.fft(spectrum, padded, axis=0, workers=workers, overwrite_x=True)
        spectrum *= self.kernel
        spectrum = fft.ifft(spectrum, axis=0, workers=workers, overwrite_x=True)[:size]
        potential = fft.irfft(spectrum, padded, axis=1, workers=workers, overwrite_x=True)
        sums = np.empty(size)
        in_ranges(loops.grid_overlap, size, self.charge, potential, sums)
        in_ranges(loops.grid_gather, len(points), points, frame, potential, force)
        total = float(sums.sum())
        return max(total - len(points), 1e-3 * len(points))  # above 0 even if points are so distant that K vanishes


class Repulsion:
    """The repulsion during the layout of one map: over all pairs, or by a grid that grows with the map."""

    def __init__(self, rows: int) -> None:
        self.by_grid, self.grid = rows > ALL_PAIRS, None  # type: bool, Grid | None

    def fill(self, points: Array, force: Array) -> float:
        """Fill the repulsion and return Z, as `exact_repulsion` does; for many points by the grid."""
        if not self.by_grid:
            return exact_repulsion(points, force)
        corners = np.array([[axis.min(), axis.max()] for axis in points.T], np.float64)
        width = float((corners[:, 1] - corners[:, 0]).max())
        if self.grid is None or not self.grid.fits(width):
            self.grid = Grid(width, len(points))
        return self.grid.repulsion(points, corners.mean(1), force)
