"""Cosine similarities of rows to the centroids of classes, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Array, Backend
from gpuvis.io import pt

PRODUCTS = 1 << 23  # rows × classes that are held at a time
ROUNDING = 1e-9  # of sums of rows of length 1: a centroid no longer than that has no direction


@dataclass(frozen=True, eq=False)
class Similarities:
    """Cosines of rows and centroids, (N,), float64; NaN where there is none to tell of.

    Attributes
    ----------
    own : ndarray
        To the centroid of the row's class: the mean of its rows, brought to length 1 first. NaN for a row of zeros.
    without : ndarray
        The same, the row itself left out of the mean. NaN also where it is the only one.
    directed : ndarray of bool
        The row is not zero, so it has cosines.
    nearest : ndarray of int64
        The class, but its own, whose centroid is nearest; -1: there is none.
    other : ndarray
        To that centroid.
    """

    own: np.ndarray
    without: np.ndarray
    directed: np.ndarray
    nearest: np.ndarray
    other: np.ndarray


def measure(X: Any, codes: np.ndarray, scale: float, backend: Backend) -> Similarities:
    """Compare rows with the centroids of classes.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    codes : ndarray of shape (N,), int64
        The class of each row; -1: it has none.
    scale : float
        What X is multiplied by first.
    backend : Backend
    """
    xp, rows, count = backend.xp, len(X), int(codes.max(initial=-1)) + 1
    own, without, other = (np.full(rows, np.nan) for _ in range(3))
    sums, sizes, directed = _sums(X, codes, count, scale, backend)
    found = Similarities(own, without, directed, np.full(rows, -1), other)
    if not count:
        return found
    squares = (sums * sums).sum(1)
    centroids = (sums * _inverse(xp.sqrt(squares), xp)[:, None]).astype(np.float32)
    for some, U, real in _unit_rows(X, count, scale, backend):
        label = codes[some]
        mine = xp.asarray(np.maximum(label, 0))
        along = (U * sums[mine]).sum(1)  # row by row: equal rows have equal cosines, wherever they stand
        square, has = squares[mine], real & xp.asarray(label >= 0)
        found.own[some] = _host(along * _inverse(xp.sqrt(square), xp), has, backend)
        alone = xp.asarray(sizes[np.maximum(label, 0)] < 2)  # NumPy's indices are quicker on the host
        rest = xp.sqrt(xp.maximum(square - 2 * along + 1, 0))
        found.without[some] = _host((along - 1) * _inverse(rest, xp), has & ~alone, backend)
        near = U.astype(np.float32) @ centroids.T
        owned = np.flatnonzero(label >= 0)
        near[xp.asarray(owned), xp.asarray(label[owned])] = -np.inf
        best = near.argmax(1)
        value = xp.take_along_axis(near, best[:, None], 1)[:, 0].astype(np.float64)
        there = xp.isfinite(value)
        found.nearest[some] = np.where(backend.to_numpy(there & real), backend.to_numpy(best), -1)
        found.other[some] = _host(value, there & real, backend)
    return found


def _sums(
    X: Any, codes: np.ndarray, count: int, scale: float, backend: Backend
) -> tuple[Array, np.ndarray, np.ndarray]:
    """Return the sum of the rows of each class, brought to length 1, how many are not zero, and which of all rows."""
    xp, sizes, directed = backend.xp, np.zeros(count, np.int64), np.zeros(len(X), bool)
    sums = xp.zeros((count, X.shape[1]))
    for some, U, real in _unit_rows(X, count, scale, backend):
        directed[some] = backend.to_numpy(real)
        label = np.where(directed[some], codes[some], -1)
        here = np.unique(label[label >= 0])
        members = xp.asarray(label)[None] == xp.asarray(here)[:, None]
        sums[xp.asarray(here)] += members.astype(np.float64) @ U
        sizes += np.bincount(label[label >= 0], minlength=count)
    return sums, sizes, directed


def _unit_rows(X: Any, count: int, scale: float, backend: Backend) -> Iterator[tuple[slice, Array, Array]]:
    """Give the rows in blocks, brought to length 1 in float64, and which of them are not zero."""
    step = max(1, min(PRODUCTS // max(1, count), arrays.BLOCK_BYTES // (8 * X.shape[1])))
    for start, block in arrays.blocks(X, step * X.shape[1] * X.itemsize):
        rows = backend.as_array(block, scale).astype(np.float64)
        lengths = backend.xp.sqrt((rows * rows).sum(1))
        yield slice(start, start + len(rows)), rows * _inverse(lengths, backend.xp, 0.0)[:, None], lengths > 0
        pt.let_go(X)


def _inverse(values: Array, xp: Any, least: float = ROUNDING) -> Array:
    """Return one over each value, 0 for one that is no larger than the least."""
    some = values > least
    return xp.where(some, 1 / xp.where(some, values, 1), 0)


def _host(values: Array, known: Array, backend: Backend) -> np.ndarray:
    """Return cosines on the host, NaN where they are not known."""
    return np.where(backend.to_numpy(known), np.clip(backend.to_numpy(values), -1, 1), np.nan)
