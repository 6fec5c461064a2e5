"""Find nearest neighbours on the CPU by any metric: exact for few rows, approximate by inverted lists for many.

k-means clusters the rows into lists. Each row is then compared with all rows of the lists whose centres are nearest to
it, by matrix products of whole lists (Jégou, Douze, Schmid 2011, IEEE TPAMI 33:117: inverted lists, here without
quantisation; since every row is also a query, queries of the same list share a product). How many lists each row has
to search is found on a sample of rows, whose neighbours are also computed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.neighbor_graph import Graph
from gpuvis.backends.parallel import in_ranges
from gpuvis.io import pt
from gpuvis.settings import METRICS

EXACT_ROWS = 12_000  # up to this many rows comparing every pair is quicker
LIST_ROWS = 256  # fewest rows in a list, on average
SAMPLE = 256  # rows whose neighbours are found exactly
AIM = 0.99  # recall on the sample at which enough lists are searched
MOST_COMPARED = 65_536  # most rows that one row is compared with, on average
ROUNDING = 32 * float(np.finfo(np.float32).eps)  # error of squared distances by products, as a share of a row's square
MOST_ROUNDING = 1e-3  # of a squared distance: with a larger error, products are computed in float64
QUERIES, FEWEST = 512, 64  # most and fewest queries in a matrix product
BLOCK = 2048  # rows that queries are compared with in a product, in float64
WORK = 2e10  # multiply-adds of one call, few enough to react to an interrupt soon
ROUNDS, SAMPLED = 5, 40  # rounds of k-means; rows to sample for each centre


def search(X: np.ndarray, k: int, metric: str, seed: int, exact: bool = False) -> Graph:
    """Find the nearest neighbours of every row.

    Parameters
    ----------
    X : ndarray of shape (N, D), floating point
    k : int
        Columns of the graph, including the row itself; at most N.
    metric : {"euclidean", "cosine", "correlation"}
    seed : int
        Seed of the clustering and of samples.
    exact : bool, default=False
        Compare every pair of rows, however many there are.

    Returns
    -------
    Graph
        Distances are float32, indices int32. The details tell the `engine` and the `recall`, the share of true
        neighbours found for a sample of rows.
    """
    rows = Rows.of(X, metric)
    if exact or len(X) <= EXACT_ROWS:
        return _exact(rows, k)
    lists, probes = _cluster(rows, k, seed)
    details: dict[str, Any] = {"engine": f"lists: {probes.shape[1]} of {len(lists.starts) - 1} searched"}
    ids = lists.search(probes, k - 1)
    del probes  # as large as the graph
    missing = np.flatnonzero(ids[:, -1] < 0)  # the lists searched for these hold fewer than k rows
    ids[missing] = nearest(lists.X, lists.squares, k - 1, missing)
    details["recall"] = _recall(lists, ids, np.random.default_rng(seed + 1))
    return _graph(rows, lists.X, lists.order, ids, details)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a matrix, transformed such that euclidean distances order them as a metric does, and centred.

    Attributes
    ----------
    X : ndarray of shape (N, D)
    metric : {"euclidean", "cosine", "correlation"}
    lengths : ndarray of shape (N,), or None
        The norm of each row, by which it is divided; None for euclidean distances.
    center : ndarray of shape (D,)
        Subtracted afterwards, since products of rows far from zero would lose the digits in which the rows differ. It
        is the median of a sample of rows, because a few large rows would move the mean.
    """

    X: np.ndarray
    metric: str
    lengths: np.ndarray | None = None
    center: np.ndarray | float = 0.0

    @classmethod
    def of(cls, X: np.ndarray, metric: str) -> Rows:
        """Return the rows of a matrix, with their lengths and their centre."""
        rows = cls(X, metric)
        if METRICS[metric].angular:
            parts = (rows._read(slice(*ends)) for ends in _pieces(len(X)))
            rows = replace(rows, lengths=np.sqrt(np.concatenate([squares_of(part) for part in parts])))
        return replace(rows, center=np.median(rows.take(slice(None, None, -(-len(X) // SAMPLE))), 0))

    def take(self, indices: slice | np.ndarray) -> np.ndarray:
        """Return the transformed rows at a slice or at indices, float32."""
        rows = self._read(indices)
        if self.lengths is None:
            return rows - self.center
        lengths = self.lengths[indices, None]
        rows = rows / np.where(lengths > 0, lengths, 1)
        if not self.lengths.all():  # an extra dimension, in which rows of zeros are equally far from all other rows
            rows = np.hstack([rows, lengths == 0])
        rows -= self.center
        return rows

    def _read(self, indices: slice | np.ndarray) -> np.ndarray:
        """Return rows of the matrix, float32; for correlation, each less its mean."""
        rows = widened(self.X[indices])
        pt.release_pages(self.X)
        if self.metric == "correlation":
            rows = rows - rows.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
        return rows


def _exact(rows: Rows, k: int) -> Graph:
    """Compare every pair of rows."""
    X = rows.take(slice(None))
    order, squares, details = np.arange(len(X), dtype=np.int32), squares_of(X), {"engine": "exact", "recall": 1.0}
    ids = nearest(X, squares, k - 1)
    graph = _graph(rows, X, order, ids, details)
    farthest = graph.distances[:, -1] ** 2 if rows.lengths is None else 2 * graph.distances[:, -1]
    uncertain = np.flatnonzero(_is_uncertain(squares, farthest))
    if not len(uncertain):
        return graph
    ids[uncertain] = nearest_precisely(X, k - 1, uncertain)
    return _graph(rows, X, order, ids, details)


def _is_uncertain(squares: np.ndarray, farthest: np.ndarray) -> np.ndarray:
    """Return for which rows rounding is too large to order other rows by distance.

    `squares`: the sum of squares of each row; `farthest`: the squared distance to the farthest neighbour found for it.
    """
    return (farthest > 0) & (squares * ROUNDING > farthest * MOST_ROUNDING)


def _graph(rows: Rows, X: np.ndarray, order: np.ndarray, ids: np.ndarray, details: dict[str, Any]) -> Graph:
    """Return the graph of the matrix, with distances computed anew from differences.

    Row i of X and `ids` is row order[i] of the matrix.
    """
    shape, scaled = (len(ids), ids.shape[1] + 1), rows.lengths is not None
    nonzero = rows.lengths[order] > 0 if rows.lengths is not None else np.ones(len(ids), bool)
    indices, distances = np.empty(shape, np.int32), np.empty(shape, np.float32)
    in_ranges(loops.measure, len(ids), X, nonzero.view(np.uint8), scaled, order, ids, indices, distances)
    return Graph(indices, distances, np, details)


def _cluster(rows: Rows, k: int, seed: int) -> tuple[Lists, np.ndarray]:
    """Sort the rows into lists; return these, and the lists to search for each row, (N, n_probes), int32."""
    count, rng = len(rows.X), np.random.default_rng(seed)
    centers = centers_of(rows.take, count, count // max(LIST_ROWS, int(count**0.5)), rng)
    closest = np.concatenate([ranked(rows.take(slice(*ends)), centers, 1) for ends in _pieces(count)])[:, 0]
    order, counts = np.argsort(closest, kind="stable"), np.bincount(closest, minlength=len(centers))
    cuts = np.maximum(1, -(-counts * len(centers) // (4 * count)))  # splits long lists: equal rows all fall into one
    centers = np.repeat(centers, cuts, 0)
    parts = (np.linspace(0, size, cut + 1).astype(np.int64) for size, cut in zip(counts, cuts, strict=True))
    sizes = np.concatenate([np.diff(ends) for ends in parts])
    X, rank = np.empty((count, centers.shape[1]), np.float32), np.empty(count, np.int64)
    rank[order] = np.arange(count)
    for start, stop in _pieces(count):
        X[rank[start:stop]] = rows.take(slice(start, stop))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lists = Lists(X, squares_of(X), starts, order.astype(np.int32))
    # For each true neighbour of a sample of rows: how many lists have to be searched until it is found?
    sample = np.sort(rng.choice(count, SAMPLE, replace=False))
    true = nearest(X, lists.squares, k - 1, sample)
    list_of = np.searchsorted(lists.starts, true, "right") - 1
    ranks = ranked(X[sample], centers, len(centers)).argsort(1)  # of each list, for each row of the sample
    different = _squared(X, sample, true) > 0  # of equal rows any are right, so it does not matter where these are
    needed = np.sort(np.take_along_axis(ranks, list_of, 1)[different if different.any() else slice(None)], axis=None)
    enough = int(needed[int(AIM * (needed.size - 1))]) + 1
    probes = min(enough, max(8, MOST_COMPARED * len(centers) // count))
    return lists, np.concatenate([ranked(X[start:stop], centers, probes) for start, stop in _pieces(count)])


def _pieces(rows: int) -> list[tuple[int, int]]:
    """Return the ranges of rows, (start, stop), that are transformed at a time."""
    return [(start, min(start + 65_536, rows)) for start in range(0, rows, 65_536)]


def _recall(lists: Lists, ids: np.ndarray, rng: np.random.Generator) -> float:
    """Return the share of neighbours found that are as near as the true ones, for a sample of rows."""
    sample = np.sort(rng.choice(len(ids), SAMPLE, replace=False))
    true = nearest(lists.X, lists.squares, ids.shape[1], sample)
    uncertain = _is_uncertain(lists.squares[sample], _squared(lists.X, sample, true).max(1))
    true[uncertain] = nearest_precisely(lists.X, ids.shape[1], sample[uncertain])
    farthest = _squared(lists.X, sample, true).max(1, keepdims=True)
    return float((_squared(lists.X, sample, ids[sample]) <= farthest).mean())


def _squared(X: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the squared distances of rows, (n,), to other rows, `ids` of shape (n, k)."""
    return np.stack([np.square(X[row] - X[others]).sum(1) for row, others in zip(rows, ids, strict=True)])


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows, sorted by the list they are in.

    Attributes
    ----------
    X, squares : arrays of shape (N, D) and (N,), float32
        The transformed rows, and their sums of squares.
    starts : array of shape (L + 1,), int64
        Where each of L lists starts, and where the last one ends.
    order : array of shape (N,), int32
        The index of each row in the matrix.
    """

    X: np.ndarray
    squares: np.ndarray
    starts: np.ndarray
    order: np.ndarray

    def search(self, probes: np.ndarray, k: int) -> np.ndarray:
        """Find the k nearest rows of each row in some of the lists.

        Parameters
        ----------
        probes : ndarray of shape (N, n_probes), int32
            The lists to search for each row, the nearest first.
        k : int

        Returns
        -------
        ndarray of shape (N, k), int32
            The nearest first; -1 where the lists hold fewer rows.
        """
        ids = np.full((len(self.X), k), -1, np.int32)
        size = _queries(len(ids), self.X.size * probes.shape[1] / (len(self.starts) - 1))
        in_ranges(loops.search_lists, len(ids), probes, self.X, self.squares, self.starts, ids, size=size)
        return ids


def nearest(X: np.ndarray, squares: np.ndarray, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Find the k nearest rows of each query by comparing it with all rows.

    Parameters
    ----------
    X : ndarray of shape (N, D), float32
    squares : ndarray of shape (N,), float32
        The sum of squares of each row.
    k : int
    rows : ndarray of shape (n,), optional
        The queries, as indices of rows; all rows by default.

    Returns
    -------
    ndarray of shape (n, k), int32
        Without the row itself, the nearest first.
    """
    own = np.arange(len(X), dtype=np.int32) if rows is None else rows.astype(np.int32)
    return _search(X if rows is None else X[rows], own, X, squares, k, _queries(len(own), X.size))


def nearest_precisely(X: np.ndarray, k: int, rows: np.ndarray) -> np.ndarray:
    """Return the same as `nearest` for some of the rows, by products in float64."""
    ids, distances = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), np.inf)
    no_limits, no_counts = np.empty((len(rows), 0)), np.empty((len(rows), 0), np.int64)

    def compare(first: int, block: np.ndarray, ends: tuple[int, int]) -> None:
        part = slice(*ends)
        values = np.square(block).sum(1) - 2 * (X[rows[part]].astype(np.float64) @ block.T)
        own = np.flatnonzero((rows[part] >= first) & (rows[part] < first + len(block)))
        values[own, rows[part][own] - first] = np.inf
        kept = no_limits[part], no_counts[part], distances[part], ids[part]
        loops.tally(values, first, *kept, (0, len(values)))

    for first in range(0, len(X), BLOCK):
        block = X[first : first + BLOCK].astype(np.float64)
        in_ranges(partial(compare, first, block), len(rows), size=QUERIES)
    return ids


def squares_of(X: np.ndarray) -> np.ndarray:
    """Return the sum of squares of each row."""
    squares: np.ndarray = np.einsum("ij,ij->i", X, X)
    return squares


def _search(queries: np.ndarray, own: np.ndarray, X: np.ndarray, squares: np.ndarray, k: int, size: int) -> np.ndarray:
    """Return the k nearest rows of each query; `own`: the index of the row that a query is itself, or -1."""
    ids = np.full((len(queries), k), -1, np.int32)
    in_ranges(loops.search_all, len(queries), queries, own, X, squares, ids, size=size)
    return ids


def _queries(rows: int, values: float) -> int:
    """Return how many queries to search in one call; each is compared with rows of so many `values` in all."""
    most = QUERIES if rows > 8 * QUERIES else FEWEST
    return int(min(max(WORK / max(values, 1), FEWEST), most))


def ranked(X: np.ndarray, centers: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` lists whose centres are nearest to each row, the nearest first, int32."""
    no_list = np.full(len(X), -1, np.int32)
    return _search(X, no_list, centers, squares_of(centers), count, QUERIES)


def centers_of(take: Callable[[Any], np.ndarray], rows: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the centres of clusters, by a few rounds of k-means on a sample of rows.

    Parameters
    ----------
    take : callable
        Returns the rows at an array of indices.
    rows : int
        How many rows there are.
    count : int
        How many clusters to make.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (count, D), float32
    """
    sample = take(np.sort(rng.choice(rows, min(rows, SAMPLED * count), replace=False)))
    centers = sample[rng.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        closest = ranked(sample, centers, 1)[:, 0]
        counts = np.bincount(closest, minlength=count)
        filled = counts > 0
        sums = np.add.reduceat(sample[closest.argsort(kind="stable")], (np.cumsum(counts) - counts)[filled])
        centers[filled] = sums / counts[filled, None]
    return centers


def widened(X: np.ndarray) -> np.ndarray:
    """Return an array as float32, without a copy if it is that already."""
    if X.dtype != np.float16:
        return np.asarray(X, np.float32)
    rows, bits = np.empty(X.shape, np.float32), np.ascontiguousarray(X).view(np.uint16)
    loops.widen(bits.reshape(-1), rows.reshape(-1), (0, rows.size))
    return rows
