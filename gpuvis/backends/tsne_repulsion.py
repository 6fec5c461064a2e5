"""The repulsion of t-SNE: for each point the sum of K² d over all others, and Z, the sum of K over all pairs.

K = 1 / (1 + |d|²). Among few points all pairs are added up. Among many the sums are convolutions of one charge, all
ones, and go over a grid by FFT (Linderman, Rachh, Hoskins, Steinerberger, Kluger 2019, doi:10.1038/s41592-018-0308-4),
with fewer transforms than there: K² d is -∇K / 2, so the slope of the one potential Σ K gives both components of the
force, and its product with the charge gives Z: one transform forth, one back. Charges go to the grid and slopes come
from it by cubic B-splines, which are smooth, where the paper has Lagrange polynomials; dividing the transform of K by
that of the splines, squared, makes both interpolate (as in particle-mesh Ewald: Essmann et al. 1995,
doi:10.1063/1.470117).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from gpuvis.backends.compiled import current_threads, inlined, kernel, part, prange

Array = Any

BLOCKS = 128  # of points, however many threads share them: so the bits do not depend on the threads
ALL_PAIRS = 3000  # up to so many points the repulsion is added up pair by pair
ABREAST = 64  # points whose sums are taken side by side, by the vector units
SPACING = 0.4  # between nodes: the forces are then off by about 1 %, by the square root of the sum of squares
FEWEST = 32  # nodes along a side
MOST = 2048  # a map wider than this gets a coarser grid
MARGIN = 5  # nodes that no point reaches
ROOM = 1.06  # how much larger a new grid is than its points
STRIP = 8  # rows of the grid that one thread fills; more than the 4 that a point touches

F = np.float32
SIXTH = F(1 / 6)


@kernel
def _pairs(points: Array, force: Array) -> Array:
    """Fill the repulsion by all pairs; return for each point its part of Z, and 1 for itself."""
    n = len(points)
    xs, ys, totals = points[:, 0].copy(), points[:, 1].copy(), np.empty(n, F)
    for block in prange((n + ABREAST - 1) // ABREAST):
        some = slice(block * ABREAST, min(n, (block + 1) * ABREAST))
        x, y = xs[some], ys[some]
        total, fx, fy = np.zeros(len(x), F), np.zeros(len(x), F), np.zeros(len(x), F)
        for j in range(n):
            to_x, to_y = xs[j], ys[j]
            for i in range(len(x)):
                dx = x[i] - to_x
                dy = y[i] - to_y
                k = F(1) / (F(1) + dx * dx + dy * dy)
                total[i] += k
                k *= k
                fx[i] += k * dx
                fy[i] += k * dy
        totals[some], force[some, 0], force[some, 1] = total, fx, fy
    return totals


def exact(points: Array, force: Array) -> float:
    """Fill the repulsion by all pairs; return Z."""
    return float(_pairs(points, force).sum(dtype=np.float64)) - len(points)


@inlined
def _weights(t: Any) -> Any:
    """Return the cubic B-spline at the four nodes around a point that lies at t between the middle two."""
    s = F(1) - t
    t2 = t * t
    middle = F(3) * (t + t2 - t * t2) + F(1)
    return s * s * s * SIXTH, (F(3) * t * t2 - F(6) * t2 + F(4)) * SIXTH, middle * SIXTH, t * t2 * SIXTH


@inlined
def _slopes(t: Any) -> Any:
    """Return the derivatives of the weights."""
    s = F(1) - t
    t2 = t * t
    return F(-0.5) * s * s, F(1.5) * t2 - F(2) * t, F(-1.5) * t2 + t + F(0.5), F(0.5) * t2


@part
def _by_row(points: Array, low: Any, inverse: Any, ends: Array, order: Array) -> None:
    """Sort the points by their row of the grid, stably; ends[r] is where row r ends."""
    n = len(points)
    rows = np.empty(n, np.int32)
    ends[:] = 0
    for i in range(n):
        rows[i] = np.int32((points[i, 0] - low) * inverse)
        ends[rows[i] + 1] += 1
    for r in range(1, len(ends)):
        ends[r] += ends[r - 1]
    for i in range(n):
        order[ends[rows[i]]] = i
        ends[rows[i]] += 1


@kernel
def _spread(points: Array, frame: Any, ends: Array, order: Array, charge: Array) -> None:
    """Put the points on the grid: strips of rows, first every other one, then the others, so that none meet."""
    low_x, low_y, inverse = frame
    size = len(charge)
    strips = (size + STRIP - 1) // STRIP
    for strip in prange(strips):
        charge[strip * STRIP : (strip + 1) * STRIP] = F(0)
    for odd in range(2):
        for half in prange((strips + 1 - odd) // 2):
            strip = 2 * half + odd
            first = ends[strip * STRIP - 1] if strip else 0
            for i in order[first : ends[min((strip + 1) * STRIP, size) - 1]]:
                u = (points[i, 0] - low_x) * inverse
                v = (points[i, 1] - low_y) * inverse
                a, b = np.int32(u), np.int32(v)
                along = _weights(u - F(a))
                w0, w1, w2, w3 = _weights(v - F(b))
                for q in range(4):
                    row = charge[a - 1 + q]
                    row[b - 1] += along[q] * w0
                    row[b] += along[q] * w1
                    row[b + 1] += along[q] * w2
                    row[b + 2] += along[q] * w3


@kernel
def _gather(points: Array, frame: Any, charge: Array, potential: Array, force: Array) -> Array:
    """Fill the repulsion from the slopes of the potential; return the potential of the charge in each row."""
    low_x, low_y, inverse = frame
    n, size = len(points), len(charge)
    scale = F(-0.5) * inverse
    sums = np.zeros(size)
    for r in prange(size):
        for c in range(size):
            sums[r] += charge[r, c] * potential[r, c]
    for block in prange(BLOCKS):
        for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
            u = (points[i, 0] - low_x) * inverse
            v = (points[i, 1] - low_y) * inverse
            a, b = np.int32(u), np.int32(v)
            w, dw = _weights(u - F(a)), _slopes(u - F(a))
            w0, w1, w2, w3 = _weights(v - F(b))
            d0, d1, d2, d3 = _slopes(v - F(b))
            fx, fy = F(0), F(0)
            for q in range(4):
                row = potential[a - 1 + q]
                p0, p1, p2, p3 = row[b - 1], row[b], row[b + 1], row[b + 2]
                fx += dw[q] * (w0 * p0 + w1 * p1 + w2 * p2 + w3 * p3)
                fy += w[q] * (d0 * p0 + d1 * p1 + d2 * p2 + d3 * p3)
            force[i, 0] = scale * fx
            force[i, 1] = scale * fy
    return sums


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
        wanted = ROOM * width / SPACING + MARGIN
        padded = 2 * scipy.fft.next_fast_len(int(np.clip(wanted, FEWEST, MOST)), real=True)
        self.size = size = padded // 2
        self.spacing = max(SPACING, ROOM * width / (size - MARGIN))
        steps = np.arange(padded)
        squares = np.square(np.minimum(steps, padded - steps) * self.spacing)
        spline = (2 + np.cos(2 * np.pi / padded * steps)) / 3  # the transform of its values at the nodes, 1/6, 4/6, 1/6
        kernel = scipy.fft.rfft2(1 / (1 + squares[:, None] + squares)).real
        self.kernel = (kernel / np.square(spline[:, None] * spline[: size + 1])).astype(F)
        self.charge = np.zeros((size, size), F)
        self.ends, self.order = np.empty(size + 1, np.int64), np.empty(rows, np.int32)

    def fits(self, width: float) -> bool:
        """Tell whether the points lie on the grid, and are not so few nodes wide that a smaller one would do."""
        room = self.spacing * (self.size - MARGIN)
        return bool(width <= room and (self.size <= FEWEST or width > room / 3))

    def repulsion(self, points: Array, middle: Array, force: Array) -> float:
        """Fill the repulsion of points around a middle; return Z."""
        size, padded, workers = self.size, 2 * self.size, current_threads()
        low = middle - self.spacing * (size - 1) / 2
        frame = F(low[0]), F(low[1]), F(1 / self.spacing)
        _by_row(points, frame[0], frame[2], self.ends, self.order)
        _spread(points, frame, self.ends, self.order, self.charge)
        # Axis by axis, since half of the padded square is empty before, and not asked for after.
        wave = scipy.fft.rfft(self.charge, padded, axis=1, workers=workers)
        wave = scipy.fft.fft(wave, padded, axis=0, workers=workers, overwrite_x=True)
        wave *= self.kernel
        wave = scipy.fft.ifft(wave, axis=0, workers=workers, overwrite_x=True)[:size]
        potential = scipy.fft.irfft(wave, padded, axis=1, workers=workers, overwrite_x=True)
        total = float(_gather(points, frame, self.charge, potential, force).sum())
        return max(total - len(points), 1e-3 * len(points))  # not 0 where points lie so far apart that K vanishes


class Repulsion:
    """The repulsion of one map of so many rows, whose grid grows with it."""

    def __init__(self, rows: int) -> None:
        self.by_grid, self.grid = rows > ALL_PAIRS, None  # type: bool, Grid | None

    def fill(self, points: Array, corners: Array, force: Array) -> float:
        """Fill the repulsion of points between two corners, lowest and highest; return Z."""
        if not self.by_grid:
            return exact(points, force)
        corners = corners.astype(np.float64)
        width = float((corners[1] - corners[0]).max())
        if self.grid is None or not self.grid.fits(width):
            self.grid = Grid(width, len(points))
        return self.grid.repulsion(points, corners.mean(0), force)
