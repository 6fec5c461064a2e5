"""Cosine similarities of rows to the centroids of classes, computed in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Array, Backend
from gpuvis.io import pt

PRODUCTS = 1 << 23  # most products of rows and classes that are in memory at a time
ROUNDING = 1e-9  # rounding of sums of unit rows: a centroid no longer than this has no direction


@dataclass(frozen=True, eq=False)
class Similarities:
    """Cosine similarities of each row to centroids; arrays of shape (N,), float64 unless another type is given.

    The centroid of a class is the mean of its rows, each scaled to length 1. A similarity is NaN where it is not
    defined: for rows of zeros, for rows without a class, and if the class has no such centroid.

    Attributes
    ----------
    own : ndarray
        To the centroid of the row's own class.
    without : ndarray
        To the centroid of the other rows of its class; NaN if the row is the only one.
    nonzero : ndarray of bool
        Whether the row is not all zeros, so that it has a direction.
    nearest : ndarray of int64
        The class other than its own whose centroid is nearest; -1 if there is none.
    other : ndarray
        To the centroid of that class.
    """

    own: np.ndarray
    without: np.ndarray
    nonzero: np.ndarray
    nearest: np.ndarray
    other: np.ndarray


class _Sums(NamedTuple):
    """Sums over the rows of each of C classes.

    Attributes
    ----------
    sums : array of shape (C, D), float64
        Of the rows scaled to length 1.
    sizes : ndarray of shape (C,), int64
        How many of the rows are not all zeros.
    nonzero : ndarray of shape (N,), bool
        Whether each row, of any class or none, is not all zeros.
    """

    sums: Array
    sizes: np.ndarray
    nonzero: np.ndarray


class _Block(NamedTuple):
    """A block of rows: where they lie in the matrix, scaled to length 1 in float64, and which are not all zeros."""

    rows: slice
    units: Array
    nonzero: Array


def measure(X: Any, codes: np.ndarray, scale: float, backend: Backend) -> Similarities:
    """Compute the similarity of each row to the centroids of its own class and of the nearest other class.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    codes : ndarray of shape (N,), int64
        The class of each row; -1 for a row without one.
    scale : float
        Factor by which X is multiplied first.
    backend : Backend

    Returns
    -------
    Similarities
    """
    xp, n_rows, n_classes = backend.xp, len(X), int(codes.max(initial=-1)) + 1
    own, without, other = (np.full(n_rows, np.nan) for _ in range(3))
    sums, sizes, nonzero = _sums(X, codes, n_classes, scale, backend)
    similarities = Similarities(own, without, nonzero, np.full(n_rows, -1), other)
    if not n_classes:
        return similarities
    squares = (sums * sums).sum(1)
    centroids = (sums * _inverse(xp.sqrt(squares), xp)[:, None]).astype(np.float32)
    for rows, U, has_direction in _blocks(X, n_classes, scale, backend):
        label = codes[rows]
        clipped = xp.asarray(np.maximum(label, 0))
        along = (U * sums[clipped]).sum(1)  # row by row, so equal rows have equal cosines even in different blocks
        square, defined = squares[clipped], has_direction & xp.asarray(label >= 0)
        similarities.own[rows] = _to_host(along * _inverse(xp.sqrt(square), xp), defined, backend)
        alone = xp.asarray(sizes[np.maximum(label, 0)] < 2)  # NumPy's indices are quicker on the host
        # Without the row u itself, the sum s becomes s - u: its product with u is su - 1, its square s² - 2 su + 1.
        rest = xp.sqrt(xp.maximum(square - 2 * along + 1, 0))
        similarities.without[rows] = _to_host((along - 1) * _inverse(rest, xp), defined & ~alone, backend)
        cosines = U.astype(np.float32) @ centroids.T
        labelled = np.flatnonzero(label >= 0)
        cosines[xp.asarray(labelled), xp.asarray(label[labelled])] = -np.inf
        best = cosines.argmax(1)
        value = xp.take_along_axis(cosines, best[:, None], 1)[:, 0].astype(np.float64)
        exists = xp.isfinite(value)
        similarities.nearest[rows] = np.where(backend.to_numpy(exists & has_direction), backend.to_numpy(best), -1)
        similarities.other[rows] = _to_host(value, exists & has_direction, backend)
    return similarities


def _sums(X: Any, codes: np.ndarray, n_classes: int, scale: float, backend: Backend) -> _Sums:
    """Sum the rows of each class, each scaled to length 1."""
    xp, sizes, nonzero = backend.xp, np.zeros(n_classes, np.int64), np.zeros(len(X), bool)
    sums = xp.zeros((n_classes, X.shape[1]))
    for rows, U, has_direction in _blocks(X, n_classes, scale, backend):
        nonzero[rows] = backend.to_numpy(has_direction)
        label = np.where(nonzero[rows], codes[rows], -1)
        classes = np.unique(label[label >= 0])
        members = xp.asarray(label)[None] == xp.asarray(classes)[:, None]
        sums[xp.asarray(classes)] += members.astype(np.float64) @ U
        sizes += np.bincount(label[label >= 0], minlength=n_classes)
    return _Sums(sums, sizes, nonzero)


def _blocks(X: Any, n_classes: int, scale: float, backend: Backend) -> Iterator[_Block]:
    """Yield all rows in blocks, so small that their products with all classes are few enough."""
    step = max(1, min(PRODUCTS // max(1, n_classes), arrays.BLOCK_BYTES // (8 * X.shape[1])))
    for start, block in arrays.blocks(X, step * X.shape[1] * X.itemsize):
        rows = backend.as_array(block, scale).astype(np.float64)
        norms = backend.xp.sqrt((rows * rows).sum(1))
        units = rows * _inverse(norms, backend.xp, 0.0)[:, None]
        yield _Block(slice(start, start + len(rows)), units, norms > 0)
        pt.release_pages(X)


def _inverse(values: Array, xp: Any, least: float = ROUNDING) -> Array:
    """Return one over each value; 0 for a value that is not larger than `least`."""
    large = values > least
    return xp.where(large, 1 / xp.where(large, values, 1), 0)


def _to_host(cosines: Array, defined: Array, backend: Backend) -> np.ndarray:
    """Return cosines as a NumPy array, NaN where they are not defined."""
    return np.where(backend.to_numpy(defined), np.clip(backend.to_numpy(cosines), -1, 1), np.nan)
