"""Data to draw maps of, and how good a map is, computed on the host by plain definitions."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits, load_iris
from sklearn.manifold import trustworthiness
from sklearn.metrics import pairwise_distances

MOST_JUDGED = 5000  # trustworthiness takes all pairs


def digits(rows: int = 1797) -> np.ndarray:
    return load_digits().data[:rows].astype(np.float32)


def iris() -> np.ndarray:
    return load_iris().data.astype(np.float32)


def clusters(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Rows of length 1 in groups of groups, as embeddings of images by class: 10 groups of 10."""
    rng = np.random.default_rng(seed)
    near = rng.standard_normal((10, 1, columns)) + 0.7 * rng.standard_normal((10, 10, columns))
    X = near.reshape(100, columns)[rng.integers(0, 100, rows)] + 0.6 * rng.standard_normal((rows, columns))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def trust(X: np.ndarray, Y: np.ndarray, k: int = 15, metric: str = "euclidean") -> float:
    """Trustworthiness, of a sample of the rows if they are many."""
    chosen = np.random.default_rng(0).permutation(len(X))[:MOST_JUDGED] if len(X) > MOST_JUDGED else slice(None)
    return float(trustworthiness(X[chosen], Y[chosen], n_neighbors=k, metric=metric))


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the true neighbours that were found, whatever their order."""
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(found, true, strict=True)])) / true.shape[1]


def true_neighbors(X: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest rows of each row, itself first."""
    D = pairwise_distances(X.astype(np.float64))
    np.fill_diagonal(D, -1)
    return np.argsort(D, axis=1, kind="stable")[:, :k]


def divergence(X: np.ndarray, Y: np.ndarray, perplexity: float) -> float:
    """Kullback-Leibler divergence of a t-SNE map from the affinities of X (van der Maaten 2014, over 3u neighbours)."""
    rows, k = len(X), int(3 * perplexity + 1)
    D = pairwise_distances(X.astype(np.float64), metric="sqeuclidean")
    np.fill_diagonal(D, np.inf)
    at = np.argsort(D, axis=1)[:, :k]
    near = np.take_along_axis(D, at, 1)
    P = np.zeros((rows, rows))
    np.put_along_axis(P, at, _probabilities(near - near[:, :1], perplexity), 1)
    P = (P + P.T) / (2 * rows)
    Q = 1 / (1 + pairwise_distances(Y.astype(np.float64), metric="sqeuclidean"))
    np.fill_diagonal(Q, 0)
    some = P > 0
    return float((P[some] * np.log(P[some] / (Q / Q.sum())[some])).sum())


def _probabilities(D: np.ndarray, perplexity: float) -> np.ndarray:
    """Return exp(-b D) of each row, summing to 1, with b such that the perplexity is the one asked for."""
    low, high = np.full(len(D), -50.0), np.full(len(D), 50.0)  # log b
    scale = D.mean(1, keepdims=True) + 1e-300
    for _ in range(80):
        middle = (low + high) / 2
        p = np.exp(-np.exp(middle)[:, None] * D / scale)
        p /= p.sum(1, keepdims=True)
        entropy = -(p * np.log(p + 1e-300)).sum(1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return p
