"""Exact nearest neighbours on the host, by scikit-learn: what the doubles' graphs are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

METRICS = ("euclidean", "sqeuclidean", "cosine", "correlation", "chebyshev")
Order = Callable[[np.ndarray, int], np.ndarray]


def nearest(
    X: np.ndarray, k: int, metric: str, order: Order | None = None, aimless: float = np.nan
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest rows of each row, itself included, and their distances.

    `order` sorts a block of distances, given the number of its first row; by default the row itself comes first.
    `aimless`: the distance of a row of zeros by cosine, and of a constant one by correlation, to any row. 0 / 0 has the
    bits of the filler in raft's select_k (select_warpsort.cuh): such a place is never taken, and stays with row 0.
    """
    from sklearn.metrics import pairwise_distances_chunked

    order, lost = order or self_first, _aimless(X, metric)

    def reduce(block: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        block = block.astype(np.float32)
        own = np.arange(len(block))
        block[own, own + start] = 0
        block[:, lost] = block[lost[start : start + len(block)]] = aimless
        chosen = order(block, start)[:, :k].copy()
        found = np.take_along_axis(block, chosen, axis=1)
        chosen[np.isnan(found)] = 0
        return chosen, found

    X = X.astype(np.float64)
    blocks: list[Any] = list(pairwise_distances_chunked(X, reduce_func=reduce, metric=metric, working_memory=64))
    indices = np.concatenate([indices for indices, _ in blocks])
    return indices.astype(np.int64), np.concatenate([distances for _, distances in blocks])


def _aimless(X: np.ndarray, metric: str) -> np.ndarray:
    if metric == "cosine":
        return np.square(X.astype(np.float32)).sum(1) == 0
    return np.ptp(X, 1) == 0 if metric == "correlation" else np.zeros(len(X), bool)


def self_first(block: np.ndarray, start: int) -> np.ndarray:
    """Sort by distance, each row itself first."""
    rows = np.arange(len(block))
    keys = block.copy()
    keys[rows, rows + start] = -1
    return np.argsort(keys, axis=1, kind="stable")


def self_last_of_ties(block: np.ndarray, start: int) -> np.ndarray:
    """Sort by distance, and ties as awkwardly as a GPU may: later rows first, the row itself last."""
    rows = np.arange(len(block))
    columns = np.arange(block.shape[1])
    tie = np.broadcast_to(-columns, block.shape).copy()
    tie[rows, rows + start] = len(columns)
    return np.lexsort((tie, block), axis=1)
