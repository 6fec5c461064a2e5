"""Random triplets, and the rank correlation of random distances, before and after.

Each anchor has rows of its own drawn, so that anchors are independent of each other, and standard errors are by anchor
(clusters; Cameron, Miller 2015, Journal of Human Resources 50:317).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TRIPLETS, PAIRS = 50, 50_000  # of each anchor; distances that are correlated, in all


def draw(anchors: int, rows: int) -> np.ndarray:
    """Return which rows each anchor is compared with, (anchors, c): two for each triplet, then for pairs.

    Where all rows are anchors, and their pairs are few, these are all.
    """
    rng = np.random.default_rng(1)
    triplets = rng.integers(0, rows, (anchors, 2 * TRIPLETS), np.int32)
    if _has_all_pairs(anchors, rows):
        pairs = np.broadcast_to(np.arange(rows, dtype=np.int32), (rows, rows))
    else:
        pairs = rng.integers(0, rows, (anchors, -(-PAIRS // anchors)), np.int32)
    return np.concatenate([triplets, pairs], 1)


def _has_all_pairs(anchors: int, rows: int) -> bool:
    return anchors == rows and rows * (rows - 1) // 2 <= PAIRS


def kept(
    original: np.ndarray, on_map: np.ndarray, drawn: np.ndarray, anchors: np.ndarray, rows: int
) -> dict[str, float]:
    """Say how much a map keeps of distances.

    Parameters
    ----------
    original, on_map : ndarrays of shape (m, c)
        The distances of drawn rows, or what orders them alike.
    drawn : ndarray of shape (m, c)
        What `draw` gave.
    anchors : ndarray of shape (m,)
        Which rows they are of.
    rows : int
        Of how many.

    Returns
    -------
    dict
        `triplets`, the share that is in the same order, and `spearman`, the correlation of ranks, each with its
        standard error, `…_se`.
    """
    own, unseen = anchors[:, None], 1 - len(anchors) / rows
    (one, other, paired), before, after = (_parts(values) for values in (drawn, original, on_map))
    triplets = np.nonzero((one != other) & (one != own) & (other != own))
    same = ((before[0] < before[1]) == (after[0] < after[1]))[triplets]
    has_all = _has_all_pairs(len(anchors), rows)
    pairs = np.nonzero(paired > own if has_all else paired != own)
    correlation, influence = _correlated(_ranked(before[2][pairs]), _ranked(after[2][pairs]))
    return {
        "triplets": float(same.mean()),
        "triplets_se": _error(same - same.mean(), triplets[0], unseen),
        "spearman": correlation,
        "spearman_se": 0.0 if has_all else _error(influence, pairs[0], unseen),
    }


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Return what goes with the first rows of triplets, with the others, and with pairs."""
    return np.split(values, [TRIPLETS, 2 * TRIPLETS], 1)


def _error(off: np.ndarray, anchors: np.ndarray, unseen: float) -> float:
    """Return the standard error of a mean, of what each value is off it.

    `anchors`: which each is of; `unseen`: the share of rows that are not anchors.
    """
    alone, together = float(off @ off), float(np.square(np.bincount(anchors, off)).sum())
    return float((alone + unseen * max(together - alone, 0.0)) ** 0.5 / len(off))


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
    """Return the correlation of ranks, and the influence of each pair on it; 0 where all of some are equal.

    A pair counts by its own ranks, and by what it does to those of others (Hoeffding 1948, Annals of Mathematical
    Statistics 19:293).
    """
    a, b, count = one.ranks, other.ranks, len(one.ranks)
    size = float(np.sqrt((a @ a) * (b @ b)))
    if size == 0:
        return 0.0, np.zeros(count)
    parts = a * b + one.above(b) + other.above(a)
    return float(a @ b) / size, (parts - parts.mean()) * (count / size)
