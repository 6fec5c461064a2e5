"""The same seed gives the same map, bit by bit; and a map does not depend on the other one."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from measures import clusters, digits

import gpuvis
from gpuvis.errors import SettingsError
from gpuvis.settings import Settings, Tsne, Umap

pytestmark = pytest.mark.gpu
BOTH = Settings(umap=Umap(n_neighbors=15), tsne=Tsne(perplexity=20, metric="euclidean"), pca_dim=20)

CODE = """
import hashlib, sys
import gpuvis, torch
from measures import digits
maps = gpuvis.reduce(torch.from_numpy(digits(int(sys.argv[1]))), SETTINGS, backend="gpu")
print(*(hashlib.sha256(maps[method].coords.tobytes()).hexdigest() for method in ("umap", "tsne")))
"""


@pytest.fixture(scope="module")
def X(rows) -> torch.Tensor:
    return torch.from_numpy(digits(rows(1797)))


@pytest.fixture(scope="module")
def maps(X) -> dict[str, gpuvis.Reduction]:
    return gpuvis.reduce(X, BOTH, backend="gpu")


def test_the_map_of_a_seed_is_the_same_again(X, maps) -> None:
    for method, again in gpuvis.reduce(X, BOTH, backend="gpu").items():
        np.testing.assert_array_equal(again.coords, maps[method].coords)


@pytest.mark.long
def test_the_map_of_a_seed_is_the_same_in_another_process(X, maps, child) -> None:
    code = CODE.replace(
        "SETTINGS",
        repr(BOTH)
        .replace("Settings(", "gpuvis.Settings(")
        .replace("Umap(", "gpuvis.Umap(")
        .replace("Tsne(", "gpuvis.Tsne("),
    )
    told = child(code, len(X)).split()
    assert told == [hashlib.sha256(maps[method].coords.tobytes()).hexdigest() for method in ("umap", "tsne")]


@pytest.mark.parametrize("asked", [Umap(n_neighbors=15), Tsne(perplexity=20, init="random")], ids=["umap", "tsne"])
def test_another_seed_gives_another_map(X, asked) -> None:
    method = "umap" if isinstance(asked, Umap) else "tsne"
    first, second = (
        gpuvis.reduce(X, Settings(**{"umap": None, method: asked}, seed=seed), backend="gpu")[method].coords
        for seed in (1, 2)
    )
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_a_map_does_not_depend_on_the_other(X, maps, method) -> None:
    alone = gpuvis.reduce(X, BOTH.only(method), backend="gpu")
    np.testing.assert_array_equal(alone[method].coords, maps[method].coords)


def test_a_map_from_a_wider_graph_does_not_depend_on_the_other(X) -> None:
    """More neighbours than every graph has: then each map has a graph of its own."""
    asked = Settings(umap=Umap(n_neighbors=120), tsne=Tsne(perplexity=20, metric="euclidean"))
    together = gpuvis.reduce(X, asked, backend="gpu")
    alone = gpuvis.reduce(X, asked.only("tsne"), backend="gpu")
    np.testing.assert_array_equal(alone["tsne"].coords, together["tsne"].coords)


def test_deterministic_takes_the_exact_graph(approximate, backend, rows) -> None:
    X = torch.from_numpy(clusters(rows(3000), 64))
    asked = Settings(umap=Umap(n_neighbors=15), deterministic=True)
    first, second = (gpuvis.reduce(X, asked, backend="gpu")["umap"] for _ in range(2))
    np.testing.assert_array_equal(first.coords, second.coords)
    assert first.plan.graphs["umap"].kind == "exact"
    assert "identical" in backend.promise("umap", first.plan)


def test_without_it_nothing_is_promised_of_nn_descent(approximate, backend) -> None:
    planned = backend.plan(3000, 64, 4, Settings())
    assert planned.graphs["umap"].kind == "nn_descent"
    assert backend.promise("umap", planned).startswith("no, because")


def test_deterministic_refuses_what_would_take_hours(backend) -> None:
    with pytest.raises(SettingsError, match="--deterministic needs an exact neighbour graph.*hours"):
        backend.plan(100_000_000, 64, 4, Settings(deterministic=True))
