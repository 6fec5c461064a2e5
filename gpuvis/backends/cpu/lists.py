"""Rows in lists, and the search for the rows nearest to others in some of the lists: matrix products of whole lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.parallel import in_ranges

QUERIES, FEWEST = 512, 64  # rows of the one side of a matrix product
BLOCK = 2048  # rows of the other, in float64
WORK = 2e10  # multiply-adds of one call, so that an interrupt is heard soon
ROUNDS, SAMPLED = 5, 40  # of k-means, and of how many rows for each centre


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows in the order of their lists.

    Attributes
    ----------
    X, squares : arrays of shape (N, D) and (N,), float32
        The rows, and their squares.
    starts : array of int64
        Where each list starts, and where the last one ends.
    order : array of shape (N,), int32
        Which row of the matrix each is.
    """

    X: np.ndarray
    squares: np.ndarray
    starts: np.ndarray
    order: np.ndarray

    def search(self, probes: np.ndarray, k: int) -> np.ndarray:
        """Return the k nearest rows of each row in the lists that it probes, the nearest of them first, int32.

        Where these hold fewer rows, the last ones are -1.
        """
        ids = np.full((len(self.X), k), -1, np.int32)
        size = _queries(len(ids), self.X.size * probes.shape[1] / (len(self.starts) - 1))
        in_ranges(loops.search_lists, len(ids), probes, self.X, self.squares, self.starts, ids, size=size)
        return ids


def nearest(X: np.ndarray, squares: np.ndarray, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the k nearest rows of some of the rows, or of all, each compared with all, int32."""
    own = np.arange(len(X), dtype=np.int32) if rows is None else rows.astype(np.int32)
    return _search(X if rows is None else X[rows], own, X, squares, k, _queries(len(own), X.size))


def nearest_precisely(X: np.ndarray, k: int, rows: np.ndarray) -> np.ndarray:
    """Return the same for some of the rows, by products in float64."""
    ids, far, none = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), np.inf), np.empty((len(rows), 0))

    def compare(first: int, block: np.ndarray, ends: tuple[int, int]) -> None:
        part = slice(*ends)
        values = np.square(block).sum(1) - 2 * (X[rows[part]].astype(np.float64) @ block.T)
        own = np.flatnonzero((rows[part] >= first) & (rows[part] < first + len(block)))
        values[own, rows[part][own] - first] = np.inf
        loops.tally(values, first, none[part], none[part].astype(np.int64), far[part], ids[part], (0, len(values)))

    for first in range(0, len(X), BLOCK):
        block = X[first : first + BLOCK].astype(np.float64)
        in_ranges(partial(compare, first, block), len(rows), size=QUERIES)
    return ids


def squares_of(X: np.ndarray) -> np.ndarray:
    """Return the squares of rows."""
    squares: np.ndarray = np.einsum("ij,ij->i", X, X)
    return squares


def _search(queries: np.ndarray, own: np.ndarray, X: np.ndarray, squares: np.ndarray, k: int, size: int) -> np.ndarray:
    ids = np.full((len(queries), k), -1, np.int32)
    in_ranges(loops.search_all, len(queries), queries, own, X, squares, ids, size=size)
    return ids


def _queries(rows: int, values: float) -> int:
    """Return how many queries go into one call; each is compared with rows of so many values."""
    most = QUERIES if rows > 8 * QUERIES else FEWEST
    return int(min(max(WORK / max(values, 1), FEWEST), most))


def ranked(X: np.ndarray, centers: np.ndarray, count: int) -> np.ndarray:
    """Return the lists whose centres are nearest to each row, the nearest first, int32."""
    no_list = np.full(len(X), -1, np.int32)
    return _search(X, no_list, centers, squares_of(centers), count, QUERIES)


def centers_of(take: Callable[[Any], np.ndarray], rows: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """Return the centres of clusters, by a few rounds of k-means on a sample."""
    sample = take(np.sort(draw.choice(rows, min(rows, SAMPLED * count), replace=False)))
    centers = sample[draw.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        closest = ranked(sample, centers, 1)[:, 0]
        counts = np.bincount(closest, minlength=count)
        held = counts > 0
        sums = np.add.reduceat(sample[closest.argsort(kind="stable")], (np.cumsum(counts) - counts)[held])
        centers[held] = sums / counts[held, None]
    return centers
