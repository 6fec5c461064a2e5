"""Random distances of the original space, compared with those on a map: triplets, and the correlation of ranks.

Distances from one anchor are kept alike, and so are those to one row: taken for independent, they would seem several
times as sure. Standard errors are of both choices (two-way clusters; Cameron, Gelbach, Miller 2011, Journal of Business
& Economic Statistics 29:238).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuvis.distances import Asked

TRIPLETS, PAIRS = 50, 50_000  # of each anchor; distances that are correlated, in all


def places(anchors: int, pool: int) -> np.ndarray:
    """Return which rows of a pool each anchor is compared with, (anchors, c): two for each triplet, then for pairs.

    Where all rows are anchors, and their pairs are few, these are all.
    """
    draw = np.random.default_rng(1)
    triplets = draw.integers(0, pool, (anchors, 2 * TRIPLETS))
    if anchors == pool and anchors * (anchors - 1) // 2 <= PAIRS:
        pairs = np.broadcast_to(np.arange(pool), (anchors, pool))
    else:
        pairs = draw.integers(0, pool, (anchors, -(-PAIRS // anchors)))
    return np.concatenate([triplets, pairs], 1)


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Return what goes with the first rows of triplets, with the others, and with pairs, of what is as `places`."""
    return np.split(values, [TRIPLETS, 2 * TRIPLETS], 1)


class Compared:
    """Distances at `Asked.places`, (m, c), as the original space has them, or what orders them alike."""

    def __init__(self, distances: np.ndarray, asked: Asked) -> None:
        anchors, pool, rows = asked.anchors, asked.pool, len(asked.X)
        self._unseen = 1 - len(anchors) / rows, 1 - len(pool) / rows
        (one, other, paired), own = _parts(pool[asked.places]), anchors[:, None]
        self._has_all = paired.shape[1] == len(anchors) == rows
        self._triplets = np.nonzero((one != other) & (one != own) & (other != own))
        self._pairs = np.nonzero(paired > own if self._has_all else paired != own)
        one, other, paired = _parts(asked.places)
        self._of_triplets, self._of_pairs = (one[self._triplets], other[self._triplets]), paired[self._pairs]
        self._order, values = self._split(distances)
        self._ranks = _ranked(values)

    def _split(self, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return of which triplets the first row is nearer than the other, and the distances of pairs."""
        one, other, paired = _parts(distances)
        return (one < other)[self._triplets], paired[self._pairs]

    def on(self, distances: np.ndarray) -> dict[str, float]:
        """Say how much of it the same distances on a map keep: `triplets` and `spearman`, with standard errors."""
        order, values = self._split(distances)
        kept, (correlation, parts) = order == self._order, _correlated(self._ranks, _ranked(values))
        return {
            "triplets": float(kept.mean()),
            "triplets_se": self._error(kept - kept.mean(), self._triplets[0], *self._of_triplets),
            "spearman": correlation,
            "spearman_se": 0.0 if self._has_all else self._error(parts, self._pairs[0], self._of_pairs),
        }

    def _error(self, off: np.ndarray, anchors: np.ndarray, *rows: np.ndarray) -> float:
        """Return the standard error of a mean, of what is off it; each is of an anchor and one row or more."""
        alone = float(off @ off)
        by_anchor = float(np.square(np.bincount(anchors, off)).sum())
        by_row = np.bincount(np.concatenate(rows), np.tile(off, len(rows)))
        together = by_anchor - alone, float(np.square(by_row).sum()) - len(rows) * alone
        more = sum(share * max(value, 0.0) for share, value in zip(self._unseen, together, strict=True))
        return float((alone + more) ** 0.5 / len(off))


class _Ranked(NamedTuple):
    """Values by their ranks, less the mean of these; equal values have the mean of theirs. `number`: of each value."""

    ranks: np.ndarray
    number: np.ndarray

    def above(self, values: np.ndarray) -> np.ndarray:
        """Return for each the sum of what goes with those ranked above it, and half of what goes with its equals."""
        sums = np.bincount(self.number, values)
        found: np.ndarray = (np.cumsum(sums[::-1])[::-1] - sums / 2)[self.number]
        return found


def _ranked(values: np.ndarray) -> _Ranked:
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    return _Ranked((np.cumsum(counts) - counts / 2)[number] - len(values) / 2, number)


def _correlated(one: _Ranked, other: _Ranked) -> tuple[float, np.ndarray]:
    """Return the correlation of ranks, and what each pair adds to it; 0 where all of some are equal.

    A pair counts by its own ranks, and by what it does to those of others (Hoeffding 1948, Annals of Mathematical
    Statistics 19:293).
    """
    a, b, count = one.ranks, other.ranks, len(one.ranks)
    size = float(np.sqrt((a @ a) * (b @ b)))
    if size == 0:
        return 0.0, np.zeros(count)
    parts = a * b + one.above(b) + other.above(a)
    return float(a @ b) / size, (parts - parts.mean()) * (count / size)
