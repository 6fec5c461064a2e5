"""Neighbour graphs on the CPU: exact for few rows, else by searching the lists nearest to each row.

Rows are clustered into lists (k-means); each row is compared with all rows of the lists whose centres are nearest to
it, as matrix products of whole lists (Jégou, Douze, Schmid 2011, IEEE TPAMI 33:117, inverted lists without
quantisation; here every row is also a query, so that queries of one list share their products). How many lists are
enough is found on a sample of rows whose neighbours are computed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuvis import tensors
from gpuvis.backends.graph import Graph
from gpuvis.backends.halves import widened
from gpuvis.backends.kernels import loops
from gpuvis.backends.lists import Lists, centers_of, nearest, ranked
from gpuvis.backends.parallel import in_ranges

EXACT_ROWS = 12_000  # up to which every pair is compared: quicker there
LIST_ROWS = 256  # the least in a list, on average
SAMPLE = 256  # rows whose neighbours are found exactly
AIM = 0.99  # recall on the sample, in choosing how many lists are searched
MOST_COMPARED = 65_536  # rows that one row is compared with, on average
SCALED = {"cosine", "correlation"}  # of rows brought to length 1


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
    take = _taker(X, metric)
    if exact or len(X) <= EXACT_ROWS:
        whole = take(slice(None))
        ids, told = nearest(whole, _squares(whole, metric), k - 1), {"engine": "exact", "recall": 1.0}
        return _graph(whole, np.arange(len(whole), dtype=np.int32), ids, metric, told)
    lists, probes = _clustered(X, take, metric, k, seed)
    told = {"engine": f"lists: {probes.shape[1]} of {len(lists.starts) - 1} searched"}
    ids = lists.search(probes, k - 1)
    del probes  # as large as the graph
    lacking = np.flatnonzero(ids[:, -1] < 0)  # where the lists that were searched hold fewer rows
    ids[lacking] = nearest(lists.X, lists.squares, k - 1, lacking)
    told["recall"] = _recall(lists, ids, np.random.default_rng(seed + 1))
    return _graph(lists.X, lists.order, ids, metric, told)


def _graph(X: np.ndarray, order: np.ndarray, ids: np.ndarray, metric: str, told: dict[str, Any]) -> Graph:
    """Return the graph in the matrix's own order of rows, with true distances; row i here is its row order[i]."""
    shape, real = (len(ids), ids.shape[1] + 1), X.any(1).view(np.uint8)
    indices, distances = np.empty(shape, np.int32), np.empty(shape, np.float32)
    in_ranges(loops.measure, len(ids), X, real, metric in SCALED, order, ids, indices, distances)
    return Graph(indices, distances, np, told)


def _taker(X: np.ndarray, metric: str) -> Callable[[Any], np.ndarray]:
    """Return what takes some of the rows as float32, such that euclidean distances order them as the metric does."""
    means = np.zeros(X.shape[1], np.float32)
    if metric == "euclidean":  # a mean far from zero would cost digits
        total = np.zeros(X.shape[1])
        for start, stop in _pieces(len(X)):
            total += widened(X[start:stop]).sum(0, dtype=np.float64)
            tensors.let_go(X)
        means = (total / len(X)).astype(np.float32)

    def take(some: Any) -> np.ndarray:
        rows = widened(X[some]) - means
        tensors.let_go(X)
        if metric == "correlation":
            rows -= rows.mean(1, keepdims=True, dtype=np.float64)  # exact where a row is constant
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
) -> tuple[Lists, np.ndarray]:
    """Sort the rows into lists, and say which lists each row is to probe, int32 (N, n_probes)."""
    rows, draw = len(X), np.random.default_rng(seed)
    centers = centers_of(take, rows, rows // max(LIST_ROWS, int(rows**0.5)), draw)
    closest = np.concatenate([ranked(take(slice(*ends)), centers, 1) for ends in _pieces(rows)])[:, 0]
    order, counts = np.argsort(closest, kind="stable"), np.bincount(closest, minlength=len(centers))
    cuts = np.maximum(1, -(-counts * len(centers) // (4 * rows)))  # equal rows all fall into one list
    centers = np.repeat(centers, cuts, 0)
    parts = (np.linspace(0, count, cut + 1).astype(np.int64) for count, cut in zip(counts, cuts, strict=True))
    sizes = np.concatenate([np.diff(ends) for ends in parts])
    whole, rank = np.empty(X.shape, np.float32), np.empty(rows, np.int64)
    rank[order] = np.arange(rows)
    for start, stop in _pieces(rows):
        whole[rank[start:stop]] = take(slice(start, stop))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lists = Lists(whole, _squares(whole, metric), starts, order.astype(np.int32))
    sample = np.sort(draw.choice(rows, SAMPLE, replace=False))
    true = nearest(whole, lists.squares, k - 1, sample)
    where = np.searchsorted(lists.starts, true, "right") - 1
    ranks = ranked(whole[sample], centers, len(centers)).argsort(1)  # of each list, for each row of the sample
    apart = _squared(whole, sample, true) > 0  # among equal rows any neighbours are right, wherever they are
    reached = np.sort(np.take_along_axis(ranks, where, 1)[apart if apart.any() else slice(None)], axis=None)
    enough = int(reached[int(AIM * (reached.size - 1))]) + 1
    probes = min(enough, max(8, MOST_COMPARED * len(centers) // rows))
    return lists, np.concatenate([ranked(whole[start:stop], centers, probes) for start, stop in _pieces(rows)])


def _pieces(rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + 65_536, rows)) for start in range(0, rows, 65_536)]


def _recall(lists: Lists, ids: np.ndarray, draw: np.random.Generator) -> float:
    """Return the share of neighbours found that are as near as the true ones, on a sample."""
    sample = np.sort(draw.choice(len(ids), SAMPLE, replace=False))
    true = nearest(lists.X, lists.squares, ids.shape[1], sample)
    farthest = _squared(lists.X, sample, true).max(1, keepdims=True)
    return float((_squared(lists.X, sample, ids[sample]) <= farthest).mean())


def _squared(X: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the squared distances of some rows to others of each."""
    return np.stack([np.square(X[row] - X[others]).sum(1) for row, others in zip(rows, ids, strict=True)])
