"""From a neighbour graph to the weights of a layout: memberships for UMAP, probabilities for t-SNE.

Both find, for each row, the width of a kernel over its neighbours by bisection, and then join what i says of j with
what j says of i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis.backends.compiled import blocks, kernel, part, prange
from gpuvis.backends.graph import Graph

BLOCK = 1024  # rows
SMALLEST_WIDTH = np.float32(1e-3)  # of a UMAP kernel, as a share of the mean distance: as umap-learn has it


@dataclass(frozen=True, eq=False)
class Weights:
    """Symmetric weights between rows, in compressed sparse rows.

    Attributes
    ----------
    indptr : array of shape (N + 1,), int64
    indices : array of int32
        Rising along each row; no row's own.
    values : array of float32
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray


def memberships(graph: Graph, k: int, least: float) -> Weights:
    """Return the fuzzy simplicial set of UMAP (McInnes, Healy, Melville 2018, arXiv:1802.03426, section 3.1).

    It is umap-learn's, with `local_connectivity` 1: the nearest neighbour at a distance above 0 is joined with
    certainty, and the memberships of a row sum to log2(k).

    Parameters
    ----------
    graph : Graph
    k : int
        Neighbours to look at, the row itself counted.
    least : float
        Weights below it are left out.
    """
    indices, distances = graph.nearest(k)
    values = np.empty((len(indices), k - 1), np.float32)
    _memberships(distances, float(distances.mean(dtype=np.float64)), values, blocks(len(indices), BLOCK))
    return _joined(indices[:, 1:], values, True, np.float32(least))


def probabilities(graph: Graph, k: int, perplexity: float) -> Weights:
    """Return the joint probabilities of t-SNE (van der Maaten 2014, JMLR 15:3221, section 4.1); they sum to 1.

    As in scikit-learn the distances are squared, whatever the metric.

    Parameters
    ----------
    graph : Graph
    k : int
        Neighbours to look at, the row itself counted.
    perplexity : float
    """
    indices, distances = graph.nearest(k)
    values = np.empty((len(indices), k - 1), np.float32)
    _probabilities(distances, np.log(perplexity), values, blocks(len(indices), BLOCK))
    weights = _joined(indices[:, 1:], values, False, np.float32(0))
    weights.values[:] /= weights.values.sum(dtype=np.float64)
    return weights


@part
def _rho(far: Any) -> Any:
    """Return the distance of the nearest neighbour that is not in the same place; 0: there is none."""
    for t in range(1, len(far)):
        if far[t] > 0:
            return far[t]
    return np.float32(0)


@kernel
def _memberships(distances: Any, mean: float, values: Any, bounds: Any) -> None:
    k = distances.shape[1]
    target = np.log2(np.float64(k))
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            far, out = distances[i], values[i]
            rho = _rho(far)
            low, high, width = 0.0, np.inf, 1.0  # type: float, float, Any
            for _ in range(64):
                total = 0.0
                for t in range(1, k):
                    total += np.exp(-np.maximum(far[t] - rho, np.float32(0)) / np.float32(width))
                if abs(total - target) < 1e-5:
                    break
                if total > target:
                    high = width
                    width = (low + high) / 2
                else:
                    low = width
                    width = width * 2 if high == np.inf else (low + high) / 2
            width = max(width, SMALLEST_WIDTH * (far.mean() if rho > 0 else mean))
            for t in range(1, k):
                beyond = far[t] - rho
                out[t - 1] = np.exp(-beyond / np.float32(width)) if beyond > 0 and width > 0 else np.float32(1)


