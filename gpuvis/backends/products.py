"""Rows, moved, and their products, in parallel: what `ranks_anywhere` does in plain steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.compiled import blocks, kernel, part, prange
from gpuvis.backends.halves import coded

PIECE = 128  # rows that are taken together


def moved(X: np.ndarray, middle: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take a vector off all rows; return them with their squares and their products with it."""
    rows, numbers = np.empty(X.shape, middle.dtype), np.empty((2, len(X)), middle.dtype)
    _moved(coded(X), middle, centred, rows, numbers, blocks(len(X), PIECE))
    return rows, *numbers


def as_it_lies(X: Any, scale: float) -> bool:
    """Tell whether `paired` takes rows straight from a matrix, which is to be multiplied by a scale."""
    kinds = np.dtype(np.float32), np.dtype(np.float16)
    return isinstance(X, np.ndarray) and X.dtype in kinds and X.flags.c_contiguous and scale == 1


def paired(A: np.ndarray, which: np.ndarray, X: np.ndarray, ids: Any, middle: np.ndarray, centred: bool) -> np.ndarray:
    """Move rows of X, all or some; return their products with rows of A, squares, and products with the vector."""
    numbers, ids = np.empty((3, len(which)), middle.dtype), np.arange(len(X)) if ids is None else ids
    _paired((A, which), (*coded(X), ids), middle, centred, numbers, blocks(len(ids), PIECE))
    return numbers


def products(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return A times B transposed."""
    found = np.empty((len(A), len(B)), A.dtype)
    _products(A, B, found, blocks(len(A), PIECE))
    return found


@part
def dot(a: Any, b: Any) -> Any:
    """Return the product of two rows by BLAS; in a kernel itself, numba would make a loop of it, which is slow."""
    return np.dot(a, b)


@part
def _move(values: Any, table: Any, middle: Any, centred: Any, row: Any) -> None:
    if table is None:
        for j in range(len(row)):
            row[j] = values[j] - middle[j]
    else:
        for j in range(len(row)):
            row[j] = table[values[j]] - middle[j]
    if centred:
        total = 0.0
        for j in range(len(row)):
            total += row[j]
        mean = row.dtype.type(total / len(row))
        for j in range(len(row)):
            row[j] -= mean


@kernel
def _moved(coded: Any, middle: Any, centred: Any, rows: Any, numbers: Any, bounds: Any) -> None:
    X, table = coded
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            row = rows[i]
            _move(X[i], table, middle, centred, row)
            numbers[0, i], numbers[1, i] = dot(row, row), dot(row, middle)


@kernel
def _paired(anchors: Any, coded: Any, middle: Any, centred: Any, numbers: Any, bounds: Any) -> None:
    (A, which), (X, table, ids) = anchors, coded
    for b in prange(len(bounds) - 1):
        row = np.empty_like(middle)
        for i in range(bounds[b], bounds[b + 1]):
            _move(X[ids[i]], table, middle, centred, row)
            numbers[0, i], numbers[1, i] = dot(A[which[i]], row), dot(row, row)
            numbers[2, i] = dot(row, middle)


@kernel
def _products(A: Any, B: Any, found: Any, bounds: Any) -> None:
    for b in prange(len(bounds) - 1):
        some = slice(bounds[b], bounds[b + 1])
        np.dot(A[some], B.T, found[some])
