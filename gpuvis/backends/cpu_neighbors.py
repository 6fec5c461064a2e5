"""Neighbour graphs on the CPU: exact for few rows, else by searching the lists nearest to each row.

Rows are clustered into lists (k-means); each row is compared with all rows of the lists whose centres are nearest to
it, as matrix products of whole lists (Jégou, Douze, Schmid 2011, IEEE TPAMI 33:117, inverted lists without
quantisation; here every row is also a query, so that queries of one list share their products). How many lists are
enough is found on a sample of rows whose neighbours are computed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis.backends.compiled import blocks, kernel, part, prange
from gpuvis.backends.graph import Graph

EXACT_ROWS = 12_000  # up to which every pair is compared: quicker there
LIST_ROWS = 256  # the least in a list, on average
SAMPLE = 256  # rows whose neighbours are found exactly
AIM = 0.99  # recall on the sample, in choosing how many lists are searched
MOST_COMPARED = 65_536  # rows that one row is compared with, on average
QUERIES, CHUNK = 512, 2048  # rows of the two sides of a matrix product, at most
STRETCH = 400_000  # rows whose search is one call, so that an interrupt is heard within seconds
LANES = 16
SCALED = {"cosine", "correlation"}  # of rows brought to length 1
METRICS = {"euclidean", *SCALED}


@part
def _insert(value: Any, j: int, far: Any, ids: Any) -> None:
    """Put a row among the nearest so far; the farthest of them goes."""
    at = len(far) - 1
    while at > 0 and far[at - 1] > value:
        far[at], ids[at] = far[at - 1], ids[at - 1]
        at -= 1
    far[at], ids[at] = value, j


@part
def _offer(products: Any, squares: Any, base: int, own: int, far: Any, ids: Any) -> None:
    """Take what is nearer than the farthest of the nearest so far, by squared distance less the query's own square."""
    last, start, count = len(far) - 1, 0, len(products)
    while start < count:
        end, near = min(start + LANES, count), 1
        if end - start == LANES:  # few rows are near, so they are first looked at by the vector
            near = 0
            for u in range(LANES):
                near |= squares[start + u] - np.float32(2) * products[start + u] < far[last]
        if near:
            for j in range(start, end):
                value = squares[j] - np.float32(2) * products[j]
                if value < far[last] and base + j != own:
                    _insert(value, base + j, far, ids)
        start = end


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
        for one in range(len(starts) - 1):
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


@kernel
def _measure(X: Any, real: Any, scaled: bool, order: Any, ids: Any, graph: Any, bounds: Any) -> None:
    """Fill a graph: distances anew, from differences, rising along each row; the row itself first.

    Of rows brought to length 1, half the square is one minus the cosine; a row of zeros is 1 away from all.
    """
    indices, distances = graph
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            near, far = indices[order[i]], distances[order[i]]
            near[0], far[0] = order[i], np.float32(0)
            for t in range(ids.shape[1]):
                square, j = np.float32(0), ids[i, t]
                for c in range(X.shape[1]):
                    square += (X[i, c] - X[j, c]) ** 2
                if scaled:
                    distance = square * np.float32(0.5) if real[i] and real[j] else np.float32(1)
                else:
                    distance = np.sqrt(square)
                _insert(distance, order[j], far[1 : t + 2], near[1 : t + 2])


@dataclass(frozen=True, eq=False)
class _Lists:
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
        for start in range(0, len(Q), STRETCH):
            of = slice(start, start + STRETCH)
            bounds = blocks(len(Q[of]), QUERIES if len(Q) > 8 * QUERIES else 64)
            _search(Q[of], own[of], bounds, probes[of], self.X, self.squares, self.starts, ids[of])
        return ids

    def search_all(self, rows: np.ndarray, k: int) -> np.ndarray:
        """Return the k nearest rows of some of the rows, compared with all, int32."""
        lists = np.arange(len(self.starts) - 1, dtype=np.int32)
        return self.search(self.X[rows], rows, np.broadcast_to(lists, (len(rows), len(lists))), k)


def search(X: np.ndarray, k: int, metric: str, seed: int) -> Graph:
    """Find the nearest neighbours of every row.

    Parameters
    ----------
    X : ndarray of shape (N, D), floating point
    k : int
        How many, the row itself counted; at most N.
    metric : {"euclidean", "cosine", "correlation"}
    seed : int
        Of the clustering.

    Returns
    -------
    Graph
        Distances are float32, indices int32; it tells the `engine` and its `recall`, the share of true neighbours
        found, on a sample.
    """
    take = _taker(X, metric)
    if len(X) <= EXACT_ROWS:
        whole = take(slice(None))
        lists = _Lists(whole, _squares(whole, metric), blocks(len(whole), CHUNK))
        ids, told = lists.search_all(np.arange(len(whole)), k - 1), {"engine": "exact", "recall": 1.0}
    else:
        lists, probes = _clustered(X, take, metric, k, seed)
        ids = lists.search(lists.X, np.arange(len(X)), probes, k - 1)
        lacking = np.flatnonzero(ids[:, -1] < 0)  # where the lists that were searched hold fewer rows
        ids[lacking] = lists.search_all(lacking, k - 1)
        told = {"engine": f"lists: {probes.shape[1]} of {len(lists.starts) - 1} searched"}
        told["recall"] = _recall(lists, ids, np.random.default_rng(seed + 1))
    return _graph(lists, ids, metric, told)


