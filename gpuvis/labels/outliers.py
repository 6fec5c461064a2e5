"""Combine all evidence on each row and its label: votes of neighbours, centroids, isolation and duplicates.

Isolation is the mean distance to the nearest rows (Angiulli, Pizzuti 2002, PKDD, 15).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Backend, Planned
from gpuvis.backends.matrix import check_matrix, choose_for, label_codes
from gpuvis.errors import DataError
from gpuvis.labels import centroids, duplicates, votes
from gpuvis.labels.centroids import Similarities
from gpuvis.labels.votes import Votes
from gpuvis.settings import Settings, UmapSettings

MOST_CLASSES = 20_000  # each row is compared with the centroids of all classes
NEAR = 0.1  # near-duplicates are at most this far apart, as a share of the median distance to the nearest distinct row


@dataclass(frozen=True, eq=False)
class Outliers:
    """The scores of each row; arrays of shape (N,).

    Attributes
    ----------
    similarities : Similarities
        Cosine similarities to the centroids of classes.
    votes : Votes
        The votes of the nearest rows on the label.
    isolation : ndarray, float64
        Mean cosine distance to the nearest rows; NaN for a row of zeros.
    near_duplicates, near_duplicates_other_label : ndarray, int64
        How many other rows are nearly equal to the row, directly or through a chain of nearly equal rows, and how many
        of them have another label. -1 for a row of zeros; the second also for a row without a label.
    near_duplicate_row : ndarray, int64
        A near-duplicate, if possible with another label: the nearest one, or the first one if none is among the
        nearest rows. -1 if there is no near-duplicate.
    duplicates, duplicates_other_label : ndarray, int64
        How many other rows are equal to the row, and how many of them have another label. The second is -1 for a row
        without a label.
    details : dict
        How the neighbours were searched, for the record.
    """

    similarities: Similarities
    votes: Votes
    isolation: np.ndarray
    near_duplicates: np.ndarray
    near_duplicates_other_label: np.ndarray
    near_duplicate_row: np.ndarray
    duplicates: np.ndarray
    duplicates_other_label: np.ndarray
    details: dict[str, Any]

    def counts(self) -> dict[str, int]:
        """Count the suspect labels, and the rows that have duplicates of each kind."""
        named = ("near_duplicates", "near_duplicates_other_label", "duplicates", "duplicates_other_label")
        return {
            "suspects": int(self.votes.suspect.sum()),
            **{name: int((getattr(self, name) > 0).sum()) for name in named},
        }


def search(threads: int | None = None) -> Settings:
    """Return settings with which a backend plans the search for neighbours; they request one map."""
    return Settings(umap=UmapSettings(n_neighbors=votes.NEIGHBORS + 1, metric="cosine"), threads=threads)


def find_outliers(X: Any, labels: Sequence[Any] | np.ndarray, backend: str = "auto") -> Outliers:
    """Score how well each sample sits with its label.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        The embeddings.
    labels : sequence of length N
        The class of each row: a number or a string. A negative number or an empty string is no class.
    backend : {"auto", "gpu", "cpu"}, default="auto"

    Returns
    -------
    Outliers
        Arrays of shape (N,). `votes.suspicion` is the score by which `gpuvis outliers` sorts, `votes.suspect` says
        which labels are probably wrong.

    Raises
    ------
    DataError
        X is not a matrix of finite numbers, the labels do not fit it, or there are too many different ones.
    NoGpuError
        "gpu" was requested, and there is none.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8)) + 9 * np.eye(3, 8).repeat(20, 0)
    >>> labels = ["cat"] * 20 + ["dog"] * 20 + ["fox"] * 20
    >>> labels[5] = "fox"
    >>> outliers = gpuvis.find_outliers(X, labels, backend="cpu")
    >>> int(outliers.votes.suspicion.argmax()), bool(outliers.votes.suspect[5])
    (5, True)
    """
    selected = choose_for(X, backend)
    matrix, planned, _ = check_matrix(X, search(), selected)
    codes = label_codes(labels, len(matrix))
    try:
        with selected.working(planned.plan):
            return measure(matrix, codes, selected, planned)
    except DataError as error:
        raise DataError(f"X {error}") from None


def measure(X: Any, codes: np.ndarray, backend: Backend, planned: Planned) -> Outliers:
    """Score the label of every row.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    codes : ndarray of shape (N,), int64
        The class of each row; -1 for a row without one.
    backend : Backend
    planned : Planned
        The plan for the settings of `search`.

    Returns
    -------
    Outliers

    Raises
    ------
    DataError
        There are more than `MOST_CLASSES` different labels, so they are hardly classes.
    """
    if codes.max(initial=-1) >= MOST_CLASSES:
        counted = f"{int(codes.max()) + 1:,} different labels in {len(codes):,} rows"
        raise DataError(f"has {counted}; expected classes, {MOST_CLASSES:,} at most")
    plan, largest = planned
    scale = arrays.scale(largest, backend.SAFE)
    similarities = centroids.measure(X, codes, scale, backend)
    nonzero = similarities.nonzero
    (search_plan,) = plan.graphs.values()  # one, since `search` requests one map
    graph = backend.neighbors(backend.load(X, scale, plan), search_plan)
    # The graph may have more columns than are needed; or fewer, if there are few rows.
    count = min(votes.NEIGHBORS + 1, graph.indices.shape[1])
    indices, distances = (backend.to_numpy(part)[:, 1:] for part in graph.nearest(count))
    equal, labels = duplicates.groups(X), np.where(nonzero, codes, -1)  # rows of zeros have no cosines to judge by
    limit = _near_duplicate_distance(distances[nonzero], backend.ROUNDING)
    close = (distances <= limit) & nonzero[:, None] & nonzero[indices] & (indices != np.arange(len(codes))[:, None])
    nearly_equal = duplicates.joined(equal, indices, close)
    others, other_label = duplicates.counts(nearly_equal, labels)
    return Outliers(
        similarities,
        votes.of(indices, distances, labels, backend.ROUNDING),
        np.where(nonzero, distances.mean(1, dtype=np.float64), np.nan),
        np.where(nonzero, others, -1),
        other_label,
        np.where(nonzero, _near_duplicate(nearly_equal, indices, close, labels), -1),
        *duplicates.counts(equal, codes),
        {"metric": "cosine", "k": indices.shape[1], "near_duplicate_distance": limit, "search": graph.details},
    )


def _near_duplicate_distance(distances: np.ndarray, rounding: float) -> float:
    """Return the distance up to which two rows are near-duplicates.

    It is a share of the median distance to the nearest row that is not a copy. `distances`: to the neighbours of each
    row, ascending, (n, k).
    """
    distinct = distances > rounding
    nearest = np.take_along_axis(distances, distinct.argmax(1)[:, None], 1)[distinct.any(1)]
    return max(rounding, NEAR * float(np.median(nearest)) if len(nearest) else 0.0)


def _near_duplicate(groups: np.ndarray, indices: np.ndarray, close: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each row another row of its group, if possible with another label; -1 if the row is alone.

    It is the nearest close neighbour that qualifies; else the first row of the group. `indices`, (N, k): the neighbours
    of each row; `close`, (N, k): whether each neighbour is close to the row.
    """
    rows = np.arange(len(codes))
    differs = close & (codes[indices] != codes[:, None]) & (codes[indices] >= 0) & (codes >= 0)[:, None]
    with_other_label, with_any_label = (
        np.where(wanted.any(1), indices[rows, wanted.argmax(1)], duplicates.another(groups, keys))
        for wanted, keys in ((differs, codes), (close, rows))
    )
    return np.where(with_other_label >= 0, with_other_label, with_any_label)
