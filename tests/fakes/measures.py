"""Data to draw maps of, and how good a map is, computed on the host by plain definitions."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from sklearn.datasets import load_digits, load_iris
from sklearn.manifold import trustworthiness
from sklearn.metrics import pairwise_distances

MOST_JUDGED = 5000  # trustworthiness takes all pairs
MOST_VALUES = 64 << 20  # distances that are held at a time


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


def label_accuracy(Y: np.ndarray, labels: np.ndarray, k: int = 15) -> float:
    """Share of points whose label is the most frequent one among their k neighbours in the map."""
    neighbours = true_neighbors(Y, k + 1)[:, 1:]
    votes = np.apply_along_axis(np.bincount, 1, labels[neighbours], minlength=int(labels.max()) + 1)
    return float((votes.argmax(1) == labels).mean())


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the true neighbours that were found, whatever their order."""
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(found, true, strict=True)])) / true.shape[1]


def true_neighbors(X: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest rows of each row, itself first."""
    D = pairwise_distances(X.astype(np.float64))
    np.fill_diagonal(D, -1)
    return np.argsort(D, axis=1, kind="stable")[:, :k]


def ranks(X: np.ndarray, maps: list[np.ndarray], anchors: np.ndarray, k: int = 15) -> list[np.ndarray]:
    """Of each anchor's k neighbours in each map: their ranks (1, 2, …) among all rows of X by euclidean distance.

    Only a block of anchors × rows is held at a time, whatever the number of rows, and X may be mapped and of any type.
    """
    rows, found = len(X), [np.empty((len(anchors), k), np.int64) for _ in maps]
    trees = [cKDTree(Y) for Y in maps]
    step = max(1, MOST_VALUES // rows)
    for start in range(0, len(anchors), step):
        some = anchors[start : start + step]
        D = squared_distances(X, some)
        D[np.arange(len(some)), some] = np.inf
        at = [_others(tree.query(Y[some], k + 1)[1], some) for tree, Y in zip(trees, maps, strict=True)]
        for i, row in enumerate(D):
            near = [row[of_map[i]] for of_map in at]
            row.sort()
            for one, values in zip(found, near, strict=True):
                one[start + i] = 1 + np.searchsorted(row, values)
    return found


def squared_distances(X: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the squared euclidean distances of some rows to all rows, float32."""
    shift = X[anchors[0]].astype(np.float32)  # so that a mean far from zero costs no digits
    A = X[anchors].astype(np.float32) - shift
    D = np.empty((len(anchors), len(X)), np.float32)
    for start in range(0, len(X), 16_384):
        block = X[start : start + 16_384].astype(np.float32) - shift
        D[:, start : start + len(block)] = (block**2).sum(1) - 2 * (A @ block.T)
    D += (A**2).sum(1)[:, None]
    return D


def _others(near: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Drop each anchor from its own neighbours, or the last of them where points coincide."""
    keep = near != anchors[:, None]
    keep[keep.all(1), -1] = False
    return near[keep].reshape(len(anchors), -1)


def recall_of_ranks(found: np.ndarray) -> float:
    """Share of the k nearest rows that are among the k nearest points of a map."""
    return float(np.mean(found <= found.shape[1]))


def trust_of_ranks(found: np.ndarray, rows: int) -> float:
    """Trustworthiness of a sample of anchors against all rows (Venna, Kaski 2001)."""
    k = found.shape[1]
    return 1 - 2 / (k * (2 * rows - 3 * k - 1)) * float(np.maximum(found - k, 0).sum(1).mean())


def triplets(X: np.ndarray, maps: list[np.ndarray], count: int = 200_000) -> list[float]:
    """Share of random triplets of rows of which the nearer pair is the same in X and in a map."""
    rng, right = np.random.default_rng(0), np.zeros(len(maps))
    for start in range(0, count, 10_000):
        some = rng.integers(0, len(X), (3, min(10_000, count - start)))
        true = _nearer(X, some)
        right += [(_nearer(Y, some) == true).sum() for Y in maps]
    return [float(one) for one in right / count]


def _nearer(X: np.ndarray, some: np.ndarray) -> np.ndarray:
    a, b, c = (X[rows].astype(np.float32) for rows in some)
    return ((a - b) ** 2).sum(1) < ((a - c) ** 2).sum(1)


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
