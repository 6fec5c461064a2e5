"""Distances and ranks of rows, and of points on a map: on the CPU, for judging maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends import outline
from gpuvis.backends.boxes import boxed, closer_on_map, nearest_on_map
from gpuvis.backends.compiled import kernel, part, prange
from gpuvis.backends.levels import count_lower, set_levels, spread_over
from gpuvis.backends.lists import LANES, count_below, insert
from gpuvis.backends.products import as_it_lies, moved, paired, products

__all__ = ["as_it_lies", "boxed", "closer_on_map", "moved", "nearest_on_map", "paired", "products", "tally"]

ANCHORS, CHUNK = 128, 1024  # rows of the two sides of a matrix product; what one anchor needs fits the first cache
MANY = 16  # one in so many that may be near: then all are looked at in whole
FEW = 32  # one in so many anchors tells how many may be


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
    """Count pairs of which the row may be among the nearest, those of one anchor in a few."""
    (own, across), (lift, shift, scale), near = lengths, terms, 0
    for e in range(len(lift)):
        for i in range(0, len(products), FEW):
            _away(products[i], (lift[e, low + i], shift[e, of], scale[e, of]), room[0])
            _at_least(room[0], scale[e, of], across[of], own[low + i], room[1])
            near += count_below(room[1], far[e, low + i, far.shape[2] - 1])
    return near


@part
def _keep_nearest(row: Any, rows: Any, terms: Any, seen: Any, kept: Any) -> None:
    """Keep rows that are nearer than the farthest kept; those seen along axes are looked at in whole if they may be."""
    (first, X), (lift, shift, scale), (whole, least, values), (far, ids) = rows, terms, seen, kept
    last = len(far) - 1
    for start in range(0, len(values), LANES):
        if count_below(least[start : start + LANES], far[last]) > 0:  # else they are passed over
            for j in range(start, min(start + LANES, len(values))):
                if least[j] < far[last]:
                    if not whole:
                        values[j] = shift[j] + scale[j] * (np.dot(row, X[j]) + lift)
                    if values[j] < far[last]:
                        insert(values[j], first + j, far, ids)


@part
def _count(values: Any, limits: Any, spread: Any, room: Any, closer: Any) -> None:
    """Count values below limits, by their levels if these are spread."""
    if len(spread) == 0:
        for t in range(len(limits)):
            closer[t] += count_below(values, limits[t])
    else:
        levels, of_limits = room
        set_levels(values, spread, levels)
        set_levels(limits, spread, of_limits)
        for t in range(len(limits)):
            closer[t] += count_lower(levels, of_limits[t])


def tally(A: np.ndarray, blocks: Any, own: Any, limits: np.ndarray, far: np.ndarray, pool: Any) -> Any:
    """Find the rows nearest to anchors, and count those below limits, by each of some metrics.

    The nearest rows are exactly these, and a row is found to be one of them or not. In double precision all counts are
    exact. Else other rows are seen along a few axes, and their distances rounded to levels; what that does to counts is
    known of a sample of the rows, and is taken off: a difference estimator, whose mean is right whatever is hidden
    (Cochran 1977, Sampling Techniques, chapter 7).

    Parameters
    ----------
    A : ndarray of shape (m, D)
        The anchors.
    blocks : iterable
        All rows: which row is the first of a block, its rows (c, D), and their shift and scale, both (E, c). By metric
        e, row j is shift[e, j] + scale[e, j] * (A[i] · row j + lift[e, i]) away.
    own : tuple
        Which row each anchor is, and lift, (E, m).
    limits : ndarray of shape (E, m, t)
    far : ndarray of shape (E, m, k)
        Distances below which k rows are.
    pool : tuple
        Some rows, rising, drawn of all with the same chances, (P,), and their distances, (E, m, P). None in double
        precision.

    Returns
    -------
    closer : ndarray of shape (E, m, t)
        How many rows are below each limit, or an estimate of it.
    near : ndarray of shape (E, m, k)
        The nearest rows, the nearest first.
    far : ndarray of shape (E, m, k)
        Their distances.
    """
    axes, (drawn, true) = outline.axes_of(A), pool
    spread = np.empty((*limits.shape[:2], 0)) if A.dtype == np.float64 else spread_over(limits)
    anchors, found = (A, axes, *outline.seen(A, axes)), (np.zeros(limits.shape, np.int64), np.full(far.shape, -1), far)
    told, rows = np.empty(true.shape, np.int16), 0
    for first, X, *terms in blocks:
        seen = X, *outline.seen(X, axes)
        _tally(anchors, seen, (first, own[0]), (own[1], *terms), (limits, spread), found, (drawn, told))
        rows += len(X)
    if len(drawn) == 0:
        return found
    return found[0] + _missed(true, told, limits, spread) * (rows / len(drawn)), *found[1:]


@part
def _missed(true: Any, told: Any, limits: Any, spread: Any) -> Any:
    """Return how many more distances are below limits than was told."""
    missed, levels = np.zeros(limits.shape, np.int64), np.empty(limits.shape[2], np.int16)
    for e in range(len(limits)):
        for i in range(limits.shape[1]):
            set_levels(limits[e, i], spread[e, i], levels)
            for t in range(len(levels)):
                missed[e, i, t] = count_below(true[e, i], limits[e, i, t]) - count_lower(told[e, i], levels[t])
    return missed


@kernel
def _tally(anchors: Any, rows: Any, which: Any, terms: Any, sought: Any, found: Any, sample: Any) -> None:
    (A, axes, A_along, A_across), (X, along, across), (first, own) = anchors, rows, which
    (lift, shift, scale), (limits, spread), (closer, ids, far), (pool, told) = terms, sought, found, sample
    for b in prange((len(A) + ANCHORS - 1) // ANCHORS):
        low, high = b * ANCHORS, min((b + 1) * ANCHORS, len(A))
        space, both = np.empty(ANCHORS * CHUNK, A.dtype), np.empty((2, CHUNK), A.dtype)
        levels, of_limits = np.empty(CHUNK, np.int16), np.empty(limits.shape[2], np.int16)
        for start in range(0, len(X), CHUNK):
            of = slice(start, min(start + CHUNK, len(X)))
            some, least = both[0, : of.stop - start], both[1, : of.stop - start]
            products = space[: (high - low) * len(some)].reshape(high - low, len(some))
            near = products.size
            if axes.shape[1] > 0:
                np.dot(A_along[low:high], along[of].T, products)
                near = _count_near(products, low, of, (A_across, across), terms, far, (some, least))
            whole = near > products.size // (MANY * FEW)
            if whole:
                least = some
                np.dot(A[low:high], X[of].T, products)
            told_here = np.searchsorted(pool, first + start), np.searchsorted(pool, first + of.stop)
            for e in range(len(lift)):
                for i in range(low, high):
                    by, last = (lift[e, i], shift[e, of], scale[e, of]), own[i] - first - start
                    _away(products[i - low], by, some)
                    if not whole:
                        _at_least(some, scale[e, of], across[of], A_across[i], least)
                    if 0 <= last < len(some):
                        some[last] = least[last] = np.inf
                    _keep_nearest(A[i], (first + start, X[of]), by, (whole, least, some), (far[e, i], ids[e, i]))
                    room = levels[: len(some)], of_limits
                    _count(some, limits[e, i], spread[e, i], room, closer[e, i])
                    for p in range(*told_here):
                        told[e, i, p] = levels[pool[p] - first - start]
