"""Our UMAP and our neighbours are as good as those of umap-learn and pynndescent.

Both libraries compile themselves for minutes after an installation, so these tests are not among those of every day.
"""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from measures import clusters, digits, label_accuracy, recall, true_neighbors, trust
from process import gpuvis as program
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances

import gpuvis
from gpuvis import Settings, Umap
from gpuvis.backends.cpu import affinities, libraries, neighbors, umap
from gpuvis.backends.cpu import backend as cpu
from gpuvis.backends.cpu.libraries import cache_compiled
from gpuvis.backends.cpu.plan import Search

pytestmark = pytest.mark.usefixtures("two_threads")


def test_pynndescent_finds_nearly_all_neighbours_of_many_rows(monkeypatch) -> None:
    monkeypatch.setattr(libraries, "EXACT_ROWS", 1000)
    X = clusters(5000, 40)
    graph = cpu.neighbors(X, Search("manhattan", 20, 1))
    D = pairwise_distances(X, metric="manhattan")
    np.fill_diagonal(D, -1)
    measured = recall(graph.indices[:, 1:], np.argsort(D, 1)[:, 1:20])
    assert measured > 0.98
    assert graph.details["recall"] == pytest.approx(measured, abs=0.01)
    assert graph.details["engine"] == "pynndescent"
    again = cpu.neighbors(X, Search("manhattan", 20, 1))
    np.testing.assert_array_equal(again.indices, graph.indices)


MEMBERS = {
    "digits": digits(),
    "few": digits(40),
    "rows ten times each": np.repeat(digits(30), 10, axis=0),
    "all the same": np.ones((60, 5), np.float32),
}


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("k", [5, 30])
def test_memberships_are_those_of_umap_learn(name, k) -> None:
    from umap.umap_ import fuzzy_simplicial_set

    cache_compiled("umap.umap_")
    X = MEMBERS[name]
    graph = neighbors.search(X, k, "euclidean", 1)
    found = affinities.memberships(graph, k, 0)
    told = fuzzy_simplicial_set(X, k, None, "euclidean", knn_indices=graph.indices, knn_dists=graph.distances)[0]
    assert abs(found - told).max() < 1e-5
    found.eliminate_zeros()
    assert found.has_sorted_indices
    assert found.diagonal().max() == 0


@pytest.mark.parametrize("min_dist", [0, 0.05, 0.1, 0.25, 0.5, 0.99, 1])
def test_the_curve_is_that_of_umap_learn(min_dist) -> None:
    from umap.umap_ import find_ab_params

    np.testing.assert_allclose(umap.curve(min_dist), find_ab_params(1.0, min_dist), rtol=1e-4)


def judged(X: np.ndarray, Y: np.ndarray) -> tuple[float, float]:
    return trust(X, Y), recall(true_neighbors(Y, 16)[:, 1:], true_neighbors(X, 16)[:, 1:])


NAMES = ("auto", "umap-learn")


@pytest.mark.parametrize("X", [digits(), clusters(1500, 50)], ids=["digits", "clusters"])
def test_maps_are_as_good_as_those_of_umap_learn(X) -> None:
    ours, theirs = (
        np.mean([judged(X, gpuvis.reduce(X, asked, "cpu")["umap"].coords) for asked in settings], 0)
        for settings in ([Settings(umap=Umap(optimizer=name), seed=seed) for seed in (1, 2)] for name in NAMES)
    )
    assert (ours > theirs - 0.003).all()


def test_a_map_after_pca_is_as_good_as_one_by_umap_learn_called_directly() -> None:
    X = digits()
    ours = gpuvis.reduce(X, Settings(pca_dim=50), backend="cpu")["umap"].coords
    with pytest.warns(UserWarning, match="n_jobs"):
        from umap import UMAP

        cache_compiled("umap.umap_", "umap.layouts", "umap.distances", "umap.utils", "umap.spectral")
        scores = PCA(50, random_state=1).fit_transform(X)
        theirs = UMAP(n_neighbors=30, min_dist=0.1, random_state=1).fit_transform(scores)
    assert abs(trust(X, ours) - trust(X, theirs)) <= 0.005
    labels = load_digits().target
    assert abs(label_accuracy(ours, labels) - label_accuracy(theirs, labels)) <= 0.005


def test_umap_learn_says_who_it_is() -> None:
    done = gpuvis.reduce(digits(60), Settings(umap=Umap(n_neighbors=8, optimizer="umap-learn")), "cpu")["umap"]
    assert done.plan.layouts == {"umap": "umap-learn"}
    assert done.effective["umap_optimizer"] == "umap-learn"
    assert "number of threads" in done.plan.repeatable["umap"]
    assert "any number" not in done.plan.repeatable["umap"]


@pytest.mark.parametrize("variable", ["NUMBA_THREADING_LAYER=nonsense", "NUMBA_NUM_THREADS=0"])
def test_variables_that_numba_does_not_take_are_named(make_cache, variable) -> None:
    name, _, value = variable.partition("=")
    env = os.environ | {name: value}
    run = program("reduce", make_cache(), "--backend", "cpu", "--umap_optimizer", "umap-learn", env=env)
    assert run.returncode == 2
    (told,) = (line for line in run.stderr.splitlines() if line.startswith("error: "))
    assert told.startswith("error: numba stopped: ")
    assert re.search(rf"look at (\w+, )*{name}(, \w+)* in the environment", told)
