"""Suspicion of a label, by the labels of the nearest rows.

Of the neighbours of a row, those of its own class are compared with those of another, by their distances: a label is
suspicious if another class is nearer. The distance to a class is the mean of that to its first `VOTERS` neighbours;
places that it does not fill count as the farthest neighbour. So a class must be both near and frequent, and the scale
of the distances does not matter. A plain count of votes has many ties, and suspects all that lies between two classes.
Rows as far as the farthest do not vote: which of them are among the neighbours is chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBORS = 20
VOTERS = 5  # neighbours of a class that its distance is the mean of
LEAST = 3  # neighbours that must have a label for it to be suggested against the given one
SAME = 1e-6  # of a distance: two that differ by no more are the same in float32
BLOCK = 4096  # rows that are looked at at a time


@dataclass(frozen=True, eq=False)
class Votes:
    """What the neighbours of each row say of its label; all of shape (N,).

    Attributes
    ----------
    suspicion : ndarray, float64
        own / (own + other), of the distances to the own class and to the nearest other: 0.5 where both are as near.
        NaN where nothing can be said: of a row without label, or one that is alone in its class.
    suggested : ndarray, int64
        The nearest other class, of several as near the first; -1: no neighbour that votes has another label.
    suspect : ndarray, bool
        The own class is less than half as much nearer than the farthest neighbour as the suggested class is, and
        that has at least three of the neighbours.
    disagreement : ndarray, float64
        The share of labelled neighbours that vote with another label; NaN where there are none, or the row has none.
    """

    suspicion: np.ndarray
    suggested: np.ndarray
    suspect: np.ndarray
    disagreement: np.ndarray


def of(near: np.ndarray, far: np.ndarray, codes: np.ndarray, rounding: float) -> Votes:
    """Have the nearest rows vote.

    Parameters
    ----------
    near : ndarray of shape (N, k), integer
        The rows nearest to each, the nearest first; the row itself: no more are known.
    far : ndarray of shape (N, k)
        Their distances.
    codes : ndarray of shape (N,), int64
        The class of each row; -1: it has none.
    rounding : float
        A distance that is no larger counts as 0.
    """
    rows, sizes = len(codes), np.bincount(codes[codes >= 0], minlength=1)
    votes = Votes(np.full(rows, np.nan), np.full(rows, -1), np.zeros(rows, bool), np.full(rows, np.nan))
    for start in range(0, rows, BLOCK):
        some = slice(start, min(start + BLOCK, rows))
        own, ids = codes[some], near[some]
        size = np.where(own >= 0, sizes[own], 0)
        distances = np.where(far[some] > rounding, far[some], 0).astype(np.float64)
        silent = np.isclose(distances, distances[:, -1:], SAME, rounding)
        silent |= ids == np.arange(some.start, some.stop)[:, None]
        labels = np.where(silent, -1, codes[ids])
        _judge(votes, some, (own, size), labels, distances)
    return votes


def _judge(
    votes: Votes, some: slice, given: tuple[np.ndarray, np.ndarray], labels: np.ndarray, distances: np.ndarray
) -> None:
    (own, size), rows, farthest = given, np.arange(len(labels)), distances[:, -1]
    alike = labels[:, :, None] == labels[:, None, :]  # of neighbours i and j of a row
    place = np.tril(alike).sum(2)  # of a neighbour among those of its label, from 1
    mine, labelled = labels == own[:, None], labels >= 0
    gain = farthest[:, None] - distances
    # Of a small class fewer neighbours can be expected: about as many as the root of the others in it.
    voters = np.clip(np.round(np.sqrt(np.maximum(size - 1, 0))), 1, VOTERS)
    to_own = farthest - (gain * (mine & (place <= voters[:, None]))).sum(1) / voters
    counted = gain * (place <= VOTERS)
    to_label = farthest[:, None] - np.einsum("rij,rj->ri", alike, counted) / VOTERS
    to_label = np.where(labelled & ~mine, to_label, np.inf)
    nearest = np.isclose(to_label, to_label.min(1, keepdims=True), SAME, 0)
    best = np.where(nearest, labels, np.iinfo(np.int64).max).argmin(1)
    there = np.isfinite(to_label[rows, best])
    to_other = np.where(there, to_label[rows, best], farthest)
    known, both = size > 1, to_own + to_other
    votes.suspicion[some] = np.where(known, np.where(both > 0, to_own / np.where(both > 0, both, 1), 0.5), np.nan)
    votes.suggested[some] = np.where(there, labels[rows, best], -1)
    many = alike[rows, best].sum(1) >= LEAST
    votes.suspect[some] = known & there & many & (to_own > (to_other + farthest) / 2)
    share = (labelled & ~mine).sum(1) / np.maximum(labelled.sum(1), 1)
    votes.disagreement[some] = np.where((own >= 0) & labelled.any(1), share, np.nan)
