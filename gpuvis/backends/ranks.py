"""How many rows are closer to others than given limits, and which are nearest: on the CPU, for judging maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from gpuvis.backends.compiled import kernel, part, prange
from gpuvis.backends.lists import LANES, insert

ANCHORS, CHUNK = 128, 2048  # rows of the two sides of a matrix product


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


@kernel
def _closer_on_map(x: Any, y: Any, anchors: Any, limits: Any, closer: Any) -> None:
    for i in prange(len(anchors)):
        values, here = np.empty(CHUNK, x.dtype), anchors[i]
        for start in range(0, len(x), CHUNK):
            some = values[: min(CHUNK, len(x) - start)]
            for j in range(len(some)):
                some[j] = (x[start + j] - x[here]) ** 2 + (y[start + j] - y[here]) ** 2
            if 0 <= here - start < len(some):
                some[here - start] = np.inf
            for t in range(limits.shape[1]):
                closer[i, t] += _count(some, limits[i, t])


def closer_on_map(coords: np.ndarray, anchors: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count the points of a map that are closer to each anchor than each of its limits, which are squared distances."""
    closer = np.zeros(limits.shape, np.int64)
    x, y = np.ascontiguousarray(coords.T)
    _closer_on_map(x, y, anchors, limits, closer)
    return closer


def nearest_on_map(coords: np.ndarray, anchors: np.ndarray, k: int) -> np.ndarray:
    """Return the k points of a map that are nearest to each anchor, but for itself."""
    near = cKDTree(coords).query(coords[anchors], k + 1)[1]
    apart = near != anchors[:, None]
    apart[apart.all(1), -1] = False  # where so many points coincide that the anchor is not among them
    found: np.ndarray = near[apart].reshape(len(anchors), k)
    return found
