"""Search nearest neighbours on the CPU: exact for few rows, approximate by inverted lists for many.

k-means clusters the rows into lists. Each row is then compared with all rows of the lists whose centres are nearest to
it, by matrix products of whole lists (Jégou, Douze, Schmid 2011, IEEE TPAMI 33:117: inverted lists, here without
quantisation). Every row is also a query, so queries of the same list share a product. The number of lists to search is
chosen on a sample of rows, whose neighbours are also computed exactly.
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
SAMPLE = 256  # rows whose neighbours are computed exactly
AIM = 0.99  # recall to reach on the sample, by searching enough lists
MOST_COMPARED = 65_536  # most rows that one row is compared with, on average
ROUNDING = 32 * float(np.finfo(np.float32).eps)  # error of squared distances by products, as a share of a row's square
MOST_ROUNDING = 1e-3  # largest relative error of a squared distance; above it, products are computed in float64
QUERIES, FEWEST = 512, 64  # most and fewest queries in a matrix product
BLOCK = 2048  # rows that queries are compared with in a product, in float64
WORK = 2e10  # multiply-adds of one call, few enough to react to an interrupt soon
ROUNDS, SAMPLED = 5, 40  # rounds of k-means; rows to sample for each centre
RANGE_ROWS = 65_536  # rows that are transformed at a time


def search(X: np.ndarray, k: int, metric: str, seed: int, exact: bool = False) -> Graph:
    """Search the nearest neighbours of every row.

    Parameters
    ----------
    X : ndarray of shape (N, D), floating point
    k : int
        Columns of the graph, including the row itself; at most N.
    metric : {"euclidean", "cosine", "correlation"}
    seed : int
        Seed of the clustering and of the samples.
    exact : bool, default=False
        Compare every pair of rows, however many there are.

    Returns
    -------
    Graph
        Distances are float32, indices int32. The details hold the `engine` and the `recall` on a sample of rows.
    """
    rows = Rows.of(X, metric)
    if exact or len(X) <= EXACT_ROWS:
        return _exact(rows, k)
    lists, probes = _cluster(rows, k, seed)
    details: dict[str, Any] = {"engine": f"lists: {probes.shape[1]} of {len(lists.starts) - 1} searched"}
    ids = lists.search(probes, k - 1)
    del probes  # as large as the graph
    incomplete = np.flatnonzero(ids[:, -1] < 0)  # the lists searched for these rows hold fewer than k rows
    ids[incomplete] = nearest(lists.X, lists.squares, k - 1, incomplete)
    details["recall"] = _recall(lists, ids, np.random.default_rng(seed + 1))
    return _graph(rows, lists.X, lists.order, ids, details)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a matrix, transformed and centred such that euclidean distances order them as the metric does.

    Attributes
    ----------
    X : ndarray of shape (N, D)
    metric : {"euclidean", "cosine", "correlation"}
    lengths : ndarray of shape (N,), or None
        The norm of each row, by which it is divided; None for euclidean distances.
    center : ndarray of shape (D,)
        Subtracted afterwards, because products of rows far from zero would lose the digits in which the rows differ.
        It is the median of a sample of rows, because a few large rows would move the mean.
    """

    X: np.ndarray
    metric: str
    lengths: np.ndarray | None = None
    center: np.ndarray | float = 0.0

    @classmethod
    def of(cls, X: np.ndarray, metric: str) -> Rows:
        """Compute the lengths and the centre of the rows of a matrix."""
        rows = cls(X, metric)
        if METRICS[metric].angular:
            blocks = (rows._read(slice(*ends)) for ends in _ranges(len(X)))
            rows = replace(rows, lengths=np.sqrt(np.concatenate([squared_norms(block) for block in blocks])))
        return replace(rows, center=np.median(rows.take(slice(None, None, -(-len(X) // SAMPLE))), 0))

    def take(self, indices: slice | np.ndarray) -> np.ndarray:
        """Return the transformed rows at a slice or at indices, float32."""
        rows = self._read(indices)
        if self.lengths is None:
            return rows - self.center
        lengths = self.lengths[indices, None]
        rows = rows / np.where(lengths > 0, lengths, 1)
        if not self.lengths.all():  # one more dimension puts rows of zeros at the same distance from all other rows
            rows = np.hstack([rows, lengths == 0])
        rows -= self.center
        return rows

    def _read(self, indices: slice | np.ndarray) -> np.ndarray:
        """Return rows of the matrix, float32; for correlation, minus the mean of each row."""
        rows = as_float32(self.X[indices])
        pt.release_pages(self.X)
        if self.metric == "correlation":
            rows = rows - rows.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
        return rows


def _exact(rows: Rows, k: int) -> Graph:
    """Compare every pair of rows."""
    X = rows.take(slice(None))
    order, squares, details = np.arange(len(X), dtype=np.int32), squared_norms(X), {"engine": "exact", "recall": 1.0}
    ids = nearest(X, squares, k - 1)
    graph = _graph(rows, X, order, ids, details)
    farthest = graph.distances[:, -1] ** 2 if rows.lengths is None else 2 * graph.distances[:, -1]
    uncertain = np.flatnonzero(_is_uncertain(squares, farthest))
    if not len(uncertain):
        return graph
    ids[uncertain] = nearest_float64(X, k - 1, uncertain)
    return _graph(rows, X, order, ids, details)


def _is_uncertain(squares: np.ndarray, farthest: np.ndarray) -> np.ndarray:
    """Return whether rounding errors are too large to order the neighbours of each row by distance, (n,) of bool.

    `squares`: the squared norm of each row; `farthest`: the squared distance to its farthest neighbour.
    """
    return (farthest > 0) & (squares * ROUNDING > farthest * MOST_ROUNDING)


def _graph(rows: Rows, X: np.ndarray, order: np.ndarray, ids: np.ndarray, details: dict[str, Any]) -> Graph:
    """Build the graph of the matrix. Distances are computed again, from differences, which is more precise.

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
    centers = kmeans_centers(rows.take, count, count // max(LIST_ROWS, int(count**0.5)), rng)
    closest = np.concatenate([nearest_centers(rows.take(slice(*ends)), centers, 1) for ends in _ranges(count)])[:, 0]
    order, counts = np.argsort(closest, kind="stable"), np.bincount(closest, minlength=len(centers))
    cuts = np.maximum(1, -(-counts * len(centers) // (4 * count)))  # split long lists: equal rows all fall into one
    centers = np.repeat(centers, cuts, 0)
    splits = (np.linspace(0, size, cut + 1).astype(np.int64) for size, cut in zip(counts, cuts, strict=True))
    sizes = np.concatenate([np.diff(ends) for ends in splits])
    X, rank = np.empty((count, centers.shape[1]), np.float32), np.empty(count, np.int64)
    rank[order] = np.arange(count)
    for start, stop in _ranges(count):
        X[rank[start:stop]] = rows.take(slice(start, stop))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lists = Lists(X, squared_norms(X), starts, order.astype(np.int32))
    probes = _probe_count(lists, centers, k, rng)
    return lists, np.concatenate([nearest_centers(X[start:stop], centers, probes) for start, stop in _ranges(count)])


def _probe_count(lists: Lists, centers: np.ndarray, k: int, rng: np.random.Generator) -> int:
    """Return how many lists each row has to search to reach the recall `AIM` on a sample of rows."""
    count = len(lists.X)
    sample = np.sort(rng.choice(count, SAMPLE, replace=False))
    true = nearest(lists.X, lists.squares, k - 1, sample)
    list_of = np.searchsorted(lists.starts, true, "right") - 1
    ranks = nearest_centers(lists.X[sample], centers, len(centers)).argsort(1)  # rank of each list, per sampled row
    different = _squared_distances(lists.X, sample, true) > 0  # equal rows are interchangeable, so they do not count
    needed = np.sort(np.take_along_axis(ranks, list_of, 1)[different if different.any() else slice(None)], axis=None)
    enough = int(needed[int(AIM * (needed.size - 1))]) + 1
    return min(enough, max(8, MOST_COMPARED * len(centers) // count))


def _ranges(rows: int) -> list[tuple[int, int]]:
    """Return the ranges of rows, (start, stop), that are transformed at a time."""
    return [(start, min(start + RANGE_ROWS, rows)) for start in range(0, rows, RANGE_ROWS)]


def _recall(lists: Lists, ids: np.ndarray, rng: np.random.Generator) -> float:
    """Return the share of neighbours that are as near as the true ones, for a sample of rows."""
    sample = np.sort(rng.choice(len(ids), SAMPLE, replace=False))
    true = nearest(lists.X, lists.squares, ids.shape[1], sample)
    uncertain = _is_uncertain(lists.squares[sample], _squared_distances(lists.X, sample, true).max(1))
    true[uncertain] = nearest_float64(lists.X, ids.shape[1], sample[uncertain])
    farthest = _squared_distances(lists.X, sample, true).max(1, keepdims=True)
    return float((_squared_distances(lists.X, sample, ids[sample]) <= farthest).mean())


def _squared_distances(X: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the squared distances of rows, (n,), to other rows, `ids` of shape (n, k)."""
    return np.stack([np.square(X[row] - X[others]).sum(1) for row, others in zip(rows, ids, strict=True)])


@dataclass(frozen=True, eq=False)
class Lists:
    """The transformed rows, sorted by list.

    Attributes
    ----------
    X, squares : arrays of shape (N, D) and (N,), float32
        The transformed rows, and their squared norms.
    starts : array of shape (L + 1,), int64
        The first row of each of L lists, and the number of rows.
    order : array of shape (N,), int32
        The index of each row in the matrix.
    """

    X: np.ndarray
    squares: np.ndarray
    starts: np.ndarray
    order: np.ndarray

    def search(self, probes: np.ndarray, k: int) -> np.ndarray:
        """Find the k nearest rows of each row in its lists.

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
        size = _queries_per_call(len(ids), self.X.size * probes.shape[1] / (len(self.starts) - 1))
        in_ranges(loops.search_lists, len(ids), probes, self.X, self.squares, self.starts, ids, size=size)
        return ids


def nearest(X: np.ndarray, squares: np.ndarray, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Find the k nearest rows of each query by comparing it with all rows.

    Parameters
    ----------
    X : ndarray of shape (N, D), float32
    squares : ndarray of shape (N,), float32
        The squared norm of each row.
    k : int
    rows : ndarray of shape (n,), optional
        The queries, as indices of rows; all rows by default.

    Returns
    -------
    ndarray of shape (n, k), int32
        Without the row itself, the nearest first.
    """
    own = np.arange(len(X), dtype=np.int32) if rows is None else rows.astype(np.int32)
    return _search(X if rows is None else X[rows], own, X, squares, k, _queries_per_call(len(own), X.size))


def nearest_float64(X: np.ndarray, k: int, rows: np.ndarray) -> np.ndarray:
    """Return the same as `nearest` for the given rows, from products in float64."""
    ids, distances = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), np.inf)
    no_limits, no_counts = np.empty((len(rows), 0)), np.empty((len(rows), 0), np.int64)

    def compare(first: int, block: np.ndarray, ends: tuple[int, int]) -> None:
        part = slice(*ends)
        values = np.square(block).sum(1) - 2 * (X[rows[part]].astype(np.float64) @ block.T)
        own = np.flatnonzero((rows[part] >= first) & (rows[part] < first + len(block)))
        values[own, rows[part][own] - first] = np.inf
        results = no_limits[part], no_counts[part], distances[part], ids[part]
        loops.tally(values, first, *results, (0, len(values)))

    for first in range(0, len(X), BLOCK):
        block = X[first : first + BLOCK].astype(np.float64)
        in_ranges(partial(compare, first, block), len(rows), size=QUERIES)
    return ids


def squared_norms(X: np.ndarray) -> np.ndarray:
    """Return the squared norm of each row."""
    squares: np.ndarray = np.einsum("ij,ij->i", X, X)
    return squares


def _search(queries: np.ndarray, own: np.ndarray, X: np.ndarray, squares: np.ndarray, k: int, size: int) -> np.ndarray:
    """Return the k nearest rows of each query. `own`: the row that is the query itself, to leave out; -1 if none."""
    ids = np.full((len(queries), k), -1, np.int32)
    in_ranges(loops.search_all, len(queries), queries, own, X, squares, ids, size=size)
    return ids


def _queries_per_call(rows: int, values: float) -> int:
    """Return how many queries to search in one call. `values`: size of the matrix that a query is compared with."""
    most = QUERIES if rows > 8 * QUERIES else FEWEST
    return int(min(max(WORK / max(values, 1), FEWEST), most))


def nearest_centers(X: np.ndarray, centers: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` centres nearest to each row, the nearest first, int32."""
    no_row = np.full(len(X), -1, np.int32)
    return _search(X, no_row, centers, squared_norms(centers), count, QUERIES)


def kmeans_centers(take: Callable[[Any], np.ndarray], rows: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Compute the centres of clusters by a few rounds of k-means on a sample of rows.

    Parameters
    ----------
    take : callable
        Returns the rows at an array of indices.
    rows : int
        Number of rows.
    count : int
        Number of clusters.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (count, D), float32
    """
    sample = take(np.sort(rng.choice(rows, min(rows, SAMPLED * count), replace=False)))
    centers = sample[rng.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        closest = nearest_centers(sample, centers, 1)[:, 0]
        counts = np.bincount(closest, minlength=count)
        filled = counts > 0
        sums = np.add.reduceat(sample[closest.argsort(kind="stable")], (np.cumsum(counts) - counts)[filled])
        centers[filled] = sums / counts[filled, None]
    return centers


def as_float32(X: np.ndarray) -> np.ndarray:
    """Return an array as float32; the array itself if it is float32 already."""
    if X.dtype != np.float16:
        return np.asarray(X, np.float32)
    rows, bits = np.empty(X.shape, np.float32), np.ascontiguousarray(X).view(np.uint16)
    loops.widen(bits.reshape(-1), rows.reshape(-1), (0, rows.size))
    return rows
