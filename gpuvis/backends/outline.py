"""Rows seen along a few axes, which tells most of their distances at a fraction of the cost.

More axes take longer, and fewer leave more rows that have to be looked at in whole: the limits are where both together
were quickest, on MNIST and a CLIP-like cache. What the axes hide is made good by `ranks.tally`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import eigh, qr

from gpuvis.backends import codes
from gpuvis.backends.compiled import kernel, prange
from gpuvis.backends.products import dot

UNSEEN = 3e-2  # of the squares of all products: what the axes may leave out
FEWEST = 12  # axes are at least one in so many: those that tell near rows apart are small in the products of all
MOST = 4  # and one in so many at most
LEAST = 32  # columns from which axes are looked for
PIECE = 512  # rows that are taken together


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


def seen(X: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows along some axes as codes with their steps, and how long each is across them, or a little more.

    The products of the latter are at least what is not seen of products, whatever is rounded.
    """
    found, columns = codes.room(len(X), axes.shape[1]), axes.shape[1]
    steps, across = np.zeros(len(found) * codes.TILE, X.dtype), np.zeros(len(X), X.dtype)
    if columns:
        blur = X.dtype.type(16 * np.finfo(X.dtype).eps + codes.rounding(columns))
        _seen(X, axes, blur, found, steps, across)
    return found, steps, across


@kernel
def _seen(X: Any, axes: Any, blur: Any, found: Any, steps: Any, across: Any) -> None:
    for b in prange((len(X) + PIECE - 1) // PIECE):
        start = b * PIECE
        along = np.dot(X[start : start + PIECE], axes)
        for i in range(start, start + len(along)):
            whole, row = dot(X[i], X[i]), along[i - start]
            across[i] = np.sqrt(max(whole - dot(row, row), whole - whole) + blur * whole)
            steps[i] = codes.code(row, i, found)
