"""How the original space is looked at, beside what comes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from measures import clusters
from scipy.spatial.distance import cdist
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from test_quality import measured, noisy

from gpuvis import distances, quality, survey
from gpuvis.backends import compiled, cpu, ranks
from gpuvis.backends.ranks_anywhere import PlainRanks


def of_length_one(rows: int) -> np.ndarray:
    X = clusters(rows, 40) + 0.2
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def tallies(monkeypatch) -> list[int]:
    """Tell of how many metrics each look at all rows was."""
    told, tally = [], ranks.tally

    def counted(A: Any, blocks: Any, own: Any, limits: Any, *more: Any) -> Any:
        told.append(len(limits))
        return tally(A, blocks, own, limits, *more)

    monkeypatch.setattr(quality, "ANCHORS", 300)
    monkeypatch.setattr(ranks, "tally", counted)
    return told


def test_rows_of_one_length_are_compared_once(monkeypatch, tallies) -> None:
    X = of_length_one(6_000)
    Y, labels = noisy(X), np.arange(6_000) % 5
    told = measured(X, Y, labels, "cosine")
    monkeypatch.setattr(distances.Distances, "is_of_one_length", lambda by, share=1.0: False)
    apart = measured(X, Y, labels, "cosine")
    assert tallies == [1, 2]
    assert list(told) == list(apart)
    assert told["cosine"] == told["euclidean"] == apart["euclidean"]
    for place in ("original", "map", "pca"):
        for name, value in apart["cosine"][place].items():
            assert told["cosine"][place][name] == pytest.approx(value, abs=2e-4), (place, name)


@pytest.mark.parametrize("which", ["anchor", "other"])
def test_one_row_of_another_length_has_all_compared_by_angles(monkeypatch, tallies, which) -> None:
    X, anchors = of_length_one(6_000), quality.sample(6_000)
    pool = np.random.default_rng(2).choice(6_000, quality.POOL, replace=False)
    others = np.setdiff1d(np.arange(6_000), [*anchors, *pool])
    X[anchors[7] if which == "anchor" else others[-1]] *= 1.01
    Y = noisy(X)
    told = measured(X, Y, None, "cosine")
    assert tallies == ([2] if which == "anchor" else [1, 2])
    monkeypatch.setattr(distances.Distances, "is_of_one_length", lambda by, share=1.0: False)
    assert told == measured(X, Y, None, "cosine")


def test_lengths_that_differ_by_more_than_rounding_are_not_one() -> None:
    """As those of rows that were brought to length 1 in half precision."""
    X = of_length_one(300)
    for rows, same in ((X, True), (X.astype(np.float16).astype(np.float32), False), (X + 3, False)):
        near = {"map": np.zeros((300, 5), np.int64)}
        which = np.arange(300), np.arange(200), np.zeros((300, 1), int)
        asked = distances.Asked(rows, 1.0, *which, near, None, None, False)
        backend = type("Plain", (), {"xp": np, "ranks": lambda: PlainRanks(np), "as_array": lambda X, *_, **__: X})
        assert distances.Distances(asked, survey.TOGETHER, backend).is_of_one_length() == same


NAMES = {"manhattan": "cityblock"}


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev", "canberra", "braycurtis"])
def test_other_metrics_are_measured_by_their_definitions(monkeypatch, metric) -> None:
    X = clusters(1_500, 12) + 0.2
    Y, labels, k = noisy(X), np.arange(1_500) % 3, quality.K
    told = measured(X, Y, labels, metric)
    D = cdist(X.astype(np.float64), X.astype(np.float64), NAMES.get(metric, metric))
    np.fill_diagonal(D, -1)
    near = NearestNeighbors(n_neighbors=k).fit(Y).kneighbors(return_distance=False)
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(D.argsort(1)[:, 1 : k + 1], near, strict=True)])
    assert list(told)[-2:] == ["euclidean", metric]
    assert told["metric"] == metric
    assert told[metric]["map"]["recall"] == pytest.approx(recall, abs=1e-9)
    np.fill_diagonal(D, 0)
    exact = trustworthiness(D, Y, n_neighbors=k, metric="precomputed")
    assert told[metric]["map"]["trustworthiness"] == pytest.approx(exact, abs=1e-9)
    assert told[metric] != told["euclidean"]
    monkeypatch.setattr(quality, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(quality, "ANCHORS", 400)
    monkeypatch.setattr(compiled, "EVERY", 1)
    sampled = measured(X, Y, labels, metric)[metric]
    names = ("xp", "SAFE", "as_array", "to_host", "to_indices", "pca")
    plain = SimpleNamespace(**{name: getattr(cpu, name) for name in names}, ranks=lambda: PlainRanks(np))
    same = measured(X, Y, labels, metric, plain)[metric]
    for place in ("original", "map", "pca"):
        for name, value in sampled[place].items():
            if name.endswith("_se"):
                error = np.hypot(value, told[metric][place][name])
                assert sampled[place][name[:-3]] == pytest.approx(told[metric][place][name[:-3]], abs=3 * error), name
            assert same[place][name] == pytest.approx(value, abs=1e-4), name


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["manhattan", "chebyshev", "canberra", "braycurtis"])
def test_distances_are_those_of_scipy(metric, kind) -> None:
    draw = np.random.default_rng(0)
    A, X = draw.standard_normal((7, 300)).astype(kind), draw.standard_normal((601, 300)).astype(kind)
    exact = cdist(A.astype(np.float64), X.astype(np.float64), NAMES.get(metric, metric))
    for ranked in (ranks, PlainRanks(np)):
        found = ranked.apart(A, X, metric)
        assert found.dtype == kind
        np.testing.assert_allclose(found, exact, rtol=16 * np.finfo(kind).eps)


@pytest.mark.parametrize("columns", [1, 2, 301])
def test_canberra_distances_of_values_whose_products_are_too_small_to_be_held(columns) -> None:
    draw = np.random.default_rng(0)
    sizes = np.array([0, 1e-25, 1e-15, 1])[draw.integers(0, 4, columns)]
    A, X = ((draw.standard_normal((rows, columns)) * sizes).astype(np.float32) for rows in (40, 300))
    exact = cdist(A.astype(np.float64), X.astype(np.float64), "canberra")
    np.testing.assert_allclose(ranks.apart(A, X, "canberra"), exact, rtol=16 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("rows", [3, 700])
def test_distances_are_taken_in_as_in_plain_steps(rows) -> None:
    draw, m, k = np.random.default_rng(0), 90, 5
    limits = draw.random((m, 3), np.float32)
    told = []
    for ranked in (ranks, PlainRanks(np)):
        found = np.zeros((m, 3), np.int64), np.full((m, k), -1), np.full((m, k), np.inf, np.float32)
        for first, seed in ((0, 1), (rows, 2)):
            values = np.random.default_rng(seed).random((m, rows), np.float32)
            values[:, 1] = np.inf
            ranked.take(values, first, limits, found)
        told.append(found)
    for one, same in zip(*told, strict=True):
        np.testing.assert_array_equal(one, same)


def test_rows_of_zeros_are_at_no_distance_where_it_is_not_defined() -> None:
    X = np.zeros((3, 4), np.float32)
    for metric in ("canberra", "braycurtis"):
        for ranked in (ranks, PlainRanks(np)):
            assert (ranked.apart(X, X, metric) == 0).all()
