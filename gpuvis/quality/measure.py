"""Compute the measures of a map: recall, trustworthiness, continuity, triplets, label accuracy.

Every measure refers to the original columns, even if the map was made from their principal components. Some rows, the
anchors, are compared with all rows. Up to `EXACT_ROWS` rows all of them are anchors, unless that would take long; of
more rows, a random sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Backend, Planned
from gpuvis.backends.matrix import check_matrix, choose_for, label_codes
from gpuvis.errors import DataError
from gpuvis.quality import ranks, triplets
from gpuvis.quality.ranks import Comparison, Space
from gpuvis.settings import METRICS, Settings, canonical_metric

K = 15  # neighbours
EXACT_ROWS, ANCHORS = 5_000, 1_000
FEWEST, WORK = 50, 2.5e9  # for metrics without matrix products: fewest anchors; most differences of values to compute
FAR, MOST = 10.0, 0.9  # a point is flung away if it is FAR times as far from the middle as the quantile MOST of points


def sample(rows: int, columns: int, metric: str) -> np.ndarray:
    """Choose the anchors of a matrix: all rows, if comparing them takes only a moment, or else a random sample.

    Returns
    -------
    ndarray of shape (m,), int64
        Indices of rows, ascending.
    """
    most = rows if rows <= EXACT_ROWS else ANCHORS
    if not METRICS[metric].by_products:
        most = min(most, max(FEWEST, int(WORK / (rows * columns))))
    if most >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


class Quality(NamedTuple):
    """The quality of a map.

    Attributes
    ----------
    measures : dict
        See `measure_map`.
    recall : ndarray of shape (N,), float32
        The share of each point's k nearest neighbours that is among its k nearest on the map; NaN for points that are
        not anchors.
    """

    measures: dict[str, Any]
    recall: np.ndarray


def measure(
    X: Any,
    coords: np.ndarray,
    labels: Sequence[Any] | np.ndarray | None = None,
    metric: str = "euclidean",
    backend: str = "auto",
) -> Quality:
    """Measure how far to trust a map.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        The embeddings.
    coords : array of shape (N, 2)
        The map; row i belongs to row i of X.
    labels : sequence of length N, optional
        The class of each row: a number or a string. A negative number or an empty string is no class.
    metric : str, default="euclidean"
        Measures by this metric are returned in addition to those by euclidean distances.
    backend : {"auto", "gpu", "cpu"}, default="auto"

    Returns
    -------
    Quality
        `measures`, described in `gpuvis.quality.measure.measure_map`, and the `recall` of each point.

    Raises
    ------
    DataError
        X is not a matrix of finite numbers, or coords or labels do not fit it.
    SettingsError
        There is no such metric.
    NoGpuError
        "gpu" was requested, and there is none.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> quality = gpuvis.measure(X, X[:, :2], backend="cpu")
    >>> sorted(quality.measures["euclidean"]["map"])[:3]
    ['continuity', 'continuity_se', 'recall']
    >>> quality.recall.shape
    (60,)
    """
    metric = canonical_metric("metric", metric)
    selected, settings = choose_for(X, backend), Settings()
    matrix, planned, _ = check_matrix(X, settings, selected)
    points = np.asarray(coords, np.float32)
    if points.shape != (len(matrix), 2) or not np.isfinite(points).all():
        raise DataError(f"coords has shape {points.shape}; expected finite numbers of shape {(len(matrix), 2)}")
    codes = None if labels is None else label_codes(labels, len(matrix))
    with selected.working(planned.plan):
        return measure_map(matrix, points, codes, metric, selected, planned)


def measure_map(
    X: Any,
    coords: np.ndarray,
    labels: np.ndarray | None,
    metric: str,
    backend: Backend,
    planned: Planned,
    principal: Any = None,
) -> Quality:
    """Measure the quality of a map on a backend.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        The original columns, all finite.
    coords : ndarray of shape (N, 2)
        The map.
    labels : ndarray of shape (N,), int64, or None
        The class of each row; -1 for a row without one.
    metric : str
        The metric of the map. Measures by this metric are returned in addition to those by euclidean distances.
    backend : Backend
    planned : Planned
    principal : array of shape (N, 2), optional
        The first two principal components, if they are already computed.

    Returns
    -------
    measures : dict
        `k`, the number of neighbours; `anchors`, how many rows are compared with all rows; `sampled`, whether the
        anchors are a sample; `flung`, how many points lie far outside the map; `metric`, that of the map; and for each
        metric a dict with the keys "map", "pca" (the map of the first two principal components) and "original". "map"
        and "pca" hold `recall` of the k nearest neighbours, `trustworthiness` and `continuity` (Venna, Kaski 2001,
        ICANN, 485), `triplets`, the share of random triplets whose order of distances is preserved (Wang et al. 2021,
        JMLR 22:201), and `spearman`, the rank correlation of distances (Kobak, Berens 2019, Nature Communications
        10:5416). All three hold `label_accuracy`, the share of labelled anchors whose label wins the vote of the k
        nearest neighbours, if there are at least two labels. Each key with `_se` added is the standard error: from the
        choice of anchors and, for triplets and correlations, of distances; 0 where nothing is sampled.
    recall : ndarray of shape (N,), float32
        Recall of the neighbours of each point by `metric`; NaN for rows that are no anchors.
    """
    plan, largest = planned
    (rows, columns), scale = X.shape, arrays.scale(largest, backend.SAFE)
    anchors, k = sample(rows, columns, metric), min(K, (rows - 1) // 2)
    unseen, none = 1 - len(anchors) / rows, np.empty((len(anchors), 0), np.int64)
    principal = pca_map(X, backend, scale, plan) if principal is None else backend.to_host(principal)
    planes = {name: _plane(Y, backend, unseen == 0) for name, Y in (("map", coords), ("pca", principal))}
    on_planes = {name: ranks.compare(plane, anchors, none, none, k)[0].nearest for name, plane in planes.items()}
    drawn, neighbors = triplets.draw(len(anchors), rows), np.concatenate([*on_planes.values()], 1)
    originals: dict[str, Comparison] = {}
    for space in ranks.spaces(X, metric, anchors, scale, backend):
        originals |= zip(space.metrics, ranks.compare(space, anchors, neighbors, drawn, k), strict=True)
    vote = partial(_votes, labels, anchors)
    measures: dict[str, Any] = {
        name: {"original": _means(vote(original.nearest), unseen)} for name, original in originals.items()
    }
    recall = np.full(rows, np.nan, np.float32)
    true = np.concatenate([original.nearest for original in originals.values()], 1)  # the neighbours to be kept
    for p, (plane_name, plane) in enumerate(planes.items()):
        (on_map,) = ranks.compare(plane, anchors, true, drawn, 0)
        for m, (name, original) in enumerate(originals.items()):
            closer, closer_on_map = original.closer[:, p * k : (p + 1) * k], on_map.closer[:, m * k : (m + 1) * k]
            of_anchors = {"recall": (closer < k).mean(1), "trustworthiness": _trust(closer, rows)}
            if plane_name == "map":
                recall[anchors] = of_anchors["recall"]  # the metric of the map comes last, so its recall stays
            measures[name][plane_name] = {
                **_means(of_anchors | {"continuity": _trust(closer_on_map, rows)}, unseen),
                **triplets.scores(original.distances, on_map.distances, drawn, anchors, rows),
                **_means(vote(on_planes[plane_name]), unseen),
            }
    general = {"k": k, "anchors": len(anchors), "sampled": unseen > 0, "flung": count_flung(coords), "metric": metric}
    return Quality({**general, **measures}, recall)


def recall_of_points(coords: np.ndarray, nearest: np.ndarray, backend: Backend) -> np.ndarray:
    """Return for each point the share of its original neighbours that are among its k nearest points on the map.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    nearest : ndarray of shape (N, k), integer
        The original neighbours of each row, without the row itself.
    backend : Backend

    Returns
    -------
    ndarray of shape (N,), float32
    """
    anchors, none = np.arange(len(nearest)), np.empty((len(nearest), 0), np.int64)
    on_map = ranks.compare(_plane(coords, backend), anchors, none, none, nearest.shape[1])[0].nearest
    kept = sum((nearest == column[:, None]).any(1).astype(np.float32) for column in on_map.T)
    shares: np.ndarray = kept / np.float32(nearest.shape[1])
    return shares


def _plane(coords: np.ndarray, backend: Backend, precise: bool = False) -> Space:
    """Return the points of a map as a space to compare."""
    return Space(coords, ("euclidean",), backend, arrays.scale(float(abs(coords).max()), backend.SAFE), precise)


def pca_map(X: Any, backend: Backend, scale: float, plan: Any) -> np.ndarray:
    """Return the first two principal components, (N, 2), float32; of one column, that column and zeros.

    If the backend's PCA needs the whole matrix in memory, so does this function.
    """
    if X.shape[1] == 1:
        values = backend.to_host(backend.as_array(X, scale))
        return np.hstack([values, np.zeros_like(values)])
    scores, _ = backend.pca(X, 2, 0, scale, plan)
    return backend.to_host(scores)


def count_flung(coords: np.ndarray) -> int:
    """Count the points that were flung far outside the map, (N, 2).

    A point counts if its distance from the middle is more than `FAR` times the quantile `MOST` of these distances.
    """
    distances = np.maximum(*(np.abs(axis - np.median(axis)) for axis in np.ascontiguousarray(coords.T)))
    return int((distances > FAR * max(float(np.quantile(distances, MOST)), 1e-30)).sum())


def _trust(closer: np.ndarray, rows: int) -> np.ndarray:
    """Return the trustworthiness of the neighbourhood of each anchor; the mean is that of the map.

    `closer`, (m, k): for each of the anchor's neighbours in one space, how many rows are closer to the anchor in the
    other space.
    """
    k = closer.shape[1]
    trust: np.ndarray = 1 - 2 / (k * (2 * rows - 3 * k - 1)) * np.maximum(closer + 1 - k, 0).sum(1)
    return trust


def _votes(labels: np.ndarray | None, anchors: np.ndarray, nearest: np.ndarray) -> dict[str, np.ndarray]:
    """Return whether the label of each labelled anchor wins the vote of its labelled neighbours.

    Nothing is returned if there are fewer than two labels.
    """
    if labels is None or not (labels[labels >= 0] != labels.max(initial=-1)).any():
        return {}
    of_neighbors, own = labels[nearest], labels[anchors]
    votes = (of_neighbors[:, :, None] == of_neighbors[:, None, :]).sum(2) * (of_neighbors >= 0)
    most = votes == votes.max(1, keepdims=True)
    winner = np.where(most, of_neighbors, np.iinfo(np.int64).max).min(1)  # with equal votes, the smallest label
    return {"label_accuracy": (winner == own)[own >= 0]}


def _means(of_anchors: dict[str, np.ndarray], unseen: float) -> dict[str, float]:
    """Return the mean of each measure over the anchors, with its standard error as a sample of all rows.

    `unseen`, the share of rows that are no anchors, is the finite population correction: the fewer rows are left out,
    the smaller is the error (Cochran 1977, Sampling Techniques, chapter 2).
    """
    means = {}
    for name, values in of_anchors.items():
        means[name] = float(values.mean()) if len(values) else 0.0
        means[f"{name}_se"] = float(values.std(ddof=1) * (unseen / len(values)) ** 0.5) if len(values) > 1 else 0.0
    return means
