"""Rows seen along a few axes, which tells most of their distances at a fraction of the cost."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

UNSEEN = 3e-4  # of the squares of all products: what the axes may leave out
FEWEST = 8  # axes are at least one in so many: those that tell near rows apart are small in the products of all
LEAST = 32  # columns from which axes are looked for
ROUNDING, TINY = 16 * np.finfo(np.float32).eps, np.finfo(np.float32).tiny


def axes_of(A: np.ndarray) -> np.ndarray:
    """Return axes, (D, p), along which most of what tells rows apart is seen, or none if too many were needed.

    They are the principal ones of a sample of the rows, half as many as there are columns at most. None are given in
    double precision, where every digit is asked for.
    """
    rows, columns = A.shape
    if A.dtype != np.float32 or columns < LEAST:
        return np.empty((columns, 0), A.dtype)
    wide = columns > rows
    products = A @ A.T if wide else A.T @ A
    sizes, axes = eigh(products)  # rising
    shares = np.cumsum(np.square(sizes[::-1], dtype=np.float64))
    count = 1 + int((shares < (1 - UNSEEN) * shares[-1]).sum())
    count = max(count, min(columns, rows) // FEWEST)
    if count > columns // 2:
        return np.empty((columns, 0), A.dtype)
    sizes, axes = np.maximum(sizes[-count:], TINY), axes[:, -count:]
    return np.ascontiguousarray(A.T @ axes / np.sqrt(sizes) if wide else axes)


def seen(X: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows along some axes, and how long each is across them, or a little more, whatever is rounded."""
    along = X @ axes
    whole, part = (np.einsum("ij,ij->i", rows, rows) for rows in (X, along))
    return along, np.sqrt(np.maximum(whole - part, 0) + ROUNDING * whole)
