"""To measure a map: for each anchor, count the rows within given distances, and keep the nearest rows.

`gpuvis.quality.ranks` computes the distances between anchors and all rows block by block. From each block `tally`
updates two results of every anchor:

- the number of rows closer than each of its limits, which gives the ranks of rows;
- its k nearest rows so far: the k least distances of the block join those of earlier blocks, and the k least of all are
  kept. Selecting k by `argpartition` and sorting only these is quicker than sorting the block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuvis.backends.base import Array

MIN_DIVISOR = 1e-30  # least divisor of a Bray-Curtis distance, as a share of the dividend: the distance stays finite
MAX_DIFFERENCES = 1 << 26  # differences held at a time, 256 MiB; those of one row of A, if they are more


def in_parts(work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
    """Call `work((first, last))` for one part of `count` items after another, each of at most `size`."""
    for first in range(0, count, size):
        work((first, min(first + size, count)))


def tally(values: Array, base: int, limits: Array, counts: Array, distances: Array, indices: Array, xp: Any) -> None:
    """Update the counts and the nearest rows of m anchors from their distances to a block of n rows, in place.

    Parameters
    ----------
    values : array of shape (m, n)
        Distances to the rows of the block.
    base : int
        Index of the first row of the block.
    limits : array of shape (m, t)
    counts : array of shape (m, t), int64
        Number of distances below each limit; the block's are added.
    distances : array of shape (m, k)
        The least distances so far, ascending; infinite at first.
    indices : array of shape (m, k), int32
        The rows at these distances; of several at equal distances, any.
    xp : module
        NumPy or CuPy.
    """
    for t in range(limits.shape[1]):
        counts[:, t] += (values < limits[:, t, None]).sum(1)
    k = distances.shape[1]
    if k == 0:
        return
    columns = xp.argpartition(values, min(k, values.shape[1]) - 1, 1)[:, :k]
    rows = xp.concatenate([indices, columns + base], 1)
    candidates = xp.concatenate([distances, xp.take_along_axis(values, columns, 1)], 1)
    order = candidates.argsort(1)[:, :k]
    distances[:], indices[:] = xp.take_along_axis(candidates, order, 1), xp.take_along_axis(rows, order, 1)


def cdist(A: Array, B: Array, metric: str, xp: Any) -> Array:
    """Return the distances between rows by the definition of a metric; 0 where it is 0 / 0.

    Parameters
    ----------
    A, B : arrays of shape (m, D) and (n, D)
    metric : {"sqeuclidean", "manhattan", "chebyshev", "canberra", "braycurtis"}
    xp : module
        NumPy or CuPy.

    Returns
    -------
    array of shape (m, n)
        With the dtype of A.

    Raises
    ------
    ValueError
        The metric is unknown.
    """
    distances = xp.empty((len(A), len(B)), A.dtype)
    step = max(1, MAX_DIFFERENCES // B.size)
    for start in range(0, len(A), step):
        rows = slice(start, start + step)
        distances[rows] = _by_definition(A[rows, None], B[None], metric, xp)
    return distances


def _by_definition(A: Array, B: Array, metric: str, xp: Any) -> Array:
    """Return the distances over the last axis of two arrays that broadcast."""
    differences, tiny = xp.abs(A - B), float(np.finfo(A.dtype).tiny)
    if metric == "sqeuclidean":
        return (differences * differences).sum(-1)
    if metric == "manhattan":
        return differences.sum(-1)
    if metric == "chebyshev":
        return differences.max(-1)
    if metric == "canberra":
        return (differences / xp.maximum(xp.abs(A) + xp.abs(B), tiny)).sum(-1)
    if metric == "braycurtis":
        total, sums = differences.sum(-1), xp.abs(A + B).sum(-1)
        return total / xp.maximum(sums, xp.maximum(MIN_DIVISOR * total, tiny))
    raise ValueError(f"unknown metric: {metric}")
