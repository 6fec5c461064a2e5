"""Rows that are equal, value for value."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis import matrix, tensors

BLOCK_BYTES = 8 << 20


def groups(X: Any) -> np.ndarray:
    """Return a number for each row, (N,), int64, the same for rows that are equal in float32.

    Rows are told apart by sums of their bits times random numbers, in 64 bits (multilinear hashing; Carter, Wegman
    1979, Journal of Computer and System Sciences 18:143), and those that have the same are compared.
    """
    rows, factors = len(X), _factors(X.shape[1])
    sums = np.empty(rows, np.uint64)
    for start, block in matrix.blocks(X, BLOCK_BYTES):
        sums[start : start + len(block)] = (_values(block).view(np.uint32) * factors).sum(1)
        tensors.let_go(X)
    _, first, number = np.unique(sums, return_index=True, return_inverse=True)
    doubtful = np.flatnonzero(first[number] != np.arange(rows))
    step = max(1, BLOCK_BYTES // (X.shape[1] * X.itemsize))
    for start in range(0, len(doubtful), step):
        some = doubtful[start : start + step]
        differs = (_values(X[some]) != _values(X[first[number[some]]])).any(1)
        number[some[differs]] = rows + some[differs]  # a sum that happens to be the same
        tensors.let_go(X)
    return number


def _factors(columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1 << 64, columns, np.uint64)


def _values(block: Any) -> np.ndarray:
    return np.asarray(matrix.as_float32(block)) + np.float32(0)  # which makes -0 and 0 the same
