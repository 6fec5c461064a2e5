"""How far to trust a map: what it keeps of the distances in the original space, beside a plain PCA map.

All is measured against the original columns, never against what PCA left of them. Up to `EXACT_ROWS` rows all of them
are anchors; above, a sample of them is compared with all rows, block by block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis import comparisons, matrix, survey
from gpuvis.backends.base import Array, Backend, Findings
from gpuvis.distances import Asked

K = 15  # neighbours
EXACT_ROWS, ANCHORS = 5_000, 2_000
POOL = 1_000  # rows that distances are drawn from, where not all rows are anchors
POINTS = 1 << 16  # whose neighbours are compared at a time
FAR, MOST = 10.0, 0.9  # times as far as most points: there, a point has been flung away


def sample(rows: int) -> np.ndarray | None:
    """Return the rows of a matrix of so many that are compared with all, rising; None: all of them."""
    if rows <= EXACT_ROWS:
        return None
    return np.sort(np.random.default_rng(0).choice(rows, ANCHORS, replace=False))


def measure(
    X: Any,
    coords: np.ndarray,
    labels: np.ndarray | None,
    metric: str,
    backend: Backend,
    known: tuple[Any, float],
    findings: Findings | None = None,
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
    findings : Findings, optional
        Of the fit; `near`, of the `sample`.

    Returns
    -------
    told : dict
        `k`, `anchors`, `sampled`, `flung`, how many points lie far outside, `metric`, that of the fit if it is one of
        those measured, else euclidean; and for each metric, of "map" and of "pca",
        the map of the first two principal components: `recall` of the k nearest neighbours, `trustworthiness` and
        `continuity` (Venna, Kaski 2001, ICANN, 485), `triplets`, the share of random triplets whose order of distances
        is kept (Wang et al. 2021, JMLR 22:201), `spearman`, the rank correlation of distances (Kobak, Berens 2019,
        Nature Communications 10:5416), and `label_accuracy` of a vote of the k nearest, which stands at "original"
        too. `…_se`: standard errors, of the choice of anchors and, of triplets and correlations, of the distances too;
        0 where all are there. The share of the pool in the error of `trustworthiness`, where ranks are estimated
        (`ranks.tally`), is smaller and not in it.
    recall : ndarray of shape (N,), float32
        Of the neighbours of each point, by `metric`; NaN of those that are no anchors.
    """
    xp, rows, some = backend.xp, len(X), sample(len(X))
    anchors = np.arange(rows) if some is None else some
    k = min(K, (rows - 1) // 2)
    pool = anchors if some is None else np.sort(np.random.default_rng(2).choice(rows, min(rows, POOL), replace=False))
    scale, findings = matrix.scale(known[1], backend.SAFE), findings or Findings()
    principal = pca_map(X, backend, scale, known[0]) if findings.principal is None else findings.principal
    maps = {"map": coords, "pca": principal}
    planes = {name: _plane(Y, backend) for name, Y in maps.items()}
    near = {name: backend.ranks().nearest_on_map(boxed, xp.asarray(anchors), k) for name, (_, boxed) in planes.items()}
    likely = None if findings.near is None else findings.near[:, 1 : 1 + k]
    places = comparisons.places(len(anchors), len(pool))
    asked = Asked(X, scale, anchors, pool, places, near, likely, findings.scores, some is None)
    judge = _Judge(asked, planes, labels, backend)
    found: dict[str, Any] = {}
    recall = np.full(rows, np.nan, np.float32)
    for names, seen in survey.surveys(asked, metric, backend):
        kept, recall[anchors] = judge.of(seen)  # that of the fit comes last
        found |= dict.fromkeys(names, kept)
    about = {"k": k, "anchors": len(anchors), "sampled": some is not None, "flung": flung(coords)}
    return {**about, "metric": names[-1], **found}, recall


def recall_of_points(coords: np.ndarray, near: np.ndarray, backend: Backend) -> np.ndarray:
    """Return the share of the rows nearest to each, (N, k), that are among its k nearest on a map; (N,), float32."""
    rows, k = near.shape
    (_, boxed), found = _plane(coords, backend), np.empty(rows, np.float32)
    for start in range(0, rows, POINTS):
        some = np.arange(start, min(start + POINTS, rows))
        on_map = backend.to_indices(backend.ranks().nearest_on_map(boxed, backend.xp.asarray(some), k))
        found[some] = (near[some][:, :, None] == on_map[:, None, :]).any(2).mean(1)
    return found


def _plane(coords: Array, backend: Backend) -> tuple[Array, Any]:
    """Return the coordinates of a map on the device, (2, N), and the same in boxes."""
    there = backend.xp.asarray(coords * matrix.scale(float(abs(coords).max()), backend.SAFE), np.float32)
    return backend.xp.ascontiguousarray(there.T), backend.ranks().boxed(there)


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


class _Judge:
    """Turn what the anchors see into numbers."""

    def __init__(
        self, asked: Asked, planes: dict[str, tuple[Array, Any]], labels: np.ndarray | None, backend: Backend
    ) -> None:
        self._asked, self._planes, self._backend, self._xp = asked, planes, backend, backend.xp
        self._labels = labels if labels is not None and (labels[labels >= 0] != labels.max(initial=-1)).any() else None

    def of(self, seen: survey.Survey) -> tuple[dict[str, dict[str, float]], np.ndarray]:
        """Return what each map keeps of a survey, and the recall of each anchor on the map that is judged."""
        told, recall = {"original": self._votes(self._backend.to_indices(seen.near))}, {}
        asked = self._asked
        original = comparisons.Compared(self._backend.to_indices(seen.drawn), asked)
        drawn = self._xp.asarray(asked.pool[asked.places])
        for name, (coords, boxed) in self._planes.items():
            recall[name] = self._backend.to_indices(seen.kept[name]).mean(1)
            excess = self._excess(coords, boxed, seen.near, asked.near[name])
            told[name] = {
                **self._mean("recall", recall[name]),
                **self._mean("trustworthiness", self._trust(self._backend.to_indices(seen.excess[name]))),
                **self._mean("continuity", self._trust(self._backend.to_indices(excess))),
                **original.on(self._backend.to_indices(_squares(coords, asked.anchors, drawn, self._xp))),
                **self._votes(self._backend.to_indices(asked.near[name])),
            }
        return told, recall["map"]

    def _excess(self, coords: Array, boxed: Any, ids: Array, near: Array) -> Array:
        """Return how far ranks of some points on a map are above k, like `Survey.excess`; `near`: the k nearest."""
        xp, anchors, k = self._xp, self._asked.anchors, near.shape[1]
        limits = _squares(coords, anchors, ids, xp)
        closer = self._backend.ranks().closer_on_map(boxed, xp.asarray(anchors), limits)
        return xp.where(limits <= _squares(coords, anchors, near, xp).max(1)[:, None], 0, 1 + closer - k)

    def _trust(self, excess: np.ndarray) -> np.ndarray:
        """Return the trustworthiness of each anchor's neighbourhood; the mean is that of the map."""
        k, rows = excess.shape[1], len(self._asked.X)
        trust: np.ndarray = 1 - 2 / (k * (2 * rows - 3 * k - 1)) * excess.sum(1)
        return trust

    def _votes(self, near: np.ndarray) -> dict[str, float]:
        """Return the share of labelled anchors that have the label of most of their labelled neighbours."""
        if self._labels is None:
            return {}
        found, own = self._labels[near], self._labels[self._asked.anchors]
        votes = (found[:, :, None] == found[:, None, :]).sum(2) * (found >= 0)
        most = votes == votes.max(1, keepdims=True)
        chosen = np.where(most, found, np.iinfo(np.int64).max).min(1)  # of as many votes, the smaller label
        return self._mean("label_accuracy", (chosen == own)[own >= 0])

    def _mean(self, name: str, values: np.ndarray) -> dict[str, float]:
        sampled = len(self._asked.anchors) < len(self._asked.X) and len(values) > 1
        return {
            name: float(values.mean()) if len(values) else 0.0,
            f"{name}_se": float(values.std(ddof=1) / len(values) ** 0.5) if sampled else 0.0,
        }


def _squares(coords: Array, anchors: np.ndarray, ids: Array, xp: Any) -> Array:
    """Return the squared distances of anchors to some points of a map, as `closer_on_map` takes them."""
    x, y = (axis[ids] - axis[xp.asarray(anchors)][:, None] for axis in coords)
    return x**2 + y**2
