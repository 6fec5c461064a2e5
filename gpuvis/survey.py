"""The original space as some anchors see it: the rows nearest to them, the ranks of others, and distances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import matrix, tensors
from gpuvis.backends.base import Array, Backend

BLOCK_BYTES = 8 << 20  # of rows, which stay in the processor's cache
FEW = 8  # times that rows are taken from all over the file, before its memory is given back
VALUES = 1 << 22  # products that are held at a time where all rows are anchors
ALL = slice(None)
SLACK = 16  # roundings within which two distances are equal
TOGETHER = ("euclidean", "cosine")  # metrics of the same products
KNOWN = (*TOGETHER, "correlation")


@dataclass(frozen=True, eq=False)
class Asked:
    """What is looked at.

    Attributes
    ----------
    X : torch.Tensor or array of shape (N, D)
    scale : float
        What X is multiplied by first.
    anchors : ndarray of shape (m,)
        Rows that are compared with all.
    pool : ndarray of shape (P,)
        Rows whose distances to the anchors are kept.
    near : dict of str to array of shape (m, k)
        For each map, the points that are nearest to each anchor there.
    precise : bool
        Work in float64.
    """

    X: Any
    scale: float
    anchors: np.ndarray
    pool: np.ndarray
    near: dict[str, Array]
    precise: bool


@dataclass(frozen=True, eq=False)
class Survey:
    """What the anchors see, by one metric.

    Attributes
    ----------
    near : array of shape (m, k)
        The rows nearest to each anchor, the nearest first.
    ranks : dict of str to array of shape (m, k)
        For each map, the ranks (1, 2, …) of the points that are nearest there; equal distances share the lowest rank.
    drawn : array of shape (m, P)
        Distances to the pool, or what orders them alike.
    """

    near: Array
    ranks: dict[str, Array]
    drawn: Array


def surveys(asked: Asked, metric: str, backend: Backend) -> Iterator[tuple[str, Survey]]:
    """Give a survey by euclidean distances and, where that differs and is known, by another metric."""
    metrics = dict.fromkeys(("euclidean", metric) if metric in KNOWN else ("euclidean",))
    together = [name for name in metrics if name in TOGETHER]
    for group in (together, [name for name in metrics if name not in TOGETHER]):
        if group:
            yield from zip(group, _of_group(asked, group, backend), strict=True)


def _of_group(asked: Asked, metrics: list[str], backend: Backend) -> list[Survey]:
    """Compare the anchors with all rows, block by block."""
    xp, X, kind = backend.xp, asked.X, np.float64 if asked.precise else np.float32
    middle = xp.zeros(X.shape[1], kind)

    def take(rows: Any) -> Array:
        found = backend.as_array(X[rows], asked.scale).astype(kind, copy=False) - middle
        return found - found.mean(1, keepdims=True) if "correlation" in metrics else found

    if "euclidean" in metrics:  # a mean far from zero would cost digits
        middle = take(asked.pool).mean(0)
    A, own = take(asked.anchors), xp.asarray(asked.anchors)
    by, near = _Distances(A, middle, metrics, xp), xp.concatenate(list(asked.near.values()), 1)
    m, k = next(iter(asked.near.values())).shape
    if asked.precise:  # all rows are anchors
        limits, drawn = by.among(A, near, xp.asarray(asked.pool))
    else:
        limits, drawn = xp.empty((len(metrics), *near.shape), kind), by.whole(take(asked.pool))
        for t, one in enumerate(near.T):
            limits[:, :, t] = by.pairs(take(backend.to_indices(one)))
            if t % FEW == 0:  # each time costs a moment
                tensors.let_go(X)
    seen = (len(metrics), m, k)
    found = xp.zeros(limits.shape, np.int64), xp.full(seen, -1, np.int64), xp.full(seen, np.inf, kind)
    anchors = backend.outlined(A)
    for start, block in matrix.blocks(X, BLOCK_BYTES):
        rows = take(slice(start, start + len(block)))
        tensors.let_go(X)
        backend.tally(anchors, rows, (start, own), (by.lift, *by.terms(rows)), limits, found)
    ranks = 1 + found[0]
    parts = {name: slice(at * k, (at + 1) * k) for at, name in enumerate(asked.near)}
    return [
        Survey(found[1][e], {name: ranks[e, :, part] for name, part in parts.items()}, drawn[e])
        for e in range(len(metrics))
    ]


class _Distances:
    """What orders rows by their distance from an anchor: shift + scale * (their product + lift), for each metric.

    Rows are moved by `middle`; cosines are of them as they were. `lift`, (E, m), is that of the anchors.
    """

    def __init__(self, A: Array, middle: Array, metrics: list[str], xp: Any) -> None:
        self._A, self._middle, self._metrics, self._xp = A, middle, metrics, xp
        self._length, self._squares, self._along = middle @ middle, (A * A).sum(1), A @ middle
        lift = self._along + self._length
        self.lift = _stacked([0 * lift if name == "euclidean" else lift for name in metrics], xp)

    def terms(self, X: Array) -> tuple[Array, Array]:
        """Return shift and scale of each row, both (E, c)."""
        squares, along = (X * X).sum(1), X @ self._middle
        inverse = self._inverse(squares, along)
        euclidean, angle = (squares, 0 * squares - 2), (-along * inverse, -inverse)
        shift, scale = zip(*(euclidean if name == "euclidean" else angle for name in self._metrics), strict=True)
        return _stacked(shift, self._xp), _stacked(scale, self._xp)

    def pairs(self, others: Array) -> Array:
        """Return how far each anchor is from one other row, less what rounding may make of it, (E, m)."""
        products = (self._A * others).sum(1)
        return self._less(self._away(products[:, None], self.terms(others)), (others * others).sum(1)[:, None])[:, :, 0]

    def whole(self, X: Array) -> Array:
        """Return distances that can be compared from anchor to anchor too, (E, m, c)."""
        shift, scale = self.terms(X)
        return self._comparable(self._away(self._A @ X.T, (shift[:, None], scale[:, None])))

    def among(self, X: Array, near: Array, pool: Array) -> tuple[Array, Array]:
        """Return what `pairs` does for the rows of X that are near each anchor, and what `whole` does for a pool."""
        xp, (shift, scale), squares = self._xp, self.terms(X), (X * X).sum(1)
        limits = xp.empty((len(shift), *near.shape), X.dtype)
        drawn = xp.empty((len(shift), len(near), len(pool)), X.dtype)
        step = max(1, VALUES // len(X))
        for start in range(0, len(near), step):
            some = slice(start, start + step)
            products, ids = self._A[some] @ X.T, near[some]
            picked = self._away(xp.take_along_axis(products, ids, 1), (shift[:, ids], scale[:, ids]), some)
            limits[:, some] = self._less(picked, squares[ids], some)
            terms = shift[:, None, pool], scale[:, None, pool]
            drawn[:, some] = self._comparable(self._away(products[:, pool], terms, some), some)
        return limits, drawn

    def _away(self, products: Array, terms: tuple[Array, Array], some: slice = ALL) -> Array:
        """Return shift + scale * (product + lift), of which the last axis are rows."""
        shift, scale = terms
        if shift.ndim == 2:  # a row for each anchor
            shift, scale = shift[:, :, None], scale[:, :, None]
        return shift + scale * (products + self.lift[:, some, None])

    def _less(self, values: Array, squares: Array, some: slice = ALL) -> Array:
        """Take off what rounding may make of distances from rows of so large squares."""
        own = self._squares[some, None]
        lengths = self._xp.sqrt(own) + self._xp.sqrt(self._length) + 0 * squares
        slack = _stacked([own + squares if name == "euclidean" else lengths for name in self._metrics], self._xp)
        return values - SLACK * float(np.finfo(values.dtype).eps) * slack

    def _comparable(self, values: Array, some: slice = ALL) -> Array:
        """Make distances comparable from anchor to anchor, in place."""
        squares, inverse = self._squares[some], self._inverse(self._squares, self._along)[some]
        for e, name in enumerate(self._metrics):
            values[e] = values[e] + squares[:, None] if name == "euclidean" else values[e] * inverse[:, None]
        return values

    def _inverse(self, squares: Array, along: Array) -> Array:
        """Return one over the length of each row, as it was; 0 for a row of zeros, which is as far from all."""
        whole = squares + 2 * along + self._length
        some = whole > SLACK * float(np.finfo(squares.dtype).eps) * (squares + self._length)
        return self._xp.where(some, 1 / self._xp.sqrt(self._xp.where(some, whole, 1)), 0)


def _stacked(rows: Iterable[Array], xp: Any) -> Array:
    return xp.concatenate([row[None] for row in rows])