@kernel
def _probabilities(distances: Any, entropy: float, values: Any, bounds: Any) -> None:
    k = distances.shape[1]
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            far, out = distances[i], values[i]
            nearest = far[1] * far[1]  # a constant cancels
            low, high, beta = 0.0, np.inf, 1.0
            for _ in range(100):
                total, moment = 0.0, 0.0
                for t in range(1, k):
                    square = far[t] * far[t] - nearest
                    out[t - 1] = np.exp(-square * np.float32(beta))
                    total += out[t - 1]
                    moment += out[t - 1] * square
                found = np.log(total) + beta * moment / total
                for t in range(k - 1):
                    out[t] /= np.float32(total)
                if abs(found - entropy) < 1e-5:
                    break
                if found > entropy:
                    low = beta
                    beta = beta * 2 if high == np.inf else (low + high) / 2
                else:
                    high = beta
                    beta = (low + high) / 2


@kernel
def _sort(indices: Any, values: Any, bounds: Any) -> None:
    """Sort the neighbours of each row by their number."""
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            near, weight = indices[i], values[i]
            for t in range(1, len(near)):
                j, w, at = near[t], weight[t], t
                while at > 0 and near[at - 1] > j:
                    near[at], weight[at] = near[at - 1], weight[at - 1]
                    at -= 1
                near[at], weight[at] = j, w


@part
def _transpose(indices: Any, values: Any, starts: Any, sources: Any, said: Any) -> None:
    """Write down who is near to whom, seen from the other side; `starts` move to their rows' ends."""
    for i in range(len(indices)):
        for t in range(indices.shape[1]):
            j = indices[i, t]
            sources[starts[j]], said[starts[j]] = i, values[i, t]
            starts[j] += 1


@part
def _merge(near: Any, weight: Any, sources: Any, said: Any, fuzzy: bool, least: Any, ids: Any, out: Any) -> int:
    """Join two sorted rows: a + b - ab if fuzzy, else a + b. Count what is kept; write it if there is room for it."""
    a, b, kept = 0, 0, 0
    while a < len(near) or b < len(sources):
        first = b == len(sources) or (a < len(near) and near[a] <= sources[b])
        second = a == len(near) or (b < len(sources) and sources[b] <= near[a])
        one = weight[a] if first else np.float32(0)
        two = said[b] if second else np.float32(0)
        joined = one + two - one * two if fuzzy else one + two
        if joined >= least:
            if len(ids):
                ids[kept], out[kept] = near[a] if first else sources[b], joined
            kept += 1
        a, b = a + first, b + second
    return kept


@kernel
def _merged(graph: Any, transposed: Any, fuzzy: bool, least: Any, indptr: Any, out: Any, bounds: Any) -> None:
    """Count the entries of each joined row into `indptr`, or, if `out` has room, fill them in."""
    (indices, values), (ends, sources, said), (ids, weights) = graph, transposed, out
    count = len(ids) == 0
    for b in prange(len(bounds) - 1):
        for i in range(bounds[b], bounds[b + 1]):
            there = slice(ends[i - 1] if i else 0, ends[i])
            here = slice(0, 0) if count else slice(indptr[i], indptr[i + 1])
            row = _merge(indices[i], values[i], sources[there], said[there], fuzzy, least, ids[here], weights[here])
            if count:
                indptr[i + 1] = row


def _joined(indices: np.ndarray, values: np.ndarray, fuzzy: bool, least: np.float32) -> Weights:
    """Join a graph with its transpose."""
    rows = len(indices)
    indices = np.ascontiguousarray(indices, np.int32)
    bounds = blocks(rows, BLOCK)
    _sort(indices, values, bounds)
    ends = np.concatenate([[0], np.cumsum(np.bincount(indices.ravel(), minlength=rows))])[:-1].astype(np.int64)
    sources, said = np.empty(indices.size, np.int32), np.empty(indices.size, np.float32)
    _transpose(indices, values, ends, sources, said)
    indptr, none = np.zeros(rows + 1, np.int64), (np.empty(0, np.int32), np.empty(0, np.float32))
    parts = (indices, values), (ends, sources, said)
    _merged(*parts, fuzzy, least, indptr, none, bounds)
    np.cumsum(indptr, out=indptr)
    ids, weights = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    _merged(*parts, fuzzy, least, indptr, (ids, weights), bounds)
    return Weights(indptr, ids, weights)
