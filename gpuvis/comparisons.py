"""Random distances of the original space, compared with those on a map: triplets, and the correlation of ranks.

Each anchor has rows of its own drawn, so that anchors are independent of each other, and standard errors are by anchor
(clusters; Cameron, Miller 2015, Journal of Human Resources 50:317).
"""

from __future__ import annotations

import numpy as np

TRIPLETS, PAIRS = 50, 50_000  # of each anchor; distances that are correlated, in all


def draw(anchors: int, rows: int) -> np.ndarray:
    """Return which rows each anchor is compared with, (anchors, c): two for each triplet, then for pairs.

    Where all rows are anchors, and their pairs are few, these are all.
    """
    drawn = np.random.default_rng(1)
    triplets = drawn.integers(0, rows, (anchors, 2 * TRIPLETS), np.int32)
    if anchors == rows and rows * (rows - 1) // 2 <= PAIRS:
        pairs = np.broadcast_to(np.arange(rows, dtype=np.int32), (rows, rows))
    else:
        pairs = drawn.integers(0, rows, (anchors, -(-PAIRS // anchors)), np.int32)
    return np.concatenate([triplets, pairs], 1)


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
    (one, other, paired), far, near = (_parts(values) for values in (drawn, original, on_map))
    three = np.nonzero((one != other) & (one != own) & (other != own))
    order = ((far[0] < far[1]) == (near[0] < near[1]))[three]
    has_all = paired.shape[1] == rows == len(anchors)
    two = np.nonzero(paired > own if has_all else paired != own)
    correlation, parts = _correlated(_ranks(far[2][two]), _ranks(near[2][two]))
    return {
        "triplets": float(order.mean()),
        "triplets_se": _error(order - order.mean(), three[0], unseen),
        "spearman": correlation,
        "spearman_se": 0.0 if has_all else _error(parts, two[0], unseen),
    }


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Return what goes with the first rows of triplets, with the others, and with pairs."""
    return np.split(values, [TRIPLETS, 2 * TRIPLETS], 1)


def _error(off: np.ndarray, anchors: np.ndarray, unseen: float) -> float:
    """Return the standard error of a mean, of what is off it, by anchor; `unseen`: the share of rows that are none."""
    alone, together = float(off @ off), float(np.square(np.bincount(anchors, off)).sum())
    return float((alone + unseen * max(together - alone, 0.0)) ** 0.5 / len(off))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values, less their mean; equal values have the mean of theirs."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - counts / 2)[number] - len(values) / 2
    return ranks


def _correlated(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the correlation of ranks, and what each pair adds to it (its influence); 0 where all of some are equal."""
    size = float(np.sqrt((a @ a) * (b @ b)))
    if size == 0:
        return 0.0, np.zeros(len(a))
    found = float(a @ b) / size
    parts = a * b / size - found * (a * a / (a @ a) + b * b / (b @ b)) / 2
    return found, parts * len(a)
