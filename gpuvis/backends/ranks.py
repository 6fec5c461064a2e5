"""How many rows are closer to others than given limits, and which are nearest: on the CPU, for judging maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from gpuvis.backends.compiled import kernel, part, prange
from gpuvis.backends.lists import LANES, insert

ANCHORS, CHUNK = 128, 2048  # rows of the two sides of a matrix product
BOX = 64  # points of a map that are looked at together
F = np.float32


@part
def _count(values: Any, limit: Any) -> Any:
    count = np.int32(0)  # of the width of a float32, which the vector units can follow
    for j in range(len(values)):
        count += np.int32(values[j] < limit)
    return count


@part
def _keep_nearest(values: Any, base: int, far: Any, ids: Any) -> None:
    last = len(far) - 1
    for start in range(0, len(values), LANES):
        some = values[start : start + LANES]
        if _count(some, far[last]) > 0:  # else they are passed over
            for j in range(len(some)):
                if some[j] < far[last]:
                    insert(some[j], base + start + j, far, ids)


@kernel
def tally(A: Any, X: Any, which: Any, terms: Any, limits: Any, found: Any) -> None:
    """Take in the distances of anchors to a chunk of rows, by each of some metrics.

    A, X : the anchors and the rows, (m, D) and (c, D).
    which : which row the first of X is, and which row each anchor is.
    terms : lift (E, m), shift and scale (E, c): by metric e, row j is shift + scale * (A[i] · X[j] + lift) away.
    limits : (E, m, t).
    found : how many rows are below each limit, added to; the nearest rows so far and their distances, rising.
    """
    (first, own), (lift, shift, scale) = which, terms
    closer, ids, far = found
    for b in prange((len(A) + ANCHORS - 1) // ANCHORS):
        low, high = b * ANCHORS, min((b + 1) * ANCHORS, len(A))
        space, values = np.empty(ANCHORS * CHUNK, A.dtype), np.empty(CHUNK, A.dtype)
        for start in range(0, len(X), CHUNK):
            stop = min(start + CHUNK, len(X))
            products = space[: (high - low) * (stop - start)].reshape(high - low, stop - start)
            np.dot(A[low:high], X[start:stop].T, products)
            some = values[: stop - start]
            for e in range(len(lift)):
                for i in range(low, high):
                    for j in range(len(some)):
                        some[j] = shift[e, start + j] + scale[e, start + j] * (products[i - low, j] + lift[e, i])
                    here = own[i] - first - start
                    if 0 <= here < len(some):
                        some[here] = np.inf
                    for t in range(limits.shape[2]):
                        closer[e, i, t] += _count(some, limits[e, i, t])
                    _keep_nearest(some, first + start, far[e, i], ids[e, i])


@part
def _bounds(low: Any, high: Any, at: Any) -> Any:
    """Return the squares of the least and the greatest distance of an interval from a value."""
    below, above = low - at, high - at
    return max(below, -above, F(0)) ** 2, max(-below, above) ** 2


@kernel
def _closer_on_map(x: Any, y: Any, boxes: Any, at: Any, limits: Any, closer: Any) -> None:
    """Count the points closer to places than limits; a box of them is taken or left as a whole where it can be.

    Distances of a box and of its points are rounded alike, so that no point is on the wrong side.
    """
    for i in prange(len(at)):
        values, first, last = np.empty(BOX, x.dtype), limits[i].min(), limits[i].max()
        for b in range(len(boxes)):
            least_x, most_x = _bounds(boxes[b, 0], boxes[b, 1], at[i, 0])
            least_y, most_y = _bounds(boxes[b, 2], boxes[b, 3], at[i, 1])
            if least_x + least_y >= last:
                continue
            start = b * BOX
            some = values[: min(BOX, len(x) - start)]
            if most_x + most_y < first:
                closer[i] += len(some)
                continue
            for j in range(len(some)):
                some[j] = (x[start + j] - at[i, 0]) ** 2 + (y[start + j] - at[i, 1]) ** 2
            for t in range(limits.shape[1]):
                closer[i, t] += _count(some, limits[i, t])


def closer_on_map(coords: np.ndarray, anchors: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count the points of a map that are closer to each anchor than each of its limits, which are squared distances."""
    tree = cKDTree(coords, compact_nodes=False, balanced_tree=False)  # its order puts close points side by side
    x, y = np.ascontiguousarray(coords[tree.indices].T)
    starts = np.arange(0, len(x), BOX)
    boxes = [side.reduceat(values, starts) for values in (x, y) for side in (np.minimum, np.maximum)]
    closer = -(limits > 0).astype(np.int64)  # each anchor is found too, at no distance
    _closer_on_map(x, y, np.stack(boxes, 1), coords[anchors], limits, closer)
    return closer


def nearest_on_map(coords: np.ndarray, anchors: np.ndarray, k: int) -> np.ndarray:
    """Return the k points of a map that are nearest to each anchor, but for itself."""
    near = cKDTree(coords).query(coords[anchors], k + 1)[1]
    apart = near != anchors[:, None]
    apart[apart.all(1), -1] = False  # where so many points coincide that the anchor is not among them
    found: np.ndarray = near[apart].reshape(len(anchors), k)
    return found
