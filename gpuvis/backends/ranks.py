"""How many rows are closer to others than given limits, and which are nearest: on the CPU, for judging maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from gpuvis.backends import outline
from gpuvis.backends.compiled import kernel, part, prange
from gpuvis.backends.lists import LANES, insert

ANCHORS, CHUNK = 128, 2048  # rows of the two sides of a matrix product
MANY = 16  # one in so many that may be near: then all are looked at in whole
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


@part
def _away(products: Any, terms: Any, values: Any) -> None:
    lift, shift, scale = terms
    for j in range(len(values)):
        values[j] = shift[j] + scale[j] * (products[j] + lift)


@part
def _at_least(values: Any, scale: Any, across: Any, own: Any, least: Any) -> None:
    """Say how near rows may be: across the axes, the product of two is not more than that of their lengths."""
    for j in range(len(values)):
        least[j] = values[j] + scale[j] * (across[j] * own)


@part
def _count_near(products: Any, low: int, of: Any, lengths: Any, terms: Any, far: Any, room: Any) -> Any:
    """Count the pairs of which the row may be among the nearest."""
    (own, across), (lift, shift, scale), near = lengths, terms, 0
    for e in range(len(lift)):
        for i in range(len(products)):
            _away(products[i], (lift[e, low + i], shift[e, of], scale[e, of]), room[0])
            _at_least(room[0], scale[e, of], across[of], own[low + i], room[1])
            near += _count(room[1], far[e, low + i, far.shape[2] - 1])
    return near


@part
def _look_closer(row: Any, X: Any, terms: Any, least: Any, limit: Any, values: Any) -> None:
    """Find the true distance of rows that may be nearer than a limit."""
    lift, shift, scale = terms
    for start in range(0, len(values), LANES):
        if _count(least[start : start + LANES], limit) > 0:
            for j in range(start, min(start + LANES, len(values))):
                if least[j] < limit:
                    values[j] = shift[j] + scale[j] * (np.dot(row, X[j]) + lift)


def outlined(A: np.ndarray) -> Any:
    """Return anchors as `tally` takes them: with axes, and as these see them."""
    axes = outline.axes_of(A)
    return A, axes, *outline.seen(A, axes)


def tally(anchors: Any, X: np.ndarray, which: Any, terms: Any, limits: np.ndarray, found: Any) -> None:
    """Take in the distances of anchors to a chunk of rows, by each of some metrics.

    The nearest rows are exactly these, and a row is found to be one of them or not. Of the others, those below a limit
    are counted by what is seen along the axes.

    anchors, X : what `outlined` gave of the anchors A, (m, D); and the rows, (c, D).
    which : which row the first of X is, and which row each anchor is.
    terms : lift (E, m), shift and scale (E, c): by metric e, row j is shift + scale * (A[i] · X[j] + lift) away.
    limits : (E, m, t).
    found : how many rows are below each limit, added to; the nearest rows so far and their distances, rising.
    """
    _tally(anchors, (X, *outline.seen(X, anchors[1])), which, terms, limits, found)


@kernel
def _tally(anchors: Any, rows: Any, which: Any, terms: Any, limits: Any, found: Any) -> None:
    (A, axes, A_along, A_across), (X, along, across) = anchors, rows
    (first, own), (lift, shift, scale), (closer, ids, far) = which, terms, found
    for b in prange((len(A) + ANCHORS - 1) // ANCHORS):
        low, high = b * ANCHORS, min((b + 1) * ANCHORS, len(A))
        space, both = np.empty(ANCHORS * CHUNK, A.dtype), np.empty((2, CHUNK), A.dtype)
        for start in range(0, len(X), CHUNK):
            of = slice(start, min(start + CHUNK, len(X)))
            some, least = both[0, : of.stop - start], both[1, : of.stop - start]
            products = space[: (high - low) * len(some)].reshape(high - low, len(some))
            near = products.size
            if axes.shape[1] > 0:
                np.dot(A_along[low:high], along[of].T, products)
                near = _count_near(products, low, of, (A_across, across), terms, far, (some, least))
            whole = near > products.size // MANY
            if whole:
                np.dot(A[low:high], X[of].T, products)
            for e in range(len(lift)):
                for i in range(low, high):
                    told = lift[e, i], shift[e, of], scale[e, of]
                    _away(products[i - low], told, some)
                    if not whole:
                        _at_least(some, scale[e, of], across[of], A_across[i], least)
                        _look_closer(A[i], X[of], told, least, far[e, i, far.shape[2] - 1], some)
                    if start <= own[i] - first < of.stop:
                        some[own[i] - first - start] = np.inf
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
