"""Rows in lists, and the search for the rows nearest to others in some of the lists: matrix products of whole lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis.backends.compiled import blocks, kernel, part, prange

QUERIES, CHUNK = 512, 2048  # rows of the two sides of a matrix product, at most
WORK, LEAST = 200e9, 32 * QUERIES  # multiply-adds of one call, so that an interrupt is heard soon, and its fewest rows
LANES = 32  # rows that are looked at together
EVERY, SELDOM = 7, 17  # of so many rows one is counted for an anchor, others for others; little repeats by these
MANY = 20_000  # rows from which fewer tell as much: ranks grow with the rows, and errors by their root
ROUNDS, SAMPLED = 5, 40  # of k-means, and of how many rows for each centre


@part
def insert(value: Any, j: int, far: Any, ids: Any) -> None:
    """Put a row among the nearest so far; the farthest of them goes."""
    at = len(far) - 1
    while at > 0 and far[at - 1] > value:
        far[at], ids[at] = far[at - 1], ids[at - 1]
        at -= 1
    far[at], ids[at] = value, j


@part
def count_below(values: Any, limit: Any) -> Any:
    """Count values below a limit."""
    count = np.int32(0)  # of the width of a float32, which the vector units can follow
    for j in range(len(values)):
        count = np.int32(count + np.int32(values[j] < limit))
    return count


def dealt(own: np.ndarray, exact: bool) -> tuple[int, np.ndarray]:
    """Return of how many rows one is counted, and which it is for each anchor: each row for as many of them.

    `own`: which rows the anchors are, which tells about how many there are.
    """
    every = 1 if exact else SELDOM if own.max(initial=0) >= MANY else EVERY
    return every, np.random.default_rng(0).permutation(len(own)) % every


@part
def _any_below(limit: Any, products: Any, squares: Any) -> Any:
    count = np.int32(0)  # of the width of a float32, which the vector units can follow
    for j in range(len(products)):
        count += np.int32(squares[j] - np.float32(2) * products[j] < limit)
    return count > 0


@part
def _offer(products: Any, squares: Any, base: int, own: int, far: Any, ids: Any) -> None:
    """Take what is nearer than the farthest of the nearest so far, by squared distance less the query's own square."""
    last = len(far) - 1
    for start in range(0, len(products), LANES):
        some, their = products[start : start + LANES], squares[start : start + LANES]
        if _any_below(far[last], some, their):  # else they are passed over
            for j in range(len(some)):
                value, row = their[j] - np.float32(2) * some[j], base + start + j
                if value < far[last] and row != own:
                    insert(value, row, far, ids)


@kernel
def _nearest_lists(X: Any, centers: Any, squares: Any, bounds: Any, found: Any) -> None:
    """Find the lists whose centres are nearest to each row, the nearest first."""
    for b in prange(len(bounds) - 1):
        products = np.dot(X[bounds[b] : bounds[b + 1]], centers.T)
        far = np.empty(found.shape[1], np.float32)
        for row in range(len(products)):
            far[:] = np.inf
            _offer(products[row], squares, 0, -1, far, found[bounds[b] + row])


@kernel
def _search(Q: Any, own: Any, bounds: Any, probes: Any, X: Any, squares: Any, starts: Any, ids: Any) -> None:
    """Find the nearest rows of each query in the lists it probes; `own`: which row a query is itself."""
    for b in prange(len(bounds) - 1):
        first, count = bounds[b], bounds[b + 1] - bounds[b]
        ends = np.zeros(len(starts), np.int64)  # the queries of this block by list
        for q in range(first, first + count):
            for p in range(probes.shape[1]):
                ends[probes[q, p] + 1] += 1
        ends = np.cumsum(ends)
        fill, members = ends.copy(), np.empty(count * probes.shape[1], np.int64)
        for q in range(first, first + count):
            for p in range(probes.shape[1]):
                members[fill[probes[q, p]]] = q
                fill[probes[q, p]] += 1
        far = np.full((count, ids.shape[1]), np.float32(np.inf))
        side, space = np.empty((count, X.shape[1]), np.float32), np.empty(count * CHUNK, np.float32)
        nearest = probes[first, 0]  # to many queries of the block: seen first, it leaves less to take from others
        for turn in range(len(starts) - 1):
            one = (nearest + turn) % (len(starts) - 1)
            asking = members[ends[one] : ends[one + 1]]
            if len(asking) == 0:
                continue
            for q in range(len(asking)):
                side[q] = Q[asking[q]]
            for start in range(starts[one], starts[one + 1], CHUNK):
                stop = min(start + CHUNK, starts[one + 1])
                products = space[: len(asking) * (stop - start)].reshape(len(asking), stop - start)
                np.dot(side[: len(asking)], X[start:stop].T, products)
                for q in range(len(asking)):
                    row = asking[q]
                    _offer(products[q], squares[start:stop], start, own[row], far[row - first], ids[row])


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows in the order of their lists.

    Attributes
    ----------
    X, squares : arrays of shape (N, D) and (N,), float32
        The rows, and their squares.
    starts : array of int64
        Where each list starts, and where the last one ends.
    order : array of shape (N,), int64, or None
        Which row of the matrix each is; None: the same.
    """

    X: np.ndarray
    squares: np.ndarray
    starts: np.ndarray
    order: np.ndarray | None = None

    def search(self, Q: np.ndarray, own: np.ndarray, probes: np.ndarray, k: int) -> np.ndarray:
        """Return the k nearest rows of each query, int32."""
        ids = np.full((len(Q), k), -1, np.int32)
        compared = probes.shape[1] / (len(self.starts) - 1) * self.X.size  # values that a query meets, on average
        stretch = LEAST * max(1, int(WORK / (compared * LEAST)))
        for start in range(0, len(Q), stretch):
            of = slice(start, start + stretch)
            bounds = blocks(len(Q[of]), QUERIES if len(Q) > 8 * QUERIES else 64)
            _search(Q[of], own[of], bounds, probes[of], self.X, self.squares, self.starts, ids[of])
        return ids

    def search_all(self, rows: np.ndarray, k: int) -> np.ndarray:
        """Return the k nearest rows of some of the rows, compared with all, int32."""
        lists = np.arange(len(self.starts) - 1, dtype=np.int32)
        return self.search(self.X[rows], rows, np.broadcast_to(lists, (len(rows), len(lists))), k)


def ranked(X: np.ndarray, centers: np.ndarray, count: int) -> np.ndarray:
    """Return the lists whose centres are nearest to each row, the nearest first, int32."""
    found = np.empty((len(X), count), np.int32)
    _nearest_lists(X, centers, np.einsum("ij,ij->i", centers, centers), blocks(len(X), QUERIES), found)
    return found


def centers_of(take: Callable[[Any], np.ndarray], rows: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """Return the centres of clusters, by a few rounds of k-means on a sample."""
    sample = take(np.sort(draw.choice(rows, min(rows, SAMPLED * count), replace=False)))
    centers = sample[draw.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = ranked(sample, centers, 1)[:, 0]
        counts = np.bincount(nearest, minlength=count)
        held = counts > 0
        sums = np.add.reduceat(sample[nearest.argsort(kind="stable")], (np.cumsum(counts) - counts)[held])
        centers[held] = sums / counts[held, None]
    return centers
