"""Exact nearest neighbours on the host, by scikit-learn: what the doubles' graphs are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

METRICS = ("euclidean", "sqeuclidean", "cosine", "correlation", "chebyshev")
Order = Callable[[np.ndarray, int], np.ndarray]


def nearest(X: np.ndarray, k: int, metric: str, order: Order | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest rows of each row, itself included, and their distances.

    `order` sorts a block of distances, given the number of its first row; by default the row itself comes first.
    """
    from sklearn.metrics import pairwise_distances_chunked

    order = order or self_first

    def reduce(block: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        block = np.nan_to_num(block.astype(np.float32), nan=1.0)
        chosen = order(block, start)[:, :k]
        return chosen, np.take_along_axis(block, chosen, axis=1)

    X = X.astype(np.float64)
    blocks: list[Any] = list(pairwise_distances_chunked(X, reduce_func=reduce, metric=metric, working_memory=64))
    indices = np.concatenate([indices for indices, _ in blocks])
    return indices.astype(np.int64), np.concatenate([distances for _, distances in blocks])


def self_first(block: np.ndarray, start: int) -> np.ndarray:
    """Sort by distance, each row itself first."""
    rows = np.arange(len(block))
    block[rows, rows + start] = 0
    keys = block.copy()
    keys[rows, rows + start] = -1
    return np.argsort(keys, axis=1, kind="stable")


def self_last_of_ties(block: np.ndarray, start: int) -> np.ndarray:
    """Sort by distance, and ties as awkwardly as a GPU may: later rows first, the row itself last."""
    rows = np.arange(len(block))
    block[rows, rows + start] = 0
    columns = np.arange(block.shape[1])
    tie = np.broadcast_to(-columns, block.shape).copy()
    tie[rows, rows + start] = len(columns)
    return np.lexsort((tie, block), axis=1)
