"""Compare rows of distances in any array library: the GPU's way, and the reference of the CPU's loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuvis.backends.base import Array

MOST = 1e-30  # one over the largest distance of Bray and Curtis: a row and its negative are infinitely far apart
VALUES = 1 << 26  # differences that are held at a time, 256 MiB; those of one row, if they are more


def in_parts(work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
    """Call `work((first, last))` for parts of so many, one after the other."""
    for first in range(0, count, size):
        work((first, min(first + size, count)))


def tally(values: Array, base: int, limits: Array, closer: Array, far: Array, near: Array, xp: Any) -> None:
    """Take in distances, (m, n), as `Backend.tally` says."""
    for t in range(limits.shape[1]):
        closer[:, t] += (values < limits[:, t, None]).sum(1)
    k = far.shape[1]
    if k == 0:
        return
    ids = xp.argpartition(values, min(k, values.shape[1]) - 1, 1)[:, :k]
    ids, values = xp.concatenate([near, ids + base], 1), xp.concatenate([far, xp.take_along_axis(values, ids, 1)], 1)
    order = values.argsort(1)[:, :k]
    far[:], near[:] = xp.take_along_axis(values, order, 1), xp.take_along_axis(ids, order, 1)


def cdist(A: Array, B: Array, metric: str, xp: Any) -> Array:
    """Return the distances of rows, (m, n), by the definition of a metric; 0 where it is not defined."""
    found = xp.empty((len(A), len(B)), A.dtype)
    step = max(1, VALUES // B.size)
    for start in range(0, len(A), step):
        some = slice(start, start + step)
        found[some] = _by_definition(A[some, None], B[None], metric, xp)
    return found


def _by_definition(A: Array, B: Array, metric: str, xp: Any) -> Array:
    off, tiny = xp.abs(A - B), float(np.finfo(A.dtype).tiny)
    if metric == "sqeuclidean":
        return (off * off).sum(-1)
    if metric == "manhattan":
        return off.sum(-1)
    if metric == "chebyshev":
        return off.max(-1)
    if metric == "canberra":
        return (off / xp.maximum(xp.abs(A) + xp.abs(B), tiny)).sum(-1)
    if metric == "braycurtis":
        off, both = off.sum(-1), xp.abs(A + B).sum(-1)
        return off / xp.maximum(both, xp.maximum(MOST * off, tiny))
    raise ValueError(f"unknown metric: {metric}")
