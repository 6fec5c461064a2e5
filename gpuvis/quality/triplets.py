"""Compare random distances before and after: the order in triplets of rows, and the rank correlation.

Each anchor is compared with rows drawn for it alone, so anchors are independent of each other, and standard errors are
clustered by anchor (Cameron, Miller 2015, Journal of Human Resources 50:317).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TRIPLETS, PAIRS = 50, 50_000  # triplets of each anchor; pairs of all anchors together, whose distances are correlated


class _Drawn(NamedTuple):
    """Values of drawn rows, split by their use; each of shape (m, …).

    An anchor and the rows in the same column of `first` and `second` are a triplet; an anchor and a row of `paired`
    are a pair.
    """

    first: np.ndarray
    second: np.ndarray
    paired: np.ndarray

    @classmethod
    def split(cls, values: np.ndarray) -> _Drawn:
        """Split values in the columns of `draw`."""
        return cls(*np.split(values, [TRIPLETS, 2 * TRIPLETS], 1))


def draw(anchors: int, rows: int) -> np.ndarray:
    """Draw the rows with which each anchor is compared.

    Parameters
    ----------
    anchors, rows : int
        How many anchors and rows there are.

    Returns
    -------
    ndarray of shape (anchors, c), int32
        Two rows for each of `TRIPLETS` triplets, then one row for each pair. If all rows are anchors and have at most
        `PAIRS` pairs, these are all the pairs.
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


def scores(
    original: np.ndarray, on_map: np.ndarray, drawn: np.ndarray, anchors: np.ndarray, rows: int
) -> dict[str, float]:
    """Score how well a map preserves random distances.

    Parameters
    ----------
    original, on_map : ndarrays of shape (m, c)
        Distances from each anchor to its drawn rows; or any values in the same order, such as squared distances.
    drawn : ndarray of shape (m, c)
        The drawn rows, as `draw` returns them.
    anchors : ndarray of shape (m,)
        Indices of the anchors.
    rows : int
        How many rows there are in all.

    Returns
    -------
    dict
        `triplets`, the share of triplets whose two distances are in the same order in both, and `spearman`, the rank
        correlation; each also with `_se` added, its standard error.
    """
    own, unseen = anchors[:, None], 1 - len(anchors) / rows
    ids, before, after = (_Drawn.split(values) for values in (drawn, original, on_map))
    triplets = np.nonzero((ids.first != ids.second) & (ids.first != own) & (ids.second != own))
    same = ((before.first < before.second) == (after.first < after.second))[triplets]
    has_all = _has_all_pairs(len(anchors), rows)
    pairs = np.nonzero(ids.paired > own if has_all else ids.paired != own)
    correlation, influence = _correlation(_ranked(before.paired[pairs]), _ranked(after.paired[pairs]))
    return {
        "triplets": float(same.mean()),
        "triplets_se": _standard_error(same - same.mean(), triplets[0], unseen),
        "spearman": correlation,
        "spearman_se": 0.0 if has_all else _standard_error(influence, pairs[0], unseen),
    }


def _standard_error(deviations: np.ndarray, anchors: np.ndarray, unseen: float) -> float:
    """Return the standard error of a mean from the deviation of each value.

    Parameters
    ----------
    deviations : ndarray of shape (n,)
        Differences from the mean.
    anchors : ndarray of shape (n,)
        The anchor of each value. Values of the same anchor are correlated: they are a cluster.
    unseen : float
        The share of rows that are no anchors. The correlation within clusters counts only so far.
    """
    alone, together = float(deviations @ deviations), float(np.square(np.bincount(anchors, deviations)).sum())
    return float((alone + unseen * max(together - alone, 0.0)) ** 0.5 / len(deviations))


class _Ranked(NamedTuple):
    """Ranks of n values.

    Attributes
    ----------
    ranks : ndarray of shape (n,)
        Less their mean; equal values share the mean of their ranks.
    group : ndarray of shape (n,), int64
        The index of each value among the sorted distinct values.
    """

    ranks: np.ndarray
    group: np.ndarray

    def sum_above(self, weights: np.ndarray) -> np.ndarray:
        """Return for each value the sum of the weights of all larger values, and half of those of equal ones."""
        sums = np.bincount(self.group, weights)
        above: np.ndarray = (np.cumsum(sums[::-1])[::-1] - sums / 2)[self.group]
        return above


def _ranked(values: np.ndarray) -> _Ranked:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return _Ranked((np.cumsum(counts) - counts / 2)[group] - len(values) / 2, group)


def _correlation(before: _Ranked, after: _Ranked) -> tuple[float, np.ndarray]:
    """Return the correlation of ranks, and the influence of each pair on it; both 0 where all ranks are equal.

    The influence of a pair has two parts: the product of its own ranks, and how it shifts the ranks of the other pairs
    (Hoeffding 1948, Annals of Mathematical Statistics 19:293).
    """
    a, b, count = before.ranks, after.ranks, len(before.ranks)
    size = float(np.sqrt((a @ a) * (b @ b)))
    if size == 0:
        return 0.0, np.zeros(count)
    parts = a * b + before.sum_above(b) + after.sum_above(a)
    return float(a @ b) / size, (parts - parts.mean()) * (count / size)
