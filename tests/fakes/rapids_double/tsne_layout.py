"""t-SNE as cuML computes it: the search for each row's bandwidth, the affinities, the gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gpuvis.backends.cpu.affinities import csr_arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.tsne import exact_repulsion
from gpuvis.backends.parallel import in_ranges

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
    """Return coordinates, what cuML tells as divergence, and iterations, by the loops of the CPU backend.

    Their gradient has a factor 4 that cuML's has not, so their rate is a fourth of cuML's. As scikit-learn, and unlike
    the CPU backend, it stops where the gradient is small.
    """
    graph = csr_arrays(P)
    points = np.array(start, np.float32, order="C")
    after, force, update, gain = (np.full_like(points, value) for value in (0, 0, 0, 1))
    first = min(model.exaggeration_iter, model.max_iter)
    phases = (
        (0, first, model.pre_momentum, model._rates[0], model._exaggeration),
        (first, model.max_iter, model.post_momentum, model._rates[1], model.late_exaggeration),
    )
    done = 0
    for begin, end, momentum, rate, exaggeration in phases:
        update[:], gain[:] = 0, 1
        for done in range(begin, end):
            checked = (done + 1) % 50 == 0
            before = update.copy() if checked else update
            pulls = 4 * exaggeration, -4 / max(exact_repulsion(points, force), 1e-30)
            in_ranges(
                loops.tsne_step, len(points), graph, points, force, pulls, (rate / 4, momentum), update, gain, after
            )
            points, after = after, points
            if checked and np.linalg.norm((update - momentum * before) / (rate / 4 * gain)) <= model.min_grad_norm:
                break
    return points, kl_divergence(P, points) if done + 1 == model.max_iter else 0.0, done + 1


def kl_divergence(P: sparse.csr_matrix, coords: np.ndarray) -> float:
    """Return what cuML computes in its last iteration: over the stored pairs, of which it has each in both directions.

    tsne/utils.cuh, compute_kl_div: P and Q both sum to 1 over these. After an early stop it is 0 (fft_tsne.cuh).
    """
    stored = P.tocoo()
    Q = 1 / (1 + np.square(coords[stored.row] - coords[stored.col]).sum(1))
    p, q = stored.data / stored.data.sum(), np.maximum(Q / Q.sum(), FLT_EPSILON)
    return float((p * np.log(np.maximum(p, FLT_EPSILON) / q)).sum())
