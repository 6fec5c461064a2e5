"""For the measures of a map: per anchor, count the rows within a distance, and keep the nearest ones.

To measure a map, distances between anchors and all rows are computed block by block (`gpuvis.quality.ranks`). From each
block `tally` updates two results for every anchor:

- how many rows are closer than each of its limits, which gives the ranks of rows: the distances below each limit are
  counted and added up;
- its k nearest rows so far: the k least distances of the block join those kept from earlier blocks, and the k least of
  all stay. Selecting k by `argpartition` and sorting only these is quicker than sorting the block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuvis.backends.base import Array

MOST = 1e-30  # least divisor of a Bray-Curtis distance, as a share of the dividend, so that the distance is finite
VALUES = 1 << 26  # most differences that are held at a time, 256 MiB; those of one row, if they are more


def in_parts(work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
    """Call `work((first, last))` for consecutive parts of `count` items, of at most `size` each, one after another."""
    for first in range(0, count, size):
        work((first, min(first + size, count)))


def tally(values: Array, base: int, limits: Array, closer: Array, far: Array, near: Array, xp: Any) -> None:
    """Update the counts and the nearest rows of m anchors from their distances to a block of n rows, in place.

    Parameters
    ----------
    values : array of shape (m, n)
        Distances to the rows of the block.
    base : int
        Index of the first row of the block.
    limits : array of shape (m, t)
    closer : array of shape (m, t), int64
        How many distances are below each limit, added to.
    far : array of shape (m, k)
        The least distances so far, ascending; infinite at first.
    near : array of shape (m, k), int32
        The rows at these distances; of several at equal distances, any.
    xp : module
        NumPy or CuPy.
    """
    for t in range(limits.shape[1]):
        closer[:, t] += (values < limits[:, t, None]).sum(1)
    k = far.shape[1]
    if k == 0:
        return
    columns = xp.argpartition(values, min(k, values.shape[1]) - 1, 1)[:, :k]
    indices = xp.concatenate([near, columns + base], 1)
    distances = xp.concatenate([far, xp.take_along_axis(values, columns, 1)], 1)
    order = distances.argsort(1)[:, :k]
    far[:], near[:] = xp.take_along_axis(distances, order, 1), xp.take_along_axis(indices, order, 1)


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
        Of the type of A.

    Raises
    ------
    ValueError
        The metric is another one.
    """
    distances = xp.empty((len(A), len(B)), A.dtype)
    step = max(1, VALUES // B.size)
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
        return total / xp.maximum(sums, xp.maximum(MOST * total, tiny))
    raise ValueError(f"unknown metric: {metric}")
