"""Judge each label by the labels of the nearest rows.

A label is suspicious if another class is nearer to the row than its own class. The distance to a class is the mean
distance to the `VOTERS` nearest neighbours of that class; if there are fewer, each missing one counts as far away as
the farthest neighbour. So a class has to be both near and frequent, and the scale of distances does not matter. Plain
counts of votes would often be equal, and would suspect every row between two classes.

Neighbours as far away as the farthest one do not vote: if several rows are that far, chance decides which are listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NEIGHBORS = 20
VOTERS = 5  # nearest neighbours of a class over which its distance is averaged
LEAST = 3  # a label is suspect only if at least this many neighbours have the suggested label
SAME = 1e-6  # relative difference up to which distances count as equal in float32
BLOCK = 4096  # rows that are judged at a time


@dataclass(frozen=True, eq=False)
class Votes:
    """How the neighbours of each row judge its label; arrays of shape (N,).

    Attributes
    ----------
    suspicion : ndarray, float64
        own / (own + other), from 0 to 1: `own` is the distance to the row's own class, `other` that to the nearest
        other class. 0.5 if both are equally near. NaN for a row without a label, or alone in its class.
    suggested : ndarray, int64
        The nearest other class; of several equally near ones the first. -1 if no voting neighbour has another label.
    suspect : ndarray, bool
        Whether own > (other + farthest) / 2, where `farthest` is the distance to the farthest neighbour, and at least
        `LEAST` of the neighbours have the suggested label.
    disagreement : ndarray, float64
        The share of voting neighbours with another label; NaN if there are none, or the row has no label.
    """

    suspicion: np.ndarray
    suggested: np.ndarray
    suspect: np.ndarray
    disagreement: np.ndarray


def of(indices: np.ndarray, distances: np.ndarray, codes: np.ndarray, rounding: float) -> Votes:
    """Judge the label of each row by the labels of its neighbours.

    Parameters
    ----------
    indices : ndarray of shape (N, k), integer
        The neighbours of each row, the nearest first. The row itself stands for a missing neighbour.
    distances : ndarray of shape (N, k)
        Their distances.
    codes : ndarray of shape (N,), int64
        The class of each row; -1 for a row without one.
    rounding : float
        Distances up to this count as 0.

    Returns
    -------
    Votes
    """
    rows, sizes = len(codes), np.bincount(codes[codes >= 0], minlength=1)
    votes = Votes(np.full(rows, np.nan), np.full(rows, -1), np.zeros(rows, bool), np.full(rows, np.nan))
    for start in range(0, rows, BLOCK):
        block = slice(start, min(start + BLOCK, rows))
        own, ids = codes[block], indices[block]
        size = np.where(own >= 0, sizes[own], 0)
        lengths = np.where(distances[block] > rounding, distances[block], 0).astype(np.float64)
        silent = np.isclose(lengths, lengths[:, -1:], SAME, rounding)
        silent |= ids == np.arange(block.start, block.stop)[:, None]
        labels = np.where(silent, -1, codes[ids])
        _judge(votes, block, _Given(own, size), labels, lengths)
    return votes


class _Given(NamedTuple):
    """The given label of each row of a block, and how many rows have it; arrays of shape (n,)."""

    label: np.ndarray
    size: np.ndarray


def _judge(votes: Votes, block: slice, given: _Given, labels: np.ndarray, distances: np.ndarray) -> None:
    """Fill in the votes on a block of n rows, from the labels and the distances of their neighbours.

    `labels` and `distances` have shape (n, k); the label of a neighbour that does not vote is -1. A missing neighbour
    counts as far away as the farthest one, so the mean distance to a class is `farthest` less the sum of the gains,
    (farthest - distance), of its neighbours, divided by the number of voters.
    """
    rows, farthest = np.arange(len(labels)), distances[:, -1]
    same_label = labels[:, :, None] == labels[:, None, :]  # of neighbours i and j of a row
    rank = np.tril(same_label).sum(2)  # of each neighbour among the neighbours with its label, from 1
    own, voting = labels == given.label[:, None], labels >= 0
    gain = farthest[:, None] - distances
    # Few neighbours can be of a small class: expect about as many as the square root of the number of its other rows.
    voters = np.clip(np.round(np.sqrt(np.maximum(given.size - 1, 0))), 1, VOTERS)
    to_own = farthest - (gain * (own & (rank <= voters[:, None]))).sum(1) / voters
    counted = gain * (rank <= VOTERS)
    to_label = farthest[:, None] - np.einsum("rij,rj->ri", same_label, counted) / VOTERS
    to_label = np.where(voting & ~own, to_label, np.inf)
    nearest = np.isclose(to_label, to_label.min(1, keepdims=True), SAME, 0)
    best = np.where(nearest, labels, np.iinfo(np.int64).max).argmin(1)
    exists = np.isfinite(to_label[rows, best])
    to_other = np.where(exists, to_label[rows, best], farthest)
    defined, both = given.size > 1, to_own + to_other
    votes.suspicion[block] = np.where(defined, np.where(both > 0, to_own / np.where(both > 0, both, 1), 0.5), np.nan)
    votes.suggested[block] = np.where(exists, labels[rows, best], -1)
    frequent = same_label[rows, best].sum(1) >= LEAST
    votes.suspect[block] = defined & exists & frequent & (to_own > (to_other + farthest) / 2)
    share = (voting & ~own).sum(1) / np.maximum(voting.sum(1), 1)
    votes.disagreement[block] = np.where((given.label >= 0) & voting.any(1), share, np.nan)
