"""The original space as some anchors see it: the rows nearest to them, the ranks of others, and distances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpuvis.backends.base import Array, Backend
from gpuvis.distances import Asked, Distances

TOGETHER = ("euclidean", "cosine")  # metrics of the same products
KNOWN = (*TOGETHER, "correlation")


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
    metrics = tuple(dict.fromkeys(("euclidean", metric) if metric in KNOWN else ("euclidean",)))
    if metrics == TOGETHER:
        yield from _by_lengths(asked, backend)
    for name in metrics if metrics != TOGETHER else ():
        yield (name,), _seen(asked, Distances(asked, (name,), backend), backend)[0]


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
    closer, nearest, far = backend.ranks().tally(by.A, by.blocks(), own, limits, far, pool)
    kept = limits <= far[:, :, -1:]  # else k rows are closer
    excess = xp.where(kept, 0, 1 + closer - k)
    parts = {name: slice(at * k, (at + 1) * k) for at, name in enumerate(asked.near)}
    return [
        Survey(
            nearest[e],
            {name: kept[e, :, part] for name, part in parts.items()},
            {name: excess[e, :, part] for name, part in parts.items()},
            drawn[e],
        )
        for e in range(len(by.lift))
    ]
