"""How far rows are from some anchors in the original space, and what rounding may make of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpuvis import matrix, tensors
from gpuvis.backends.base import Array, Backend

BLOCK_BYTES = 6 << 20  # of rows, which stay in the processor's cache
VALUES = 1 << 22  # products that are held at a time where all rows are anchors
PARTS = 16  # in which rows from all over the file are read: memory is given back after each
ALL = slice(None)
SLACK = 16  # roundings within which two distances are equal


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
        Rows drawn of all, rising; all, where all are anchors.
    places : ndarray of shape (m, c)
        For each anchor, places in the pool of rows whose distances are kept.
    near : dict of str to array of shape (m, k)
        For each map, the points that are nearest to each anchor there.
    likely : array of shape (m, t), or None
        Rows that are likely to be near each anchor; not looked at where all rows are anchors.
    scores : array of shape (N, p), or None
        The rows along axes of a fit.
    precise : bool
        Work in float64: all rows are anchors.
    """

    X: Any
    scale: float
    anchors: np.ndarray
    pool: np.ndarray
    places: np.ndarray
    near: dict[str, Array]
    likely: Array | None
    scores: Array | None
    precise: bool


class Lengths(NamedTuple):
    """Of moved rows: their squares, and their products with the move."""

    squares: Array
    along: Array

    def at(self, place: Any) -> Lengths:
        """Return those of some of the rows, or the same in another shape."""
        return Lengths(self.squares[place], self.along[place])


