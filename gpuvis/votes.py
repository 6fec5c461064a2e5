"""How suspicious a label is, by the labels of the nearest rows.

Of the neighbours of a row, those of its own class are compared with those of another, by their distances: a label is
suspicious if another class is nearer. The distance to a class is the mean of that to its first `VOTERS` neighbours;
places that it does not fill count as the farthest neighbour. So a class must be both near and frequent, and the scale
of the distances does not matter. A plain count of votes has many ties, and suspects all that lies between two classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBORS = 20
VOTERS = 5  # neighbours of a class that its distance is the mean of
LEAST = 3  # neighbours that must have a label for it to be suggested against the given one
STEP = 1e-5  # of the farthest, by which each neighbour counts as farther: among equal rows the number decides
BLOCK = 4096  # rows that are looked at at a time


@dataclass(frozen=True, eq=False)
class Votes:
    """What the neighbours of each row say of its label; all of shape (N,).

    Attributes
    ----------
    suspicion : ndarray, float64
        own / (own + other), of the distances to the own class and to the nearest other: 0.5 where both are as near,
        or where nothing can be said: of a row without label, or one that is alone in its class.
    suggested : ndarray, int64
        The nearest other class; -1: no neighbour has another label.
    suspect : ndarray, bool
        The own class is less than half as much nearer than the farthest neighbour as the suggested class is, and
        that has at least three of the neighbours.
    disagreement : ndarray, float64
        The share of labelled neighbours with another label; 0 where none is labelled.
    """

    suspicion: np.ndarray
    suggested: np.ndarray
    suspect: np.ndarray
    disagreement: np.ndarray


def of(near: np.ndarray, far: np.ndarray, codes: np.ndarray) -> Votes:
    """Have the nearest rows vote.

    Parameters
    ----------
    near : ndarray of shape (N, k), integer
        The rows nearest to each, the nearest first; the row itself: no more are known.
    far : ndarray of shape (N, k)
        Their distances.
    codes : ndarray of shape (N,), int64
        The class of each row; -1: it has none.
    """
    rows, sizes = len(codes), np.bincount(codes[codes >= 0], minlength=1)
    votes = Votes(np.full(rows, 0.5), np.full(rows, -1), np.zeros(rows, bool), np.zeros(rows))
    for start in range(0, rows, BLOCK):
        some = slice(start, min(start + BLOCK, rows))
        own, ids = codes[some], near[some]
        labels = np.where(ids == np.arange(some.start, some.stop)[:, None], -1, codes[ids])
        size = np.where(own >= 0, sizes[own], 0)
        distances = np.maximum(far[some], 0, dtype=np.float64)
        farthest = np.where(distances[:, -1:] > 0, distances[:, -1:], 1)
        distances += STEP * farthest * np.arange(1, ids.shape[1] + 1)
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
    best = to_label.argmin(1)
    there = np.isfinite(to_label[rows, best])
    to_other = np.where(there, to_label[rows, best], farthest)
    known = size > 1
    votes.suspicion[some] = np.where(known, to_own / (to_own + to_other), 0.5)
    votes.suggested[some] = np.where(there, labels[rows, best], -1)
    many = alike[rows, best].sum(1) >= LEAST
    votes.suspect[some] = known & there & many & (to_own > (to_other + farthest) / 2)
    share = (labelled & ~mine).sum(1) / np.maximum(labelled.sum(1), 1)
    votes.disagreement[some] = np.where(own >= 0, share, 0.0)
