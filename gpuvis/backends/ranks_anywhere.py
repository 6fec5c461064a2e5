"""Distances and ranks of rows, and of points on a map: in steps that any array library has.

What `ranks` does in compiled kernels for the CPU, and the reference for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis.backends import apart
from gpuvis.backends.base import Array

BLOCK = 1 << 24  # distances that are held at a time


@dataclass(frozen=True)
class PlainRanks:
    """See `Ranks`; `xp` is the array namespace."""

    xp: Any

    def boxed(self, coords: Array) -> Array:
        """Return a map as it is."""
        return coords

    def nearest_on_map(self, coords: Array, anchors: Array, k: int) -> Array:
        """Return the k points of a map that are nearest to each anchor, but for itself."""
        found = self.xp.empty((len(anchors), k), np.int64)
        step = max(1, BLOCK // len(coords))
        for start in range(0, len(anchors), step):
            some = slice(start, start + step)
            found[some] = self._squares(coords, anchors[some]).argsort(1)[:, :k]
        return found

    def closer_on_map(self, coords: Array, anchors: Array, limits: Array) -> Array:
        """Count the points of a map closer to each anchor than each of its limits, which are squared distances."""
        closer = self.xp.zeros(limits.shape, np.int64)
        step = max(1, BLOCK // len(coords))
        for start in range(0, len(anchors), step):
            some = slice(start, start + step)
            values = self._squares(coords, anchors[some])
            for t in range(limits.shape[1]):
                closer[some, t] = (values < limits[some, t, None]).sum(1)
        return closer

    def _squares(self, coords: Array, anchors: Array) -> Array:
        """Return the squared distances of some points to all, but for themselves."""
        apart = coords[None] - coords[anchors][:, None]
        values = apart[:, :, 0] ** 2 + apart[:, :, 1] ** 2
        values[self.xp.arange(len(anchors)), anchors] = np.inf
        return values

    def moved(self, X: Array, middle: Array, centred: bool) -> tuple[Array, Array, Array]:
        """Take a vector off all rows, in its precision; return them, their squares and their products with it."""
        rows = X.astype(middle.dtype, copy=False) - middle
        if centred:
            rows = rows - rows.mean(1, keepdims=True)
        return rows, self.xp.einsum("ij,ij->i", rows, rows), rows @ middle

    def as_it_lies(self, X: Any, scale: float) -> bool:
        """Tell that rows are to be read first."""
        return False

    def paired(self, A: Array, which: Array, X: Array, ids: Any, middle: Array, centred: bool) -> Any:
        """Move rows of X, all or some; return their products with rows of A, squares, and products with the vector."""
        rows, squares, along = self.moved(X if ids is None else X[ids], middle, centred)
        return self.xp.einsum("ij,ij->i", A[which], rows), squares, along

    def products(self, A: Array, B: Array) -> Array:
        """Return A times B transposed."""
        return A @ B.T

    def apart(self, A: Array, X: Array, metric: str) -> Array:
        """Return how far each row of X is from each of A, (m, c), by a metric that products do not tell."""
        return apart.of_all(A, X, metric, self.xp)

    def tally(
        self, A: Array, blocks: Any, own: Any, limits: Array, far: Array, pool: Any, scores: Any
    ) -> tuple[Array, Array, Array]:
        """Find the rows nearest to anchors, and count those below limits: all exactly, without pool and scores."""
        found = self.xp.zeros(limits.shape, np.int64), self.xp.full(far.shape, -1, np.int64), far
        for block in blocks:
            self._take_in(A, block, own, limits, found)
        return found

    def _take_in(self, A: Array, block: Any, own: Any, limits: Array, found: Any) -> None:
        (first, X, shift, scale), (rows, lift), (closer, ids, far) = block, own, found
        xp, step = self.xp, max(1, BLOCK // len(X))
        for start in range(0, len(A), step):
            some = slice(start, start + step)
            products = A[some] @ X.T
            here = rows[some] - first
            inside = xp.where((here >= 0) & (here < len(X)))[0]
            for e in range(len(lift)):
                values = shift[e] + scale[e] * (products + lift[e, some, None])
                values[inside, here[inside]] = np.inf
                self.take(values, first, limits[e, some], (closer[e, some], ids[e, some], far[e, some]))

    def take(self, values: Array, first: int, limits: Array, found: tuple[Array, Array, Array]) -> None:
        """Count distances (m, c) below limits, and keep the nearest rows."""
        xp, (closer, ids, far) = self.xp, found
        for t in range(limits.shape[1]):
            closer[:, t] += (values < limits[:, t, None]).sum(1)
        k = min(far.shape[1], values.shape[1])
        near = xp.argpartition(values, k - 1, 1)[:, :k]
        both = xp.concatenate([far, xp.take_along_axis(values, near, 1)], 1)
        ranked = xp.concatenate([ids, near + first], 1)
        order = both.argsort(1)[:, : far.shape[1]]
        far[:], ids[:] = xp.take_along_axis(both, order, 1), xp.take_along_axis(ranked, order, 1)
