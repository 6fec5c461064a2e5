"""Distances by metrics that products do not tell, and the ranks that they make: compiled.

Rows are turned so that a column of many lies together: each has a sum of its own, which the vector units follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.compiled import count_below, insert, kernel, part, prange
from gpuvis.backends.vectors import BITS, aligned, below, lowest

ROWS = 512  # that are turned together: of 512 columns they fit a second cache of 1 MB
SURE = 1e8  # times the least number of full precision: from there on products, and shares of them, are exact enough
NAMES = "manhattan", "chebyshev", "canberra", "braycurtis"


def apart(A: np.ndarray, X: np.ndarray, metric: str) -> np.ndarray:
    """Return how far each row of X is from each of A, (m, c); 0 where that is not defined."""
    found = np.empty((len(A), len(X)), A.dtype)
    _apart(A, X, NAMES.index(metric), found)
    return found


@kernel
def _apart(A: Any, X: Any, which: Any, found: Any) -> None:
    for b in prange((len(X) + ROWS - 1) // ROWS):
        some = slice(b * ROWS, min((b + 1) * ROWS, len(X)))
        columns = aligned(X[some].size, X.dtype).reshape(X.shape[1], -1)
        columns[:] = X[some].T
        for i in range(len(A)):
            found[i, some] = _from_one(A[i], columns, which)


@part
def _from_one(a: Any, columns: Any, which: Any) -> Any:
    """Return how far rows are from one."""
    far = aligned(columns.shape[1], columns.dtype)
    far[:] = 0
    if which == 0:
        _manhattan(a, columns, far)
    elif which == 1:
        _chebyshev(a, columns, far)
    elif which == 2:
        _canberra(a, columns, far)
    else:
        _braycurtis(a, columns, far)
    return far


@part
def _manhattan(a: Any, columns: Any, far: Any) -> None:
    for k in range(len(a)):
        for j in range(len(far)):
            far[j] += abs(a[k] - columns[k, j])


@part
def _chebyshev(a: Any, columns: Any, far: Any) -> None:
    for k in range(len(a)):
        for j in range(len(far)):
            far[j] = max(far[j], abs(a[k] - columns[k, j]))


@part
def _canberra(a: Any, columns: Any, far: Any) -> None:
    """Of two columns one division is enough, where what it divides by cannot be lost."""
    k, sure = 0, SURE * np.finfo(far.dtype).tiny
    while k < len(a):
        if k + 1 < len(a) and abs(a[k] * a[k + 1]) > sure:
            _canberra_of_two(a[k], a[k + 1], columns[k], columns[k + 1], far)
            k += 2
        else:
            _canberra_of_one(a[k], columns[k], far)
            k += 1


@part
def _canberra_of_one(a: Any, column: Any, far: Any) -> None:
    own, tiny = abs(a), np.finfo(far.dtype).tiny
    for j in range(len(far)):
        far[j] += abs(a - column[j]) / max(own + abs(column[j]), tiny)


@part
def _canberra_of_two(a: Any, b: Any, column: Any, other: Any, far: Any) -> None:
    """Add what two columns give, of which the product of the values of the one row is far enough from 0."""
    own, next_own, tiny = abs(a), abs(b), np.finfo(far.dtype).tiny  # never divided by 0, which numba would look for
    for j in range(len(far)):
        one, two = own + abs(column[j]), next_own + abs(other[j])
        far[j] += (abs(a - column[j]) * two + abs(b - other[j]) * one) / max(one * two, tiny)


@part
def _braycurtis(a: Any, columns: Any, far: Any) -> None:
    both = aligned(len(far), far.dtype)
    both[:] = 0
    for k in range(len(a)):
        for j in range(len(far)):
            far[j] += abs(a[k] - columns[k, j])
            both[j] += abs(a[k] + columns[k, j])
    for j in range(len(far)):
        far[j] /= max(both[j], np.finfo(far.dtype).tiny)


@kernel
def take(values: Any, first: int, limits: Any, found: Any) -> None:
    """Count distances (m, c) below limits, and keep the nearest rows; see `base.Ranks`."""
    closer, ids, far = found
    last = far.shape[1] - 1
    for i in prange(len(values)):
        for t in range(limits.shape[1]):
            closer[i, t] += count_below(values[i], limits[i, t])
        for start in range(0, values.shape[1], BITS):
            bits = below(values[i], start, far[i, last])
            while bits != 0:
                j = start + lowest(bits)
                bits &= bits - np.uint64(1)
                if values[i, j] < far[i, last]:
                    insert(values[i, j], first + j, far[i], ids[i])
