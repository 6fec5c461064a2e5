"""Distances by metrics that no products tell, each by its definition: in steps that any array library has."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.base import Array

BLOCK = 1 << 24  # differences that are held at a time


def in_pairs(A: Array, X: Array, metric: str, xp: Any) -> Array:
    """Return how far rows are apart, (…,), of two arrays of shape (…, D); 0 where it is not defined."""
    off = xp.abs(A - X)
    if metric == "manhattan":
        return off.sum(-1)
    if metric == "chebyshev":
        return off.max(-1)
    tiny = float(np.finfo(np.float32).tiny)
    if metric == "canberra":
        return (off / xp.maximum(xp.abs(A) + xp.abs(X), tiny)).sum(-1)
    return off.sum(-1) / xp.maximum(xp.abs(A + X).sum(-1), tiny)  # braycurtis


def of_all(A: Array, X: Array, metric: str, xp: Any) -> Array:
    """Return how far each row of X is from each of A, (m, c)."""
    found = xp.empty((len(A), len(X)), A.dtype)
    step = max(1, BLOCK // X.size)
    for start in range(0, len(A), step):
        some = slice(start, start + step)
        found[some] = in_pairs(A[some, None], X[None], metric, xp)
    return found
