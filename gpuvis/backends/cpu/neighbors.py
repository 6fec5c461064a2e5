"""Neighbour graphs on the CPU: exact for few rows, else by inverted lists.

Rows are clustered into lists (k-means); each row is compared with all rows of the lists whose centres are nearest to
it, as matrix products of whole lists (Jégou, Douze, Schmid 2011, IEEE TPAMI 33:117, inverted lists without
quantisation; here every row is also a query, so that queries of one list share their products). How many lists are
enough is found on a sample of rows whose neighbours are computed exactly.
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

EXACT_ROWS = 12_000  # up to which every pair is compared: quicker there
LIST_ROWS = 256  # the least in a list, on average
SAMPLE = 256  # rows whose neighbours are found exactly
AIM = 0.99  # recall on the sample, in choosing how many lists are searched
MOST_COMPARED = 65_536  # rows that one row is compared with, on average
ROUNDING = 32 * float(np.finfo(np.float32).eps)  # of a row's square: what two distances by products may be apart
ROUNDED = 1e-3  # of a squared distance: where rounding may be more, products are taken in float64
QUERIES, FEWEST = 512, 64  # rows of the one side of a matrix product
BLOCK = 2048  # rows of the other, in float64
WORK = 2e10  # multiply-adds of one call, so that an interrupt is heard soon
ROUNDS, SAMPLED = 5, 40  # of k-means, and of how many rows for each centre


def search(X: np.ndarray, k: int, metric: str, seed: int, exact: bool = False) -> Graph:
    """Find the nearest neighbours of every row.

    Parameters
    ----------
    X : ndarray of shape (N, D), floating point
    k : int
        How many, the row itself counted; at most N.
    metric : {"euclidean", "cosine", "correlation"}
    seed : int
        Of the clustering.
    exact : bool, default=False
        Compare every pair, however many there are.

    Returns
    -------
    Graph
        Distances are float32, indices int32; it tells the `engine` and its `recall`, the share of true neighbours
        found, on a sample.
    """
    rows = Rows.of(X, metric)
    if exact or len(X) <= EXACT_ROWS:
        return _exact(rows, k)
    lists, probes = _clustered(rows, k, seed)
    details: dict[str, Any] = {"engine": f"lists: {probes.shape[1]} of {len(lists.starts) - 1} searched"}
    ids = lists.search(probes, k - 1)
    del probes  # as large as the graph
    lacking = np.flatnonzero(ids[:, -1] < 0)  # where the lists that were searched hold fewer rows
    ids[lacking] = nearest(lists.X, lists.squares, k - 1, lacking)
    details["recall"] = _recall(lists, ids, np.random.default_rng(seed + 1))
    return _graph(rows, lists.X, lists.order, ids, details)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a matrix such that euclidean distances order them as a metric does, and around zero.

    Attributes
    ----------
    X : ndarray of shape (N, D)
    metric : {"euclidean", "cosine", "correlation"}
    lengths : ndarray of shape (N,), or None
        By which rows are divided.
    middle : ndarray
        What is then taken off: products of rows far from zero would lose the digits in which these differ. It is the
        median of some rows, since a few large ones would move the mean.
    """

    X: np.ndarray
    metric: str
    lengths: np.ndarray | None = None
    middle: np.ndarray | float = 0.0

    @classmethod
    def of(cls, X: np.ndarray, metric: str) -> Rows:
        """Find the lengths and the middle."""
        rows = cls(X, metric)
        if METRICS[metric].angular:
            parts = (rows._shifted(slice(*ends)) for ends in _pieces(len(X)))
            rows = replace(rows, lengths=np.sqrt(np.concatenate([squares_of(part) for part in parts])))
        return replace(rows, middle=np.median(rows.take(slice(None, None, -(-len(X) // SAMPLE))), 0))

    def take(self, some: slice | np.ndarray) -> np.ndarray:
        """Return some of the rows, float32."""
        rows = self._shifted(some)
        if self.lengths is None:
            return rows - self.middle
        lengths = self.lengths[some, None]
        rows = rows / np.where(lengths > 0, lengths, 1)
        if not self.lengths.all():  # a row of zeros gets a direction of its own, so that it is as far from all others
            rows = np.hstack([rows, lengths == 0])
        rows -= self.middle
        return rows

    def _shifted(self, some: slice | np.ndarray) -> np.ndarray:
        rows = widened(self.X[some])
        pt.let_go(self.X)
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
    unsure = np.flatnonzero(_is_unsure(squares, farthest))
    if not len(unsure):
        return graph
    ids[unsure] = nearest_precisely(X, k - 1, unsure)
    return _graph(rows, X, order, ids, details)


def _is_unsure(squares: np.ndarray, farthest: np.ndarray) -> np.ndarray:
    """Tell of which rows products leave it open which others are nearest; `farthest`: squared, of those found."""
    return (farthest > 0) & (squares * ROUNDING > farthest * ROUNDED)


def _graph(rows: Rows, X: np.ndarray, order: np.ndarray, ids: np.ndarray, details: dict[str, Any]) -> Graph:
    """Return the graph in the matrix's own order of rows, with true distances; row i here is its row order[i]."""
    shape, scaled = (len(ids), ids.shape[1] + 1), rows.lengths is not None
    real = rows.lengths[order] > 0 if rows.lengths is not None else np.ones(len(ids), bool)
    indices, distances = np.empty(shape, np.int32), np.empty(shape, np.float32)
    in_ranges(loops.measure, len(ids), X, real.view(np.uint8), scaled, order, ids, indices, distances)
    return Graph(indices, distances, np, details)


def _clustered(rows: Rows, k: int, seed: int) -> tuple[Lists, np.ndarray]:
    """Sort the rows into lists, and say which lists each row is to probe, int32 (N, n_probes)."""
    count, draw = len(rows.X), np.random.default_rng(seed)
    centers = centers_of(rows.take, count, count // max(LIST_ROWS, int(count**0.5)), draw)
    closest = np.concatenate([ranked(rows.take(slice(*ends)), centers, 1) for ends in _pieces(count)])[:, 0]
    order, counts = np.argsort(closest, kind="stable"), np.bincount(closest, minlength=len(centers))
    cuts = np.maximum(1, -(-counts * len(centers) // (4 * count)))  # equal rows all fall into one list
    centers = np.repeat(centers, cuts, 0)
    parts = (np.linspace(0, held, cut + 1).astype(np.int64) for held, cut in zip(counts, cuts, strict=True))
    sizes = np.concatenate([np.diff(ends) for ends in parts])
    X, rank = np.empty((count, centers.shape[1]), np.float32), np.empty(count, np.int64)
    rank[order] = np.arange(count)
    for start, stop in _pieces(count):
        X[rank[start:stop]] = rows.take(slice(start, stop))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lists = Lists(X, squares_of(X), starts, order.astype(np.int32))
    sample = np.sort(draw.choice(count, SAMPLE, replace=False))
    true = nearest(X, lists.squares, k - 1, sample)
    where = np.searchsorted(lists.starts, true, "right") - 1
    ranks = ranked(X[sample], centers, len(centers)).argsort(1)  # of each list, for each row of the sample
    apart = _squared(X, sample, true) > 0  # among equal rows any neighbours are right, wherever they are
    reached = np.sort(np.take_along_axis(ranks, where, 1)[apart if apart.any() else slice(None)], axis=None)
    enough = int(reached[int(AIM * (reached.size - 1))]) + 1
    probes = min(enough, max(8, MOST_COMPARED * len(centers) // count))
    return lists, np.concatenate([ranked(X[start:stop], centers, probes) for start, stop in _pieces(count)])


def _pieces(rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + 65_536, rows)) for start in range(0, rows, 65_536)]


def _recall(lists: Lists, ids: np.ndarray, draw: np.random.Generator) -> float:
    """Return the share of neighbours found that are as near as the true ones, on a sample."""
    sample = np.sort(draw.choice(len(ids), SAMPLE, replace=False))
    true = nearest(lists.X, lists.squares, ids.shape[1], sample)
    unsure = _is_unsure(lists.squares[sample], _squared(lists.X, sample, true).max(1))
    true[unsure] = nearest_precisely(lists.X, ids.shape[1], sample[unsure])
    farthest = _squared(lists.X, sample, true).max(1, keepdims=True)
    return float((_squared(lists.X, sample, ids[sample]) <= farthest).mean())


def _squared(X: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the squared distances of some rows to others of each."""
    return np.stack([np.square(X[row] - X[others]).sum(1) for row, others in zip(rows, ids, strict=True)])


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


def widened(X: np.ndarray) -> np.ndarray:
    """Return rows as float32: themselves if they are that."""
    if X.dtype != np.float16:
        return np.asarray(X, np.float32)
    rows, bits = np.empty(X.shape, np.float32), np.ascontiguousarray(X).view(np.uint16)
    loops.widen(bits.reshape(-1), rows.reshape(-1), (0, rows.size))
    return rows
