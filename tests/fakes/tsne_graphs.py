"""Graphs and starts for layouts of t-SNE."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from measures import true_neighbors
from sklearn.manifold._utils import _binary_search_perplexity


def joint(X: np.ndarray, perplexity: float = 30) -> scipy.sparse.csr_matrix:
    """Return the joint probabilities of van der Maaten 2014, as rows of a sparse matrix."""
    rows, k = len(X), min(int(3 * perplexity + 1), len(X) - 1)
    at = true_neighbors(X, k + 1)[:, 1:]
    squared = (
        np.square(X[:, None] - X[at]).sum(2)
        if rows < 2000
        else np.stack([np.square(X[i] - X[at[i]]).sum(1) for i in range(rows)])
    )
    p = _binary_search_perplexity(squared.astype(np.float32), float(perplexity), 0)
    P = scipy.sparse.csr_matrix((p.ravel(), at.ravel(), np.arange(0, rows * k + 1, k)), (rows, rows))
    P = (P + P.T).tocsr()
    return (P / P.sum()).astype(np.float32)


def joint_of_none(rows: int) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix((rows, rows), dtype=np.float32)


def random_start(rows: int, seed: int = 0) -> np.ndarray:
    return (1e-4 * np.random.default_rng(seed).standard_normal((rows, 2))).astype(np.float32)


def pca_start(X: np.ndarray) -> np.ndarray:
    Y = (X - X.mean(0)).astype(np.float64)
    Y = Y @ np.linalg.eigh(Y.T @ Y)[1][:, :-3:-1]
    return (1e-4 * Y / Y[:, 0].std()).astype(np.float32)
