"""Rows seen along a few axes, which tells most of their distances at a fraction of the cost.

More axes take longer, and fewer leave more rows that have to be looked at in whole: the limits are where both together
were quickest, on MNIST and a CLIP-like cache. What the axes hide is made good by `ranks.tally`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import eigh, qr

from gpuvis.backends import codes
from gpuvis.backends.base import Scores
from gpuvis.backends.compiled import kernel, prange
from gpuvis.backends.products import dot

UNSEEN = 3e-2  # of the squares of all products: what the axes may leave out
FEWEST = 12  # axes are at least one in so many: those that tell near rows apart are small in the products of all
MOST = 4  # and one in so many at most
LEAST = 32  # columns from which axes are looked for
PIECE = 512  # rows that are taken together
SOME = 8  # one in so many anchors tells whether a PCA's axes will do

Seen = tuple[np.ndarray, ...]


def view(A: np.ndarray, own: np.ndarray, scores: Scores | None) -> Callable[[np.ndarray, Any], Seen]:
    """Return what shows rows along axes, given with their numbers: a PCA's if these tell enough of the anchors.

    It returns rows as codes with their steps, and how long each is across the axes, or a little more: products of the
    latter are at least what is not seen of products, whatever is rounded. Then the same rows in all columns, as codes
    with their steps.
    """
    if scores is not None and A.shape[1] >= LEAST and _tells_enough(scores, A, own):
        return partial(_by_scores, scores, A.shape[1] // MOST)
    return partial(_by_axes, axes_of(A))


def _tells_enough(scores: Scores, A: np.ndarray, own: np.ndarray) -> bool:
    some, along = A[::SOME], (scores.rows[own[::SOME]] - scores.middle)[:, : A.shape[1] // MOST]
    products = (some @ some.T).astype(np.float64)  # in which their squares do not overflow
    hidden = products - along @ along.T
    return bool(np.vdot(hidden, hidden) <= UNSEEN * np.vdot(products, products))


def axes_of(A: np.ndarray) -> np.ndarray:
    """Return axes, (D, p), along which most of what tells rows apart is seen, or none if too many were needed.

    They are about the principal ones of a sample of the rows. None are given in double precision, where every digit is
    asked for.
    """
    rows, columns = A.shape
    none = np.empty((columns, 0), A.dtype)
    if A.dtype != np.float32 or columns < LEAST:
        return none
    wide = columns > rows
    products = A @ A.T if wide else A.T @ A
    products /= max(np.trace(products), np.finfo(np.float32).tiny)  # what is squared next does not overflow
    sizes, axes = _largest(products, len(products) // MOST)
    shares = np.cumsum(np.square(sizes[::-1], dtype=np.float64))
    count = 1 + int((shares < (1 - UNSEEN) * np.vdot(products, products)).sum())
    if count > len(sizes):
        return none
    axes = axes[:, -max(count, len(products) // FEWEST) :]
    return np.ascontiguousarray(qr(A.T @ axes, mode="economic")[0] if wide else axes)


def _largest(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues of a symmetric matrix, rising, and their vectors: about the largest, several times as fast.

    By subspace iteration (Halko, Martinsson, Tropp 2011, SIAM Review 53:217): any axes that show much will do.
    """
    start = np.random.default_rng(0).standard_normal((len(matrix), count), np.float32)
    basis = qr(matrix @ (matrix @ start), mode="economic")[0]
    sizes, turned = eigh(basis.T @ (matrix @ basis))
    return sizes, basis @ turned


def _by_axes(axes: np.ndarray, X: np.ndarray, which: Any) -> Seen:
    return _coded(X, axes, np.empty((len(X), axes.shape[1]), X.dtype))


def _by_scores(scores: Scores, most: int, X: np.ndarray, which: Any) -> Seen:
    """See rows by their scores, which may be about a middle that is rounded.

    Then all are off by the same, which moves the bounds of two rows by that times how far they are apart at most.
    """
    return _coded(X, np.empty((0, 0), X.dtype), np.ascontiguousarray(scores.rows[which, :most] - scores.middle[:most]))


def _coded(X: np.ndarray, axes: np.ndarray, along: np.ndarray) -> Seen:
    """Return rows as `view` says; `along`: them along axes, or room for that if axes are given."""
    rows, columns = along.shape
    found = codes.room(rows, columns)
    steps, across = np.zeros(len(found) * codes.TILE, X.dtype), np.zeros(rows, X.dtype)
    whole, sizes = np.empty((rows, X.shape[1] if columns else 0), np.int16), np.empty(rows, X.dtype)
    if columns:
        rounding = codes.rounding(X.shape[1])  # of products in whole, which may come to stand for those along axes
        blur = X.dtype.type(16 * np.finfo(X.dtype).eps + rounding)
        _code(X, axes, along, blur, (found, steps, across), (whole, sizes))
    return found, steps, across, whole, sizes


@kernel
def _code(X: Any, axes: Any, along: Any, blur: Any, found: Any, alone: Any) -> None:
    (seen, steps, across), (whole, sizes) = found, alone
    for b in prange((len(X) + PIECE - 1) // PIECE):
        piece = slice(b * PIECE, min((b + 1) * PIECE, len(X)))
        if axes.size > 0:
            np.dot(X[piece], axes, along[piece])
        for i in range(piece.start, piece.stop):
            square, row = dot(X[i], X[i]), along[i]
            inside = dot(row, row)
            across[i] = np.sqrt(max(square - inside, square - square) + blur * square)
            steps[i] = codes.code(row, inside, i, seen)
            sizes[i] = codes.code_alone(X[i], square, whole[i])
