"""How many rows are closer to others than given limits, and which are nearest: in steps that any array library has.

What `ranks` does in compiled kernels for the CPU, and the reference for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
BLOCK = 1 << 24  # distances that are held at a time


def tally(A: Array, X: Array, which: Any, terms: Any, limits: Array, found: Any, xp: Any) -> None:
    """Take in the distances of anchors to a chunk of rows, by each of some metrics; see `ranks.tally`."""
    (first, own), (lift, shift, scale) = which, terms
    closer, ids, far = found
    step = max(1, BLOCK // len(X))
    for start in range(0, len(A), step):
        some = slice(start, start + step)
        products = A[some] @ X.T
        here = own[some] - first
        inside = xp.where((here >= 0) & (here < len(X)))[0]
        for e in range(len(lift)):
            values = shift[e] + scale[e] * (products + lift[e, some, None])
            values[inside, here[inside]] = np.inf
            for t in range(limits.shape[2]):
                closer[e, some, t] += (values < limits[e, some, t, None]).sum(1)
            near, k = values.argsort(1)[:, : far.shape[2]], far.shape[2]
            both = xp.concatenate([far[e, some], xp.take_along_axis(values, near, 1)], 1)
            rows = xp.concatenate([ids[e, some], near + first], 1)
            order = both.argsort(1)[:, :k]
            far[e, some], ids[e, some] = xp.take_along_axis(both, order, 1), xp.take_along_axis(rows, order, 1)


def closer_on_map(coords: Array, anchors: Array, limits: Array, xp: Any) -> Array:
    """Count the points of a map that are closer to each anchor than each of its limits, which are squared distances."""
    closer = xp.zeros(limits.shape, np.int64)
    step = max(1, BLOCK // len(coords))
    for start in range(0, len(anchors), step):
        some = slice(start, start + step)
        values = _squares(coords, anchors[some], xp)
        for t in range(limits.shape[1]):
            closer[some, t] = (values < limits[some, t, None]).sum(1)
    return closer


def nearest_on_map(coords: Array, anchors: Array, k: int, xp: Any) -> Array:
    """Return the k points of a map that are nearest to each anchor, but for itself."""
    found = xp.empty((len(anchors), k), np.int64)
    step = max(1, BLOCK // len(coords))
    for start in range(0, len(anchors), step):
        some = slice(start, start + step)
        found[some] = _squares(coords, anchors[some], xp).argsort(1)[:, :k]
    return found


def _squares(coords: Array, anchors: Array, xp: Any) -> Array:
    """Return the squared distances of some points to all, but for themselves."""
    apart = coords[None] - coords[anchors][:, None]
    values = apart[:, :, 0] ** 2 + apart[:, :, 1] ** 2
    values[xp.arange(len(anchors)), anchors] = np.inf
    return values
