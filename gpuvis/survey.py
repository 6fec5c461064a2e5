"""The original space as some anchors see it: the rows nearest to them, the ranks of others, and distances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import matrix, tensors
from gpuvis.backends import apart
from gpuvis.backends.base import Array, Backend, Scores
from gpuvis.distances import BLOCK_BYTES, SLACK, Asked, Distances

TOGETHER = ("euclidean", "cosine")  # metrics of the same products
BY_PRODUCTS = (*TOGETHER, "correlation")


@dataclass(frozen=True, eq=False)
class Survey:
    """What the anchors see, by one metric.

    Attributes
    ----------
    near : array of shape (m, k)
        The rows nearest to each anchor, the nearest first.
    kept : dict of str to array of shape (m, k), bool
        For each map, which of the points that are nearest there are among the k rows nearest to the anchor.
    excess : dict of str to array of shape (m, k)
        How far their ranks (1, 2, …) are above k; equal distances share the lowest rank. 0: not at all. Of a sample it
        may be an estimate, whose mean is right, and so may be below 0.
    drawn : array of shape (m, c)
        Distances at `Asked.places`, or what orders them alike.
    """

    near: Array
    kept: dict[str, Array]
    excess: dict[str, Array]
    drawn: Array


def surveys(asked: Asked, metric: str, backend: Backend) -> Iterator[tuple[tuple[str, ...], Survey]]:
    """Give a survey by euclidean distances and, where that differs and is known, by another metric: with their names.

    Rows of one length are as near by their angles as by euclidean distances, and one survey has both names.
    """
    if metric == "cosine":
        yield from _by_lengths(asked, backend)
        return
    for name in dict.fromkeys(("euclidean", metric)):
        if name in BY_PRODUCTS:
            yield (name,), _seen(asked, Distances(asked, (name,), backend), backend)[0]
        else:
            yield (name,), _by_definition(asked, name, backend)


def _by_lengths(asked: Asked, backend: Backend) -> Iterator[tuple[tuple[str, ...], Survey]]:
    """Give surveys by both metrics of the same products."""
    by = Distances(asked, TOGETHER, backend)
    if by.is_of_one_length(0.5):  # as far as rows were read: it would take as long again if the others are not
        by.forget_angles()
        seen = _seen(asked, by, backend)[0]
        if by.is_of_one_length():
            yield TOGETHER, seen
            return
        by = Distances(asked, TOGETHER, backend)
    for name, seen in zip(TOGETHER, _seen(asked, by, backend), strict=True):
        yield (name,), seen


def _seen(asked: Asked, by: Distances, backend: Backend) -> list[Survey]:
    """Compare the anchors with all rows, block by block, by each metric."""
    xp = backend.xp
    near, k = xp.concatenate(list(asked.near.values()), 1), next(iter(asked.near.values())).shape[1]
    if asked.precise:  # all rows are anchors
        limits, drawn = by.among(near)
        far, pool = xp.full((*limits.shape[:2], k), np.inf, limits.dtype), (asked.pool[:0], limits[:, :, :0])
    else:
        limits, far = by.pairs(near, k)
        drawn, far, pool = by.whole(far)
    own = xp.asarray(asked.anchors), by.lift
    closer, nearest, far = backend.ranks().tally(by.A, by.blocks(), own, limits, far, pool, _scores(asked, by))
    return [_told(asked, (limits[e], closer[e]), (nearest[e], far[e]), drawn[e], xp) for e in range(len(by.lift))]


def _scores(asked: Asked, by: Distances) -> Scores | None:
    """Return what a PCA knows of the rows, if they are moved as it has them: by the mean of the pool."""
    if asked.scores is None or asked.precise or by.centred:
        return None
    return Scores(asked.scores, asked.scores[asked.pool].mean(0))


def _by_definition(asked: Asked, metric: str, backend: Backend) -> Survey:
    """Compare the anchors with all rows by a metric that products do not tell: each distance in whole, all exact."""
    xp, ranks, own, near = backend.xp, backend.ranks(), asked.anchors, backend.xp.concatenate([*asked.near.values()], 1)

    def read(which: Any) -> Array:
        rows = backend.as_array(asked.X[which], asked.scale).astype(np.float64 if asked.precise else np.float32)
        tensors.let_go(asked.X)
        return rows

    A, ids, width = read(own), backend.to_indices(near), near.shape[1]
    limits = xp.empty(ids.size, A.dtype)
    for some in np.array_split(matrix.as_stored(ids.ravel()), width):
        limits[xp.asarray(some)] = apart.in_pairs(A[xp.asarray(some // width)], read(ids.ravel()[some]), metric, xp)
    limits = limits.reshape(ids.shape) * (1 - SLACK * float(np.finfo(A.dtype).eps))
    drawn = xp.take_along_axis(ranks.apart(A, read(asked.pool), metric), xp.asarray(asked.places), 1)
    shape = len(own), width // len(asked.near)
    closer, nearest, far = xp.zeros(ids.shape, np.int64), xp.full(shape, -1, np.int64), xp.full(shape, np.inf, A.dtype)
    for start, block in matrix.blocks(asked.X, BLOCK_BYTES):
        values = ranks.apart(A, read(slice(start, start + len(block))), metric)
        itself = np.flatnonzero((own >= start) & (own < start + len(block)))
        values[xp.asarray(itself), xp.asarray(own[itself] - start)] = np.inf
        ranks.take(values, start, limits, (closer, nearest, far))
    return _told(asked, (limits, closer), (nearest, far), drawn, xp)


def _told(asked: Asked, limits: tuple[Array, Array], near: tuple[Array, Array], drawn: Array, xp: Any) -> Survey:
    """Return what is seen; `limits`: of the points near on each map, and how many rows are closer than these."""
    (least, closer), (ids, far) = limits, near
    kept, k = least <= far[:, -1:], far.shape[1]  # else k rows are closer
    excess = xp.where(kept, 0, 1 + closer - k)
    parts = {name: slice(at * k, (at + 1) * k) for at, name in enumerate(asked.near)}
    return Survey(
        ids,
        {name: kept[:, part] for name, part in parts.items()},
        {name: excess[:, part] for name, part in parts.items()},
        drawn,
    )
