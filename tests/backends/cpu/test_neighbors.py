"""Neighbours on the CPU, beside all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from measures import clusters, digits, recall, true_neighbors
from sklearn.metrics import pairwise_distances

from gpuvis.backends.cpu import backend as cpu
from gpuvis.backends.cpu import neighbors
from gpuvis.backends.cpu.plan import Search
from gpuvis.settings import METRICS, Umap

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.mark.parametrize("metric", METRICS)
def test_few_rows_have_their_exact_neighbours(metric) -> None:
    X = digits(500) + 1
    graph = cpu.neighbors(X, Search(metric, 12, 1))
    D = pairwise_distances(X.astype(np.float64), metric=metric)
    far = np.take_along_axis(D, graph.indices.astype(np.int64), 1)
    np.testing.assert_allclose(graph.distances[:, 1:], far[:, 1:], rtol=1e-3, atol=1e-5)
    np.fill_diagonal(D, -1)
    np.testing.assert_allclose(far[:, 1:], np.sort(D, 1)[:, 1:12], rtol=1e-4)  # as near, whoever it is
    np.testing.assert_array_equal(graph.indices[:, 0], np.arange(500))
    assert (graph.distances[:, 0] == 0).all()
    assert (np.diff(graph.distances, axis=1) >= 0).all()
    assert graph.details["recall"] == 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
def test_many_rows_find_nearly_all(monkeypatch, metric) -> None:
    monkeypatch.setattr(neighbors, "EXACT_ROWS", 1000)
    X = clusters(5000, 40)
    graph = cpu.neighbors(X, Search(metric, 20, 1))
    D = pairwise_distances(X, metric=metric)
    np.fill_diagonal(D, -1)
    measured = recall(graph.indices[:, 1:], np.argsort(D, 1)[:, 1:20])
    assert measured > 0.98
    assert graph.details["recall"] == pytest.approx(measured, abs=0.01)
    assert graph.details["engine"] != "exact"
    again = cpu.neighbors(X, Search(metric, 20, 1))
    np.testing.assert_array_equal(again.indices, graph.indices)


def test_what_is_far_from_zero_is_found_as_well() -> None:
    X = clusters(800, 10) + 1000
    graph = neighbors.search(X, 10, "euclidean", 1)
    assert recall(graph.indices, true_neighbors(X, 10)) > 0.99


@pytest.mark.parametrize("large", [1e6, 65504.0])
def test_a_large_row_does_not_move_the_others_away_from_zero(large) -> None:
    X = clusters(800, 100)
    X[0] = large
    graph = neighbors.search(X, 10, "euclidean", 1)
    assert recall(graph.indices[1:], true_neighbors(X, 10)[1:]) > 0.999


@pytest.mark.parametrize("exact_rows", [1000, 300])
def test_groups_far_from_each_other_are_exact_or_told(monkeypatch, exact_rows) -> None:
    """Only one of them can be around zero."""
    monkeypatch.setattr(neighbors, "EXACT_ROWS", exact_rows)
    X = clusters(900, 40)
    X[600:] += 3e4
    graph = neighbors.search(X, 10, "euclidean", 1)
    kept = recall(graph.indices, true_neighbors(X.astype(np.float64), 10))
    assert kept > 0.999 if exact_rows == 1000 else kept < 0.95
    assert graph.details["recall"] == pytest.approx(kept, abs=0.05)


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
@pytest.mark.parametrize("exact_rows", [1000, 300])
@pytest.mark.parametrize("apart", [1e-3, 3e-4])  # distances of 8e-7 and 8e-8
def test_rows_that_are_almost_parallel_find_their_neighbours(monkeypatch, metric, exact_rows, apart) -> None:
    monkeypatch.setattr(neighbors, "EXACT_ROWS", exact_rows)
    draw = np.random.default_rng(0)
    X = (draw.standard_normal(40) + apart * draw.standard_normal((800, 40))).astype(np.float32)
    graph = neighbors.search(X, 10, metric, 1)
    rows = X.astype(np.float64) - (X.mean(1, keepdims=True, dtype=np.float64) if metric == "correlation" else 0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert recall(graph.indices, true_neighbors(rows, 10)) > 0.97
    far = np.take_along_axis(pairwise_distances(rows), graph.indices.astype(np.int64), 1) ** 2 / 2
    np.testing.assert_allclose(graph.distances[:, 1:], far[:, 1:], rtol=0.01)


@pytest.mark.parametrize("rows", [5, 300, 3000])
def test_equal_rows_are_neighbours_and_no_row_is_its_own(monkeypatch, rows) -> None:
    monkeypatch.setattr(neighbors, "EXACT_ROWS", 1000)
    graph = neighbors.search(np.ones((rows, 4), np.float32), 5, "euclidean", 1)
    assert (graph.distances == 0).all()
    np.testing.assert_array_equal(graph.indices[:, 0], np.arange(rows))
    assert (graph.indices[:, 1:] != np.arange(rows)[:, None]).all()
    assert ((graph.indices >= 0) & (graph.indices < rows)).all()
    assert all(len(set(row)) == 5 for row in graph.indices)


def test_a_row_of_zeros_has_a_cosine_distance_of_1() -> None:
    X = np.concatenate([np.zeros((2, 6)), np.random.default_rng(0).standard_normal((50, 6))]).astype(np.float32)
    graph = neighbors.search(X, 52, "cosine", 1)
    assert (graph.distances[:2, 1:] == 1).all()
    told = np.sort(pairwise_distances(X, metric="cosine"), 1)
    np.testing.assert_allclose(graph.distances[2:], told[2:], atol=1e-5)


@pytest.mark.parametrize("exact_rows", [1000, 300])
def test_rows_of_zeros_are_nearer_than_what_points_away(monkeypatch, exact_rows) -> None:
    monkeypatch.setattr(neighbors, "EXACT_ROWS", exact_rows)
    X = np.random.default_rng(0).standard_normal((600, 3)).astype(np.float32)
    X[:, 0] = -np.abs(X[:, 0]) - 5  # nearly all in one direction
    X[7], X[100:110] = [5, 0, 0], 0
    graph = neighbors.search(X, 9, "cosine", 1)
    assert set(graph.indices[7, 1:]) <= set(range(100, 110))
    assert (graph.distances[7, 1:] == 1).all()
    for row in range(100, 110):
        assert len(set(graph.indices[row])) == 9
        assert (graph.distances[row, 1:] == 1).all()


def test_constant_rows_have_a_correlation_distance_of_1() -> None:
    X = np.random.default_rng(0).standard_normal((50, 100)).astype(np.float32)
    X[:3] = np.float32([[0.1], [0.1], [0.7]])
    graph = neighbors.search(X, 50, "correlation", 1)
    assert (graph.distances[:3, 1:] == 1).all()


def test_most_rows_in_one_place_do_not_hide_the_others(monkeypatch) -> None:
    """They would all fall into one list."""
    monkeypatch.setattr(neighbors, "EXACT_ROWS", 1000)
    X = clusters(4000, 10)
    X[:3000] = X[0]
    far = pairwise_distances(X[3000:], X)
    far[np.arange(1000), np.arange(3000, 4000)] = np.inf
    farthest = np.sort(far, 1)[:, 6:7] + 1e-4
    kept = []
    for seed in range(8):  # which rows are drawn as centres makes a difference of four in a hundred
        graph = neighbors.search(X, 8, "euclidean", seed)
        assert (graph.distances[:3000] == 0).all()
        assert graph.details["recall"] > 0.98  # among equal rows any are right
        kept.append((np.take_along_axis(far, graph.indices[3000:, 1:].astype(np.int64), 1) <= farthest).mean())
    assert np.mean(kept) > 0.965


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("exact_rows", [1000, 100])
def test_half_precision_is_read_as_it_is(monkeypatch, metric, exact_rows) -> None:
    monkeypatch.setattr(neighbors, "EXACT_ROWS", exact_rows)
    X, how = clusters(600, 30).astype(np.float16), Search(metric, 6, 1)
    assert cpu.load(X, 1.0, None) is X
    half, full = (cpu.neighbors(cpu.load(one, 1.0, None), how) for one in (X, X.astype(np.float32)))
    np.testing.assert_array_equal(half.indices, full.indices)
    np.testing.assert_array_equal(half.distances, full.distances)
    np.testing.assert_array_equal(cpu.start(X, Umap()), cpu.start(X.astype(np.float32), Umap()))


def test_half_precision_is_multiplied_as_float32() -> None:
    X = cpu.load(np.full((2, 3), 2, np.float16), 2.0**-20, None)
    assert (X.dtype, X.max()) == (np.float32, np.float32(2**-19))
