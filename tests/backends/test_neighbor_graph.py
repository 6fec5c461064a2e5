"""What happens to a neighbour graph before cuML sees it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import _t_sne
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from gpuvis.backends import neighbor_graph

EPSILON = np.finfo(np.float32).eps


def nearest(X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = NearestNeighbors(n_neighbors=k).fit(X).kneighbors(X)
    return indices.astype(np.int64), distances.astype(np.float32)


@pytest.mark.parametrize("block_rows", [7, 1 << 18])
def test_every_row_comes_first_among_its_neighbours(monkeypatch, block_rows) -> None:
    monkeypatch.setattr(neighbor_graph, "BLOCK_ROWS", block_rows)
    X = np.repeat(np.random.default_rng(0).standard_normal((8, 3)), 10, axis=0)  # each row ten times, k = 6 of them
    indices, distances = nearest(X, 6)
    assert not (indices[:, 0] == np.arange(80)).all()
    assert not (indices == np.arange(80)[:, None]).any(1).all()
    before = [set(row) for row in indices.tolist()]
    got = neighbor_graph.repaired(indices, distances, np)
    np.testing.assert_array_equal(got.indices[:, 0], np.arange(80))
    np.testing.assert_array_equal(got.distances, 0)
    for row, (was, now) in enumerate(zip(before, got.indices.tolist(), strict=True)):
        assert len(set(now)) == 6
        assert set(now) - {row} <= was


def test_a_graph_that_is_right_already_stays() -> None:
    X = np.random.default_rng(0).standard_normal((50, 3))
    indices, distances = nearest(X, 8)
    got = neighbor_graph.repaired(indices.copy(), distances.copy(), np)
    np.testing.assert_array_equal(got.indices, indices)
    np.testing.assert_array_equal(got.distances, distances)


def test_the_order_and_the_distances_of_the_others_stay() -> None:
    indices = np.array([[2, 0, 1], [1, 2, 0], [0, 1, 3]])
    distances = np.array([[0, 0, 5], [-1e-9, 3, np.nan], [0, 0, 4]], np.float32)
    got = neighbor_graph.repaired(indices, distances, np)
    np.testing.assert_array_equal(got.indices, [[0, 2, 1], [1, 2, 1], [2, 0, 1]])
    np.testing.assert_array_equal(got.distances, np.array([[0, 0, 5], [0, 3, 3], [0, 0, 0]], np.float32))


def test_places_that_a_search_left_unfilled_become_the_row_itself_as_far_as_its_farthest() -> None:
    nobody, far = np.iinfo(np.int64).max, np.finfo(np.float32).max
    indices = np.array([[0, 2, nobody], [1, nobody, nobody], [2, 0, 1]])
    distances = np.array([[0, 3, far], [0, far, far], [0, 3, 5]], np.float32)
    got = neighbor_graph.repaired(indices, distances, np)
    np.testing.assert_array_equal(got.indices, [[0, 2, 0], [1, 2, 0], [2, 0, 1]])
    np.testing.assert_array_equal(got.distances, [[0, 3, 3], [0, 1, 1], [0, 3, 5]])


def test_a_row_without_any_distance_is_as_far_from_all() -> None:
    got = neighbor_graph.repaired(np.array([[1, 0], [1, 0]]), np.array([[np.nan, np.nan], [0, np.nan]], np.float32), np)
    np.testing.assert_array_equal(got.indices, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(got.distances, [[0, 1], [0, 1]])


def cuml_probabilities(squared: np.ndarray, perplexity: float) -> np.ndarray:
    """cuML's perplexity search, in which the row itself takes part, after dividing the distances by the largest."""
    d = (squared / squared.max()).astype(np.float32)
    low, high, beta = np.full(len(d), -np.inf), np.full(len(d), np.inf), np.ones(len(d), np.float32)
    for _ in range(100):
        p = np.exp(-d * beta[:, None])
        total = p.sum(1) + EPSILON
        p /= total[:, None]
        excess = np.log(total) + beta * (d * p).sum(1) - np.log(perplexity)
        low, high = np.where(excess > 0, beta, low), np.where(excess > 0, high, beta)
        wider = np.where(excess > 0, beta * 2, beta / 2)
        beta = np.where(np.isinf(low) | np.isinf(high), wider, (low + high) / 2).astype(np.float32)
    return p


