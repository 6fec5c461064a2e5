"""t-SNE as cuML computes it: the search for each row's bandwidth, the affinities, the gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

TOLERANCE = 1e-5
FLT_EPSILON = np.finfo(np.float32).eps


def search(distances: np.ndarray, perplexity: float, max_iter: int) -> np.ndarray:
    """Return P_j|i by cuML's bisection on beta: in float32, the point itself counted like any other.

    A row that has come within the tolerance stays as it is; others have the P of their last step.
    """
    rows = len(distances)
    wanted = np.float32(np.log(np.float32(perplexity)))
    beta = np.ones(rows, np.float32)
    low, high = np.full(rows, -np.inf, np.float32), np.full(rows, np.inf, np.float32)
    P = np.zeros_like(distances)
    going = np.arange(rows)
    for _ in range(max_iter):
        D, b = distances[going], beta[going]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            p = np.exp(-D * b[:, None])
            total = FLT_EPSILON + p.sum(axis=1, dtype=np.float32)
            p *= (np.float32(1) / total)[:, None]
            too_much = np.log(total) + b * (D * p).sum(axis=1, dtype=np.float32) - wanted
        P[going] = p
        open_ = np.abs(too_much) > TOLERANCE
        open_ |= np.isnan(too_much)
        going, b, more = going[open_], b[open_], (too_much > 0)[open_]
        if not len(going):
            break
        low[going[more]], high[going[~more]] = b[more], b[~more]
        up, down = high[going], low[going]
        with np.errstate(invalid="ignore", over="ignore"):
            larger = np.where(np.isinf(up), b * np.float32(2), (b + up) * np.float32(0.5))
            smaller = np.where(np.isinf(down), b * np.float32(0.5), (b + down) * np.float32(0.5))
        beta[going] = np.where(more, larger, smaller)
    return P


def affinities(indices: np.ndarray, distances: np.ndarray, perplexity: float, max_iter: int) -> sparse.csr_matrix:
    """Return the symmetric affinities, P/2n + Pᵀ/2n."""
    rows, k = indices.shape
    P = search(distances, perplexity, max_iter) * np.float32(1 / (2 * rows))
    starts = np.arange(0, rows * k + 1, k)
    one_sided = sparse.csr_matrix((P.ravel(), indices.ravel(), starts), shape=(rows, rows))
    both = sparse.csr_matrix(one_sided + one_sided.T)
    both.sort_indices()
    return both


def layout(P: sparse.csr_matrix, start: np.ndarray, model: Any) -> tuple[np.ndarray, float, int]:
    """Return coordinates, what cuML tells as divergence, and iterations, by scikit-learn's gradient descent.

    scikit-learn's gradient has a factor 4 that cuML's has not, so its rate is a fourth of cuML's.
    """
    from sklearn.manifold._t_sne import _gradient_descent, _kl_divergence_bh

    P = sparse.csr_matrix(P, dtype=np.float32)
    first = min(model.exaggeration_iter, model.max_iter)
    shared: dict[str, Any] = {
        "n_iter_check": 50,
        "n_iter_without_progress": model.max_iter,
        "min_gain": 0.01,
        "min_grad_norm": model.min_grad_norm,
        "verbose": 0,
        "kwargs": {"angle": model.angle, "skip_num_points": 0, "verbose": 0, "num_threads": 1},
        "objective": _kl_divergence_bh,
    }
    phases = (
        (0, first, model.pre_momentum, model._rates[0], model._exaggeration),
        (first, model.max_iter, model.post_momentum, model._rates[1], model.late_exaggeration),
    )
    coords, done = start.ravel(), 0
    for begin, end, momentum, rate, exaggeration in phases:
        if end > begin:
            coords, _, done = _gradient_descent(
                p0=coords,
                it=begin,
                max_iter=end,
                momentum=momentum,
                learning_rate=rate / 4,
                args=[P * np.float32(exaggeration), 1.0, len(start), 2],
                **shared,
            )
    coords = coords.reshape(len(start), 2)
    return coords, kl_divergence(P, coords) if done + 1 == model.max_iter else 0.0, done + 1


def kl_divergence(P: sparse.csr_matrix, coords: np.ndarray) -> float:
    """Return what cuML computes in its last iteration: over the stored pairs, of which it has each in both directions.

    tsne/utils.cuh, compute_kl_div: P and Q both sum to 1 over these. After an early stop it is 0 (fft_tsne.cuh).
    """
    stored = P.tocoo()
    Q = 1 / (1 + np.square(coords[stored.row] - coords[stored.col]).sum(1))
    p, q = stored.data / stored.data.sum(), np.maximum(Q / Q.sum(), FLT_EPSILON)
    return float((p * np.log(np.maximum(p, FLT_EPSILON) / q)).sum())
