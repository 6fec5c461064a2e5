"""Groups of equal and nearly equal rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.io import pt

BLOCK_BYTES = 8 << 20


def groups(X: Any) -> np.ndarray:
    """Return a number for each row, (N,), int64, the same for rows that are equal in float32.

    Rows are compared by sums of their bits times random numbers, in 64 bits (multilinear hashing; Carter, Wegman
    1979, Journal of Computer and System Sciences 18:143), and those that have the same are compared.
    """
    rows, factors = len(X), _factors(X.shape[1])
    sums = np.empty(rows, np.uint64)
    for start, block in arrays.blocks(X, BLOCK_BYTES):
        sums[start : start + len(block)] = (_values(block).view(np.uint32) * factors).sum(1)
        pt.let_go(X)
    _, first, number = np.unique(sums, return_index=True, return_inverse=True)
    doubtful = np.flatnonzero(first[number] != np.arange(rows))
    step = max(1, BLOCK_BYTES // (X.shape[1] * X.itemsize))
    for start in range(0, len(doubtful), step):
        some = doubtful[start : start + step]
        differs = (_values(X[some]) != _values(X[first[number[some]]])).any(1)
        number[some[differs]] = rows + some[differs]  # a sum that happens to be the same
        pt.let_go(X)
    return number


def joined(groups: np.ndarray, near: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Join groups of rows that are close to each other, and return the number of each row's group, from 0.

    Only the nearest of each row are known, and they may all be in its group. So the groups are what chains of close
    rows hold together: the connected components.

    Parameters
    ----------
    groups : ndarray of shape (N,), integer
        As `groups` returns them.
    near : ndarray of shape (N, k), integer
        Rows near to each.
    close : ndarray of shape (N, k), bool
        Which of them are close.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    links = np.column_stack([first[number], near]).astype(np.int32)
    some = np.column_stack([np.ones(len(groups), bool), close])
    ends = np.concatenate([[0], np.cumsum(some.sum(1))])
    graph = csr_array((np.ones(ends[-1], bool), links[some], ends), (len(groups), len(groups)))
    found: np.ndarray = connected_components(graph, directed=False)[1].astype(np.int64)
    return found


def counts(groups: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many other rows are in the group of each, and how many of them have another label.

    Without a label of its own, a row has -1 for the latter.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    both = number * (int(codes.max(initial=-1)) + 2) + codes + 1
    _, place, alike = np.unique(both, return_inverse=True, return_counts=True)
    labelled = np.bincount(number, codes >= 0).astype(np.int64)
    return sizes[number] - 1, np.where(codes >= 0, labelled[number] - alike[place], -1)


def another(groups: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return for each row the first of its group with another key; -1: there is none. Keys below 0 are none."""
    known = np.flatnonzero(keys >= 0)
    first = _first(groups, known)
    unlike = known[keys[known] != keys[first[groups[known]]]]
    found = np.where(keys >= 0, _first(groups, unlike)[groups], -1)
    found[unlike] = first[groups[unlike]]
    return found


def _first(groups: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the first of some rows in each group, whose numbers are from 0; -1: it has none of them."""
    first = np.full(len(groups), -1)
    first[groups[rows[::-1]]] = rows[::-1]  # the last that is written stays
    return first


def _factors(columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1 << 64, columns, np.uint64)


def _values(block: Any) -> np.ndarray:
    return np.asarray(arrays.as_float32(block)) + np.float32(0)  # which makes -0 and 0 the same