class Distances:
    """What orders rows by their distance from an anchor: shift + scale * (their product + lift), for each metric.

    Rows are moved by `middle`; cosines are of them as they were. `lift`, (E, m), is that of the anchors `A`.
    """

    def __init__(self, asked: Asked, metrics: tuple[str, ...], backend: Backend) -> None:
        self._asked, self._metrics, self._backend, self._xp = asked, metrics, backend, backend.xp
        self._ranks, self.centred = backend.ranks(), "correlation" in metrics
        self._lies_ready = self._ranks.as_it_lies(asked.X, asked.scale)
        self._middle, self._length = self._xp.zeros(asked.X.shape[1], np.float64 if asked.precise else np.float32), 0
        self._pool, self._shortest, self._longest = self._picked(asked.pool), np.inf, -np.inf
        if "euclidean" in metrics:  # a mean far from zero would cost digits
            self._middle = self._moved(self._pool)[0].mean(0, np.float64).astype(self._middle.dtype)
        self._length = self._middle @ self._middle
        self.A, self._lengths = self._moved(self._pool if asked.precise else self._picked(asked.anchors))
        lift = self._lengths.along + self._length
        self.lift = _stacked([0 * lift if name == "euclidean" else lift for name in metrics], self._xp)

    def is_of_one_length(self, share: float = 1.0) -> bool:
        """Tell whether the rows read so far are of one length: angles order them as euclidean distances do.

        Their squares may differ by a share of what rounding may make of the distance of two rows.
        """
        slack = SLACK * float(np.finfo(self.A.dtype).eps) * 2 * self._lengths.squares.mean()
        return bool(self._longest - self._shortest <= share * slack)

    def forget_angles(self) -> None:
        """Tell of euclidean distances only."""
        self._metrics, self.lift = ("euclidean",), self.lift[:1]

    def _picked(self, which: np.ndarray) -> Array:
        """Return some rows, whose numbers rise."""
        parts = np.array_split(which, min(PARTS, len(which)))
        return self._xp.concatenate([self._read(part) for part in parts])

    def _moved(self, rows: Array) -> tuple[Array, Lengths]:
        moved, *numbers = self._ranks.moved(rows, self._middle, self.centred)
        lengths, xp = Lengths(*numbers), self._xp
        whole = self._whole(lengths)
        self._shortest, self._longest = xp.minimum(self._shortest, whole.min()), xp.maximum(self._longest, whole.max())
        return moved, lengths

    def _read(self, which: Any) -> Array:
        found = self._backend.as_array(self._asked.X[which], self._asked.scale, halves=True)
        tensors.let_go(self._asked.X)
        return found

    def _part(self, ids: np.ndarray) -> tuple[Any, np.ndarray | None]:
        """Return rows as `paired` takes them: a matrix, and which of its rows they are; None: all of them."""
        return (self._asked.X, ids) if self._lies_ready else (self._read(ids), None)

    def terms(self, lengths: Lengths) -> tuple[Array, Array]:
        """Return shift and scale of rows, both (E, c)."""
        inverse = 0 if self._metrics == ("euclidean",) else self._inverse(lengths)  # not looked at where it is 0
        euclidean, angle = (lengths.squares, 0 * lengths.squares - 2), (-lengths.along * inverse, -inverse)
        shift, scale = zip(*(euclidean if name == "euclidean" else angle for name in self._metrics), strict=True)
        return _stacked(shift, self._xp), _stacked(scale, self._xp)

    def pairs(self, near: Array, k: int) -> tuple[Array, Array]:
        """Look at rows, (m, t), of which k or more are neighbours of the anchor.

        Return how far each is from its anchor, less what rounding may make of it, (E, m, t); and `far` as `tally` takes
        it, by these rows and those that are likely to be near.
        """
        xp, likely = self._xp, self._asked.likely
        both = near if likely is None else xp.concatenate([near, likely], 1)
        ids, width = self._backend.to_indices(both).ravel(), both.shape[1]
        found = xp.empty((2, len(self._metrics), len(ids)), self.A.dtype)
        parts = PARTS if self._lies_ready else width
        for some in np.array_split(matrix.as_stored(ids), parts):
            which = xp.asarray(some // width)
            part = self._part(ids[some])
            products, squares, along = self._ranks.paired(self.A, which, *part, self._middle, self.centred)
            tensors.let_go(self._asked.X)
            lengths = Lengths(squares, along)
            away, lengths = self._away(products[:, None], self.terms(lengths), which), lengths.at((ALL, None))
            bounds = away - self._slack(lengths, which), away + self._slack(lengths, which, at_most=True)
            found[:, :, xp.asarray(some)] = _stacked(bounds, xp)[:, :, :, 0]
        least, most = found.reshape(2, -1, *both.shape)
        return least[:, :, : near.shape[1]], self._reach(self._once(both, most), k)

    def _once(self, ids: Array, far: Array) -> Array:
        """Return distances of rows, (E, m, t), without those of rows that came before, and of the anchor itself."""
        xp, each, order = self._xp, self._xp.arange(len(ids))[:, None], ids.argsort(1)
        rising, own = ids[each, order], xp.asarray(self._asked.anchors)[:, None]
        again = xp.concatenate([rising[:, :1] < 0, rising[:, 1:] == rising[:, :-1]], 1)
        return xp.where(again | (rising == own), np.inf, far[:, each, order])

    def _reach(self, far: Array, k: int) -> Array:
        """Return distances below which k rows are, (E, m, k)."""
        reach = self._xp.partition(far, k - 1)[:, :, k - 1, None]
        return reach + np.finfo(reach.dtype).tiny + self._xp.zeros(k, reach.dtype)  # all may be at 0

    def blocks(self) -> Iterator[tuple[int, Array, Array, Array]]:
        """Give all rows in blocks, each with the number of its first row, and the terms of its rows."""
        X = self._asked.X
        for start, block in matrix.blocks(X, BLOCK_BYTES * X.itemsize // self.A.itemsize):
            rows, lengths = self._moved(self._read(slice(start, start + len(block))))
            yield start, rows, *self.terms(lengths)

    def whole(self, far: Array) -> tuple[Array, Array, tuple[np.ndarray, Array]]:
        """Look at the pool in whole.

        Return distances at `places` that can be compared from anchor to anchor too, (E, m, c); `far`, by the pool too
        where nothing is known to be near, and the pool with its distances, as `tally` takes them.
        """
        xp, pool = self._xp, self._asked.pool
        rows, lengths = self._moved(self._pool)
        shift, scale = self.terms(lengths)
        away = self._away(self._ranks.products(self.A, rows), (shift[:, None], scale[:, None]))
        drawn = self._comparable(away[:, xp.arange(len(self.A))[:, None], xp.asarray(self._asked.places)])
        _, own, there = np.intersect1d(self._asked.anchors, pool, assume_unique=True, return_indices=True)
        away[:, xp.asarray(own), xp.asarray(there)] = np.inf  # no anchor is its own neighbour
        if self._asked.likely is None:  # else the pool, few of all rows, would tell nothing new
            most = away + self._slack(lengths.at(None), at_most=True)
            far = xp.minimum(far, self._reach(most, far.shape[2]))
        return drawn, far, (pool, away)

    def among(self, near: Array) -> tuple[Array, Array]:
        """Where all rows are anchors, return what `pairs` does of those near each, and `whole` of those at `places`."""
        xp, (shift, scale) = self._xp, self.terms(self._lengths)
        places = xp.asarray(self._asked.places)
        limits, drawn = (xp.empty((len(shift), *ids.shape), self.A.dtype) for ids in (near, places))
        step = max(1, VALUES // len(self.A))
        for start in range(0, len(near), step):
            some = slice(start, start + step)
            products = self._ranks.products(self.A[some], self.A)
            for ids, found in ((near[some], limits), (places[some], drawn)):
                terms = shift[:, ids], scale[:, ids]
                found[:, some] = self._away(xp.take_along_axis(products, ids, 1), terms, some)
            limits[:, some] -= self._slack(self._lengths.at(near[some]), some)
            drawn[:, some] = self._comparable(drawn[:, some], some)
        return limits, drawn

    def _away(self, products: Array, terms: tuple[Array, Array], some: Any = ALL) -> Array:
        """Return shift + scale * (product + lift), of which the last axis are rows."""
        shift, scale = terms
        if shift.ndim == 2:  # a row for each anchor
            shift, scale = shift[:, :, None], scale[:, :, None]
        found = products + self.lift[:, some, None]
        found *= scale
        found += shift
        return found

    def _slack(self, lengths: Lengths, some: Any = ALL, at_most: bool = False) -> Array:
        """Return what rounding makes of distances from rows of such lengths, or may make of them at most.

        The latter is much where a row was short and the move is long: as a tie it would make equal what is not.
        """
        own, slack = self._lengths.squares[some, None], []
        for name in self._metrics:
            if name == "euclidean":
                slack.append(own + lengths.squares)
            else:
                move, root = self._xp.sqrt(self._length), self._xp.sqrt
                times = (root(lengths.squares) + move) * self._inverse(lengths) if at_most else 1 + 0 * lengths.squares
                slack.append((root(own) + move) * times)
        return SLACK * float(np.finfo(own.dtype).eps) * _stacked(slack, self._xp)

    def _comparable(self, values: Array, some: slice = ALL) -> Array:
        """Make distances comparable from anchor to anchor, in place."""
        squares, inverse = self._lengths.squares[some], self._inverse(self._lengths)[some]
        for e, name in enumerate(self._metrics):
            if name == "euclidean":
                values[e] += squares[:, None]
            else:
                values[e] *= inverse[:, None]
        return values

    def _whole(self, lengths: Lengths) -> Array:
        """Return the squares of rows as they were."""
        return lengths.squares + 2 * lengths.along + self._length

    def _inverse(self, lengths: Lengths) -> Array:
        """Return one over the length of each row, as it was; 0 for a row of zeros, which is as far from all."""
        whole = self._whole(lengths)
        some = whole > SLACK * float(np.finfo(whole.dtype).eps) * (lengths.squares + self._length)
        return self._xp.where(some, 1 / self._xp.sqrt(self._xp.where(some, whole, 1)), 0)


def _stacked(rows: Iterable[Array], xp: Any) -> Array:
    return xp.concatenate([row[None] for row in rows])
