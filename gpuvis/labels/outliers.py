"""Scores of how well each label fits its row: neighbours' votes, centroids, isolation, duplicates.

Isolation is the mean distance to the nearest rows (Angiulli, Pizzuti 2002, PKDD, 15).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Backend, Plan
from gpuvis.errors import DataError
from gpuvis.labels import centroids, duplicates, votes
from gpuvis.labels.centroids import Similarities
from gpuvis.labels.votes import Votes
from gpuvis.settings import Settings, UmapSettings

MOST_CLASSES = 20_000  # each row is compared with the centroids of all
NEAR = 0.1  # of the median distance to the nearest row that is no copy: two rows as near as that are near-duplicates


@dataclass(frozen=True, eq=False)
class Outliers:
    """What was found of each row; arrays of shape (N,).

    Attributes
    ----------
    similarities : Similarities
        To the centroids of classes.
    votes : Votes
        Of the nearest rows on the label.
    isolation : ndarray
        Mean distance, one minus the cosine, to the nearest rows; NaN for a row of zeros.
    near_duplicates, near_duplicates_other_label : ndarray, int64
        How many other rows are as good as equal, or held together with it by a chain of such rows, and how many of
        these have another label. -1: for a row of zeros; the latter also for one without a label.
    near_duplicate_row : ndarray, int64
        One of those with another label, or else of all of them: the nearest, or if none is among the nearest rows, the
        first. -1: there is none.
    duplicates, duplicates_other_label : ndarray, int64
        How many other rows are equal, and how many of these have another label; -1 for a row without one.
    details : dict
        What is to be recorded of the search.
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
        """Return how many rows there are of each kind that is worth a look."""
        named = ("near_duplicates", "near_duplicates_other_label", "duplicates", "duplicates_other_label")
        return {
            "suspects": int(self.votes.suspect.sum()),
            **{name: int((getattr(self, name) > 0).sum()) for name in named},
        }


def search(threads: int | None = None) -> Settings:
    """Return the settings by which the neighbours are searched, as for a map."""
    return Settings(umap=UmapSettings(n_neighbors=votes.NEIGHBORS + 1, metric="cosine"), threads=threads)


def measure(X: Any, codes: np.ndarray, backend: Backend, known: tuple[Plan, float]) -> Outliers:
    """Look at every row of a matrix and its label.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    codes : ndarray of shape (N,), int64
        The class of each row; -1: it has none.
    backend : Backend
    known : tuple
        The plan of `search`, and the largest value in size.

    Raises
    ------
    DataError
        The labels are no classes: there are nearly as many as rows.
    """
    if codes.max(initial=-1) >= MOST_CLASSES:
        labels = f"{int(codes.max()) + 1:,} different labels in {len(codes):,} rows"
        raise DataError(f"has {labels}; expected classes, {MOST_CLASSES:,} at most")
    plan, largest = known
    scale = arrays.scale(largest, backend.SAFE)
    similarities = centroids.measure(X, codes, scale, backend)
    directed = similarities.directed
    (how,) = plan.graphs.values()  # `search` asks for one map
    graph = backend.neighbors(backend.load(X, scale, plan), how)
    count = min(votes.NEIGHBORS + 1, graph.indices.shape[1])  # there may be more, or fewer rows
    near, far = (backend.to_numpy(part)[:, 1:] for part in graph.nearest(count))
    equal, pointed = duplicates.groups(X), np.where(directed, codes, -1)  # rows of zeros have no cosines to judge by
    limit = _limit(far[directed], backend.ROUNDING)
    close = (far <= limit) & directed[:, None] & directed[near] & (near != np.arange(len(codes))[:, None])
    nearly = duplicates.joined(equal, near, close)
    many, unlike = duplicates.counts(nearly, pointed)
    return Outliers(
        similarities,
        votes.of(near, far, pointed, backend.ROUNDING),
        np.where(directed, far.mean(1, dtype=np.float64), np.nan),
        np.where(directed, many, -1),
        unlike,
        np.where(directed, _nearest_of(nearly, near, close, pointed), -1),
        *duplicates.counts(equal, codes),
        {"metric": "cosine", "k": near.shape[1], "near_duplicate_distance": limit, "search": graph.details},
    )


def _limit(far: np.ndarray, rounding: float) -> float:
    """Return the distance up to which two rows are near-duplicates: copies of a row do not count as its neighbours."""
    apart = far > rounding
    nearest = np.take_along_axis(far, apart.argmax(1)[:, None], 1)[apart.any(1)]
    return max(rounding, NEAR * float(np.median(nearest)) if len(nearest) else 0.0)


def _nearest_of(groups: np.ndarray, near: np.ndarray, close: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each row one of its group, with another label if there is one: the nearest, if it is so near."""
    rows = np.arange(len(codes))
    differs = close & (codes[near] != codes[:, None]) & (codes[near] >= 0) & (codes >= 0)[:, None]
    found = [
        np.where(some.any(1), near[rows, some.argmax(1)], duplicates.another(groups, keys))
        for some, keys in ((differs, codes), (close, rows))
    ]
    return np.where(found[0] >= 0, *found)
