"""Distances and ranks of rows, and of points on a map: on the CPU, for judging maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends import outline
from gpuvis.backends.boxes import boxed, closer_on_map, nearest_on_map
from gpuvis.backends.codes import LENGTH, TILE, multiplied, product, rounding
from gpuvis.backends.compiled import count_below, dealt, insert, kernel, part, prange
from gpuvis.backends.metrics import apart, take
from gpuvis.backends.products import as_it_lies, moved, paired, products
from gpuvis.backends.vectors import BITS, below, lowest

__all__ = [
    "apart",
    "as_it_lies",
    "boxed",
    "closer_on_map",
    "moved",
    "nearest_on_map",
    "paired",
    "products",
    "take",
    "tally",
]

ANCHORS, CHUNK = 128, 1024  # rows of the two sides of a matrix product; what one anchor needs fits the first cache
MANY = 16  # one in so many that may be near: then all are looked at in whole
FEW = 32  # one in so many anchors tells how many may be


@part
def _away(products: Any, terms: Any, j: int) -> Any:
    """Return how far a row is by its product."""
    lift, shift, scale = terms
    return shift[j] + scale[j] * (products[j] + lift)


@part
def _at_least(products: Any, across: Any, own: Any, terms: Any, least: Any) -> None:
    """Say how far rows may be at the least: across the axes, the product of two is not more than that of `across`."""
    lift, shift, scale = terms
    for j in range(len(least)):
        least[j] = shift[j] + scale[j] * (products[j] + lift + across[j] * own)


@part
def _tiles(low: int, high: int) -> Any:
    return slice(low // TILE, (high + TILE - 1) // TILE)


@part
def _count_near(products: Any, low: int, of: Any, lengths: Any, terms: Any, far: Any, room: Any) -> Any:
    """Count pairs of which the row may be among the nearest, those of one anchor in a few."""
    (own, across), (lift, shift, scale), near = lengths, terms, 0
    for e in range(len(lift)):
        for i in range(0, len(products), FEW):
            _at_least(products[i], across[of], own[low + i], (lift[e, low + i], shift[e, of], scale[e, of]), room)
            near += count_below(room, far[e, low + i, far.shape[2] - 1])
    return near


@part
def _keep_nearest(row: Any, rows: Any, products: Any, terms: Any, seen: Any, kept: Any) -> None:
    """Keep rows that are nearer than the farthest kept.

    Those seen along axes are looked at in 16 bits if they may be, and in whole if they still may: their products are
    then these.
    """
    (a, code, step), (first, X, codes, steps), (whole, blur, least), (far, ids) = row, rows, seen, kept
    (lift, shift, scale), last = terms, len(far) - 1
    for start in range(0, len(least), BITS):
        bits = below(least, start, far[last])
        while bits != 0:
            j = start + lowest(bits)
            bits &= bits - np.uint64(1)
            if not whole:
                products[j] = step * product(code, codes[j]) * steps[j]  # that of both steps could be too small
                if shift[j] + scale[j] * (products[j] + step * blur * steps[j] + lift) >= far[last]:
                    continue
                products[j] = np.dot(a, X[j])
            away = _away(products, terms, j)
            if away < far[last]:
                insert(away, first + j, far, ids)


@part
def _count(products: Any, terms: Any, counted: Any, limits: Any, closer: Any) -> None:
    """Count rows below limits, one in every few."""
    (turn, every, room), count = counted, 0
    for j in range(turn % every, len(terms[1]), every):
        room[count] = _away(products, terms, j)
        count += 1
    whole = -(-count // BITS) * BITS
    room[count:whole] = np.inf  # fewer would be counted one by one
    for t in range(len(limits)):
        closer[t] += count_below(room[:whole], limits[t])


def tally(A: np.ndarray, blocks: Any, own: Any, limits: np.ndarray, far: np.ndarray, pool: Any, scores: Any) -> Any:
    """Find the rows nearest to anchors, and count those below limits, by each of some metrics.

    The nearest rows are exactly these, and a row is found to be one of them or not. In double precision all counts are
    exact. Else rows are counted in every few only, others for each anchor, as they are seen along some axes. What that
    does to counts is known of a sample of the rows, and is taken off: a difference estimator, whose mean is right
    whatever is hidden (Cochran 1977, Sampling Techniques, chapter 7).

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
    scores : Scores or None
        Of a PCA.

    Returns
    -------
    closer : ndarray of shape (E, m, t)
        How many rows are below each limit, or an estimate of it.
    near : ndarray of shape (E, m, k)
        The nearest rows, the nearest first.
    far : ndarray of shape (E, m, k)
        Their distances.
    """
    seen, (drawn, true), (every, turn) = outline.view(A, own[0], scores), pool, dealt(own[0], A.dtype == np.float64)
    anchors, found = (A, *seen(A, own[0])), (np.zeros(limits.shape, np.int64), np.full(far.shape, -1), far)
    told, rows, blur = np.empty_like(true), 0, A.dtype.type(rounding(A.shape[1]) * LENGTH**2)
    for first, X, *terms in blocks:
        here = X, *seen(X, slice(first, first + len(X)))
        _tally(anchors, here, (first, own[0], blur), (own[1], *terms), (limits, every, turn), found, (drawn, told))
        rows += len(X)
    closer = found[0] * every
    if len(drawn):
        closer = closer + _missed(true, told, limits) * (rows / len(drawn))
    return closer, *found[1:]


@kernel
def _missed(true: Any, told: Any, limits: Any) -> Any:
    """Return how many more distances are below limits than was told."""
    missed = np.zeros(limits.shape, np.int64)
    for i in prange(limits.shape[1]):
        for e in range(len(limits)):
            for t in range(limits.shape[2]):
                limit = limits[e, i, t]
                missed[e, i, t] = count_below(true[e, i], limit) - count_below(told[e, i], limit)
    return missed


@kernel
def _tally(anchors: Any, rows: Any, which: Any, terms: Any, sought: Any, found: Any, sample: Any) -> None:
    (A, A_codes, A_steps, A_across, A_whole, A_sizes), (X, codes, steps, across, X_whole, X_sizes) = anchors, rows
    first, own, blur = which
    (lift, shift, scale), (limits, every, turn), (closer, ids, far), (pool, told) = terms, sought, found, sample
    for b in prange((len(A) + ANCHORS - 1) // ANCHORS):
        low, high = b * ANCHORS, min((b + 1) * ANCHORS, len(A))
        space, room, none = np.empty(ANCHORS * CHUNK, A.dtype), np.empty((2, CHUNK), A.dtype), A.dtype.type(0)
        for start in range(0, len(X), CHUNK):
            of = slice(start, min(start + CHUNK, len(X)))
            least = room[0, : of.stop - start]
            width, near = len(least), (high - low) * len(least)
            if codes.shape[1] > 0:
                some, others = _tiles(low, high), _tiles(of.start, of.stop)
                width = (others.stop - others.start) * TILE
                products = space[: ANCHORS * width].reshape(ANCHORS, width)[: high - low]
                multiplied((A_codes[some], A_steps[low:]), (codes[others], steps[start:]), products)
                near = _count_near(products, low, of, (A_across, across), terms, far, least)
            whole = near > (high - low) * len(least) // (MANY * FEW)
            if whole:
                width = len(least)
                np.dot(A[low:high], X[of].T, space[: (high - low) * width].reshape(high - low, width))
            here, rows_across = (first + start, X[of], X_whole[of], X_sizes[of]), across[of]
            told_here = np.searchsorted(pool, first + start), np.searchsorted(pool, first + of.stop)
            for e in range(len(lift)):
                for i in range(low, high):
                    by, itself = (lift[e, i], shift[e, of], scale[e, of]), own[i] - first - start
                    products = space[(i - low) * width :]
                    if 0 <= itself < len(least):
                        products[itself] = -np.inf
                    _at_least(products, rows_across, none if whole else A_across[i], by, least)
                    row, kept = (A[i], A_whole[i], A_sizes[i]), (far[e, i], ids[e, i])
                    _keep_nearest(row, here, products, by, (whole, blur, least), kept)
                    counted = turn[i] + (first + start) // CHUNK, every, room[1]
                    _count(products, by, counted, limits[e, i], closer[e, i])
                    for p in range(*told_here):
                        told[e, i, p] = _away(products, by, pool[p] - first - start)
