"""What RAPIDS does with awkward data, as its sources say, and that no map suffers from it. On the double of RAPIDS."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from measures import clusters, recall, true_neighbors
from rapids_double.fixtures import rapids

import gpuvis
from gpuvis.backends import choose
from gpuvis.backends.plan import GraphPlan

__all__ = ["rapids"]
KINDS = {"exact": 1, "nn_descent": 1, "batched": 4}


def aimless(metric: str, rows: int = 200, of: int = 9) -> np.ndarray:
    """Return rows of which each ninth has no direction: of zeros for cosine, constant for correlation."""
    X = clusters(rows, 24)
    X[::of] = 0 if metric == "cosine" else 0.25
    return X


def neighbors(X: np.ndarray, metric: str, kind: str, k: int = 12) -> tuple[np.ndarray, np.ndarray]:
    backend, _ = choose("gpu")
    graph = backend.neighbors(X if kind == "batched" else backend.as_array(X), GraphPlan(metric, k, kind, KINDS[kind]))
    return backend.to_numpy(graph.indices), backend.to_numpy(graph.distances)


def check_graph(indices: np.ndarray, distances: np.ndarray) -> None:
    rows, k = indices.shape
    np.testing.assert_array_equal(indices[:, 0], np.arange(rows))
    assert all(len(set(row)) == k for row in indices.tolist())
    assert (np.diff(distances, axis=1) >= 0).all()
    assert (distances[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("metric", "kind"), [("cosine", "exact"), ("cosine", "nn_descent"), ("cosine", "batched"), ("correlation", "exact")]
)
def test_rows_without_direction_are_as_far_from_all_and_nobody_elses_neighbours(rapids, metric, kind) -> None:
    X = aimless(metric)
    indices, distances = neighbors(X, metric, kind)
    check_graph(indices, distances)
    lost = np.arange(200) % 9 == 0
    assert (distances[lost][:, 1:] == 1).all()
    assert not np.isin(indices[~lost], np.flatnonzero(lost)).any()
    rest = X[~lost] - (X[~lost].mean(1, keepdims=True) if metric == "correlation" else 0)
    true = np.flatnonzero(~lost)[true_neighbors(rest / np.linalg.norm(rest, axis=1, keepdims=True), 12)]
    assert recall(indices[~lost], true) > (0.99 if kind == "exact" else 0.9)


@pytest.mark.parametrize("some", [0, 1, 4])
def test_where_hardly_a_row_has_a_direction_all_neighbours_are_others_still(rapids, some) -> None:
    X = np.zeros((60, 5), np.float32)
    X[7 : 7 + some] = clusters(60, 5)[:some]
    indices, distances = neighbors(X, "cosine", "exact")
    check_graph(indices, distances)
    assert (distances[30:, 1:] == 1).all()


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_maps_of_rows_without_direction_are_drawn(rapids, metric) -> None:
    asked = gpuvis.Settings(
        umap=gpuvis.Umap(metric=metric, n_neighbors=10), tsne=gpuvis.Tsne(perplexity=8, metric=metric)
    )
    for done in gpuvis.reduce(torch.from_numpy(aimless(metric)), asked, backend="gpu").values():
        assert np.isfinite(done.coords).all()