@pytest.mark.parametrize("columns", [2, 500], ids=["few columns", "many columns, all about as far"])
def test_the_probabilities_are_those_of_scikit_learn(columns) -> None:
    X = np.random.default_rng(0).standard_normal((400, columns))
    indices, distances = nearest(X, 92)
    others = np.square(distances[:, 1:]).astype(np.float32)
    told = _t_sne._utils._binary_search_perplexity(others, 30.0, 0)
    got = cuml_probabilities(neighbor_graph.for_perplexity(distances, np), 30)
    assert np.abs(got[:, 1:] - told).max() < 2e-4
    assert got[:, 0].max() == 0
    plain = cuml_probabilities(np.square(distances), 30)
    assert np.abs(plain[:, 1:] - told).max() > 2e-3  # what cuML would find by itself
    assert indices.shape == (400, 92)


def test_the_distances_of_the_graph_itself_stay() -> None:
    _, distances = nearest(np.random.default_rng(0).standard_normal((50, 3)), 8)
    before = distances.copy()
    neighbor_graph.for_perplexity(distances, np)
    np.testing.assert_array_equal(distances, before)


@pytest.mark.parametrize(
    "X", [np.ones((30, 4)), np.repeat(np.eye(3), 10, axis=0)], ids=["all the same", "each ten times"]
)
def test_equal_rows_have_equal_probabilities(X) -> None:
    d = np.sort(pairwise_distances(X).astype(np.float32), axis=1)[:, :9]
    got = cuml_probabilities(neighbor_graph.for_perplexity(d, np), 3)
    np.testing.assert_allclose(got[:, 1:], 1 / 8, atol=1e-6)


def test_the_nearest_columns_are_no_copy_if_they_are_all() -> None:
    whole = neighbor_graph.Graph(np.zeros((5, 4), np.int64), np.zeros((5, 4), np.float32), np)
    indices, distances = whole.nearest(4)
    assert np.shares_memory(indices, whole.indices)
    assert np.shares_memory(distances, whole.distances)
    assert [part.shape for part in whole.nearest(2)] == [(5, 2), (5, 2)]
    assert all(part.flags.c_contiguous for part in whole.nearest(2))


@pytest.mark.parametrize("place", [(np.iinfo(np.int64).max, np.finfo(np.float32).max), (0, np.nan)])
def test_a_row_of_which_nothing_is_known_has_other_rows_as_far_as_each_other(place) -> None:
    """Else cuML's UMAP reads the rounding of its gradients from memory that was never written."""
    indices, distances = np.full((6, 4), place[0]), np.full((6, 4), place[1], np.float32)
    indices[2], distances[2] = [2, 0, 1, 5], [0, 1, 2, 3]
    got = neighbor_graph.repaired(indices, distances, np)
    assert all(len(set(row)) == 4 for row in got.indices.tolist())
    np.testing.assert_array_equal(got.indices[:, 0], np.arange(6))
    np.testing.assert_array_equal(got.distances[[0, 1, 3, 4, 5], 1:], 1)
    np.testing.assert_array_equal(got.indices[2], [2, 0, 1, 5])


def test_a_row_whose_neighbours_are_all_itself_has_another() -> None:
    indices, distances = np.full((5, 3), 3), np.zeros((5, 3), np.float32)
    indices[[0, 1, 2, 4], 1:] = [1, 2], [0, 2], [0, 1], [0, 1]
    indices[:, 0] = np.arange(5)
    got = neighbor_graph.repaired(indices, distances, np)
    assert set(got.indices[3]) == {3, 4, 0}