def _graph(lists: _Lists, ids: np.ndarray, metric: str, told: dict[str, Any]) -> Graph:
    """Return the graph in the matrix's own order of rows, with true distances."""
    rows, k = len(ids), ids.shape[1] + 1
    order = np.arange(rows, dtype=np.int32) if lists.order is None else lists.order.astype(np.int32)
    indices, distances = np.empty((rows, k), np.int32), np.empty((rows, k), np.float32)
    _measure(lists.X, lists.X.any(1), metric in SCALED, order, ids, (indices, distances), blocks(rows, QUERIES))
    return Graph(indices, distances, np, told)


def _taker(X: np.ndarray, metric: str) -> Callable[[Any], np.ndarray]:
    """Return what takes some of the rows as float32, such that euclidean distances order them as the metric does."""
    means = np.zeros(X.shape[1], np.float32)
    if metric == "euclidean":  # a mean far from zero would cost digits
        means = np.mean([block.mean(0, dtype=np.float64) for block in np.array_split(X, len(X) // 65_536 + 1)], 0)

    def take(some: Any) -> np.ndarray:
        rows = np.asarray(X[some], np.float32) - means.astype(np.float32)
        if metric == "correlation":
            rows -= rows.mean(1, keepdims=True)
        if metric in SCALED:
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
            rows /= np.where(lengths > 0, lengths, 1)
        return rows

    return take


def _squares(X: np.ndarray, metric: str) -> np.ndarray:
    """Return the squares of rows; of rows brought to length 1 they are 1, for a row of zeros too."""
    return np.ones(len(X), np.float32) if metric in SCALED else np.einsum("ij,ij->i", X, X)


def _clustered(
    X: np.ndarray, take: Callable[[Any], np.ndarray], metric: str, k: int, seed: int
) -> tuple[_Lists, np.ndarray]:
    """Sort the rows into lists, and say which lists each row is to probe, int32 (N, n_probes)."""
    rows, draw = len(X), np.random.default_rng(seed)
    centers = _centers(take, rows, rows // max(LIST_ROWS, int(rows**0.5)), draw)
    nearest = np.concatenate([_ranked(take(slice(*ends)), centers, 1) for ends in _pieces(rows)])[:, 0]
    order, counts = np.argsort(nearest, kind="stable"), np.bincount(nearest, minlength=len(centers))
    cuts = np.maximum(1, -(-counts * len(centers) // (4 * rows)))  # equal rows all fall into one list
    centers = np.repeat(centers, cuts, 0)
    parts = (np.linspace(0, count, cut + 1).astype(np.int64) for count, cut in zip(counts, cuts, strict=True))
    sizes = np.concatenate([np.diff(ends) for ends in parts])
    whole = np.empty(X.shape, np.float32)
    for start, stop in _pieces(rows):
        whole[start:stop] = take(order[start:stop])
    lists = _Lists(whole, _squares(whole, metric), np.concatenate([[0], np.cumsum(sizes)]), order)
    sample = np.sort(draw.choice(rows, SAMPLE, replace=False))
    where = np.searchsorted(lists.starts, lists.search_all(sample, k - 1), "right") - 1
    ranks = _ranked(whole[sample], centers, len(centers)).argsort(1)  # of each list, for each row of the sample
    reached = np.sort(np.take_along_axis(ranks, where, 1), axis=None)
    enough = int(reached[int(AIM * (reached.size - 1))]) + 1
    probes = min(enough, max(8, MOST_COMPARED * len(centers) // rows))
    return lists, np.concatenate([_ranked(whole[start:stop], centers, probes) for start, stop in _pieces(rows)])


def _pieces(rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + 65_536, rows)) for start in range(0, rows, 65_536)]


def _ranked(X: np.ndarray, centers: np.ndarray, count: int) -> np.ndarray:
    """Return the lists whose centres are nearest to each row, the nearest first, int32."""
    found = np.empty((len(X), count), np.int32)
    _nearest_lists(X, centers, np.einsum("ij,ij->i", centers, centers), blocks(len(X), QUERIES), found)
    return found


def _centers(take: Callable[[Any], np.ndarray], rows: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """Return the centres of clusters, by a few rounds of k-means on a sample."""
    sample = take(np.sort(draw.choice(rows, min(rows, 40 * count), replace=False)))
    centers = sample[draw.choice(len(sample), count, replace=False)]
    for _ in range(5):
        nearest = _ranked(sample, centers, 1)[:, 0]
        counts = np.bincount(nearest, minlength=count)
        held = counts > 0
        sums = np.add.reduceat(sample[nearest.argsort(kind="stable")], (np.cumsum(counts) - counts)[held])
        centers[held] = sums / counts[held, None]
    return centers


def _recall(lists: _Lists, ids: np.ndarray, draw: np.random.Generator) -> float:
    """Return the share of true neighbours that was found, on a sample."""
    sample = np.sort(draw.choice(len(ids), SAMPLE, replace=False))
    true = lists.search_all(sample, ids.shape[1])
    return float(np.mean([np.isin(true[i], ids[row]).mean() for i, row in enumerate(sample)]))
