"""Measure what a map keeps of the original distances, beside a plain PCA map.

All is measured against the original columns, never against what PCA left of them. Some rows, the anchors, are compared
with all: up to `EXACT_ROWS` all of them are anchors, unless that would take long; above, a sample.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Backend
from gpuvis.quality import ranks, triplets
from gpuvis.quality.ranks import Seen, Space
from gpuvis.settings import METRICS

K = 15  # neighbours
EXACT_ROWS, ANCHORS = 5_000, 1_000
FEWEST, WORK = 50, 2.5e9  # anchors, and differences of values, where a metric is no matter of matrix products
FAR, MOST = 10.0, 0.9  # times as far as most points: there, a point has been flung away


def sample(rows: int, columns: int, metric: str) -> np.ndarray:
    """Return which rows of a matrix are compared with all, rising: all of them, if that takes no more than a moment."""
    most = rows if rows <= EXACT_ROWS else ANCHORS
    if not METRICS[metric].by_products:
        most = min(most, max(FEWEST, int(WORK / (rows * columns))))
    if most >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def measure(
    X: Any,
    coords: np.ndarray,
    labels: np.ndarray | None,
    metric: str,
    backend: Backend,
    known: tuple[Any, float],
    principal: Any = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Measure a map.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        The original columns.
    coords : ndarray of shape (N, 2)
    labels : ndarray of shape (N,), int64, or None
        The class of each row; -1: it has none.
    metric : str
        Of the fit; values in it are given beside the euclidean ones.
    backend : Backend
    known : tuple
        The plan, and the largest value in size.
    principal : array of shape (N, 2), optional
        The first two principal components, if they are known.

    Returns
    -------
    measures : dict
        `k`, `anchors`, `sampled`, `flung`, how many points lie far outside, `metric`, that of the fit; and for each
        metric, of "map" and of "pca", the map of the first two principal components: `recall` of the k nearest
        neighbours, `trustworthiness` and `continuity` (Venna, Kaski 2001, ICANN, 485), `triplets`, the share of random
        triplets whose order of distances is kept (Wang et al. 2021, JMLR 22:201), `spearman`, the rank correlation of
        distances (Kobak, Berens 2019, Nature Communications 10:5416), and `label_accuracy` of a vote of the k nearest,
        which stands at "original" too. `…_se`: standard errors, of the choice of anchors and, of triplets and
        correlations, of the distances too; 0 where all are there.
    recall : ndarray of shape (N,), float32
        Of the neighbours of each point, by `metric`; NaN of those that are no anchors.
    """
    (rows, columns), scale = X.shape, arrays.scale(known[1], backend.SAFE)
    anchors, k = sample(rows, columns, metric), min(K, (rows - 1) // 2)
    unseen, none = 1 - len(anchors) / rows, np.empty((len(anchors), 0), np.int64)
    principal = pca_map(X, backend, scale, known[0]) if principal is None else backend.to_host(principal)
    planes = {place: _plane(Y, backend, unseen == 0) for place, Y in (("map", coords), ("pca", principal))}
    near = {place: ranks.compare(plane, anchors, none, none, k)[0].near for place, plane in planes.items()}
    drawn, near_on_either = triplets.draw(len(anchors), rows), np.concatenate([*near.values()], 1)
    seen: dict[str, Seen] = {}
    for space in ranks.spaces(X, metric, anchors, scale, backend):
        seen |= zip(space.metrics, ranks.compare(space, anchors, near_on_either, drawn, k), strict=True)
    vote = partial(_votes, labels, anchors)
    measures: dict[str, Any] = {name: {"original": _means(vote(one.near), unseen)} for name, one in seen.items()}
    recall, true = np.full(rows, np.nan, np.float32), np.concatenate([one.near for one in seen.values()], 1)
    for m, (place, plane) in enumerate(planes.items()):
        (on_map,) = ranks.compare(plane, anchors, true, drawn, 0)
        for e, (name, one) in enumerate(seen.items()):
            closer, closer_on_map = one.closer[:, m * k : (m + 1) * k], on_map.closer[:, e * k : (e + 1) * k]
            found = {"recall": (closer < k).mean(1), "trustworthiness": _trust(closer, rows)}
            if place == "map":
                recall[anchors] = found["recall"]  # that of the fit comes last
            measures[name][place] = {
                **_means(found | {"continuity": _trust(closer_on_map, rows)}, unseen),
                **triplets.kept(one.drawn, on_map.drawn, drawn, anchors, rows),
                **_means(vote(near[place]), unseen),
            }
    about = {"k": k, "anchors": len(anchors), "sampled": unseen > 0, "flung": flung(coords), "metric": metric}
    return {**about, **measures}, recall


def recall_of_points(coords: np.ndarray, near: np.ndarray, backend: Backend) -> np.ndarray:
    """Return the share of the rows nearest to each, (N, k), that are among its k nearest on a map; (N,), float32."""
    every, none = np.arange(len(near)), np.empty((len(near), 0), np.int64)
    on_map = ranks.compare(_plane(coords, backend), every, none, none, near.shape[1])[0].near
    found = sum((near == one[:, None]).any(1).astype(np.float32) for one in on_map.T)
    shares: np.ndarray = found / np.float32(near.shape[1])
    return shares


def _plane(coords: np.ndarray, backend: Backend, precise: bool = False) -> Space:
    """Return a map as a space."""
    return Space(coords, ("euclidean",), backend, arrays.scale(float(abs(coords).max()), backend.SAFE), precise)


def pca_map(X: Any, backend: Backend, scale: float, plan: Any) -> np.ndarray:
    """Return the first two principal components, (N, 2); where a PCA holds the matrix whole, this does too."""
    if X.shape[1] == 1:
        values = backend.to_host(backend.as_array(X, scale))
        return np.hstack([values, np.zeros_like(values)])
    return backend.to_host(backend.pca(X, 2, 0, scale, plan)[0])


def flung(coords: np.ndarray) -> int:
    """Return how many points are more than `FAR` times as far from the middle of a map as `MOST` of them are."""
    apart = np.maximum(*(np.abs(axis - np.median(axis)) for axis in np.ascontiguousarray(coords.T)))
    return int((apart > FAR * max(float(np.quantile(apart, MOST)), 1e-30)).sum())


def _trust(closer: np.ndarray, rows: int) -> np.ndarray:
    """Return the trustworthiness of each anchor's neighbourhood; the mean is that of the map.

    `closer`, (m, k): how many rows are closer to the anchor than each of its neighbours in the other space.
    """
    k = closer.shape[1]
    trust: np.ndarray = 1 - 2 / (k * (2 * rows - 3 * k - 1)) * np.maximum(closer + 1 - k, 0).sum(1)
    return trust


def _votes(labels: np.ndarray | None, anchors: np.ndarray, near: np.ndarray) -> dict[str, np.ndarray]:
    """Tell of each labelled anchor whether most of its labelled neighbours have its label, if there are two labels."""
    if labels is None or not (labels[labels >= 0] != labels.max(initial=-1)).any():
        return {}
    found, own = labels[near], labels[anchors]
    votes = (found[:, :, None] == found[:, None, :]).sum(2) * (found >= 0)
    most = votes == votes.max(1, keepdims=True)
    chosen = np.where(most, found, np.iinfo(np.int64).max).min(1)  # of as many votes, the smaller label
    return {"label_accuracy": (chosen == own)[own >= 0]}


def _means(each: dict[str, np.ndarray], unseen: float) -> dict[str, float]:
    """Return the means of what is known of each anchor, with standard errors of the choice of anchors.

    `unseen`: the share of rows that are not anchors; where few are not, the sample tells nearly all (Cochran 1977,
    Sampling Techniques, chapter 2).
    """
    means = {}
    for name, values in each.items():
        means[name] = float(values.mean()) if len(values) else 0.0
        means[f"{name}_se"] = float(values.std(ddof=1) * (unseen / len(values)) ** 0.5) if len(values) > 1 else 0.0
    return means
