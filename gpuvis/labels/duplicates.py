"""Group equal and nearly equal rows, and count the labels in each group."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.io import pt

BLOCK_BYTES = 8 << 20


def groups(X: Any) -> np.ndarray:
    """Return the number of each row's group, (N,), int64: rows are in one group if they are equal in float32.

    Each row is hashed to 64 bits: its bits times random factors, summed (multilinear hashing; Carter, Wegman 1979,
    Journal of Computer and System Sciences 18:143). Rows with the same hash are then compared value by value.
    """
    rows, factors = len(X), _factors(X.shape[1])
    hashes = np.empty(rows, np.uint64)
    for start, block in arrays.blocks(X, BLOCK_BYTES):
        hashes[start : start + len(block)] = (_values(block).view(np.uint32) * factors).sum(1)
        pt.release_pages(X)
    _, first, number = np.unique(hashes, return_index=True, return_inverse=True)
    candidates = np.flatnonzero(first[number] != np.arange(rows))
    step = max(1, BLOCK_BYTES // (X.shape[1] * X.itemsize))
    for start in range(0, len(candidates), step):
        indices = candidates[start : start + step]
        differs = (_values(X[indices]) != _values(X[first[number[indices]]])).any(1)
        number[indices[differs]] = rows + indices[differs]  # different rows with the same hash
        pt.release_pages(X)
    return number


def joined(groups: np.ndarray, indices: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Join groups that have rows close to each other, and return the number of each row's new group, from 0.

    The new groups are the connected components of the graph of close rows: a chain of close rows is one group. Pairs
    of close rows may be missing from `indices`: the copies of a row may fill its list of neighbours.

    Parameters
    ----------
    groups : ndarray of shape (N,), integer
        The groups of equal rows, as `groups` returns them.
    indices : ndarray of shape (N, k), integer
        The neighbours of each row.
    close : ndarray of shape (N, k), bool
        Whether each neighbour is close to the row.

    Returns
    -------
    ndarray of shape (N,), int64
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    links = np.column_stack([first[number], indices]).astype(np.int32)
    linked = np.column_stack([np.ones(len(groups), bool), close])
    ends = np.concatenate([[0], np.cumsum(linked.sum(1))])
    graph = csr_array((np.ones(ends[-1], bool), links[linked], ends), (len(groups), len(groups)))
    _, components = connected_components(graph, directed=False)
    joined: np.ndarray = components.astype(np.int64)
    return joined


def counts(groups: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count, for each row, the other rows of its group, and how many of them have another label.

    Parameters
    ----------
    groups : ndarray of shape (N,), integer
        The group of each row.
    codes : ndarray of shape (N,), int64
        The class of each row; -1 for a row without one.

    Returns
    -------
    others, other_label : ndarrays of shape (N,), int64
        `other_label` is -1 for a row without a label.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    pairs = number * (int(codes.max(initial=-1)) + 2) + codes + 1  # of group and class
    _, pair, same_label = np.unique(pairs, return_inverse=True, return_counts=True)
    labelled = np.bincount(number, codes >= 0).astype(np.int64)
    return sizes[number] - 1, np.where(codes >= 0, labelled[number] - same_label[pair], -1)


def another(groups: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return for each row the first row of its group that has another key; -1 if there is none.

    Parameters
    ----------
    groups : ndarray of shape (N,), integer
        The group of each row, numbered from 0.
    keys : ndarray of shape (N,), integer
        A key below 0 means that the row has none.
    """
    keyed = np.flatnonzero(keys >= 0)
    first = _first(groups, keyed)
    different = keyed[keys[keyed] != keys[first[groups[keyed]]]]  # rows whose key is not that of the group's first row
    others = np.where(keys >= 0, _first(groups, different)[groups], -1)
    others[different] = first[groups[different]]
    return others


def _first(groups: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each group the first of the given rows that is in it; -1 if none is."""
    first = np.full(len(groups), -1)
    first[groups[rows[::-1]]] = rows[::-1]  # of several rows of a group the last assignment stays: the first row
    return first


def _factors(columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1 << 64, columns, np.uint64)


def _values(block: Any) -> np.ndarray:
    return np.asarray(arrays.as_float32(block)) + np.float32(0)  # adding 0 turns -0 into 0
