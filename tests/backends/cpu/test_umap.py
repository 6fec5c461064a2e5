"""Our layout of UMAP on graphs that could tear it apart."""

from __future__ import annotations

import numpy as np
import pytest
from measures import true_neighbors, trust

import gpuvis
from gpuvis import Settings, Umap

pytestmark = pytest.mark.usefixtures("two_threads")


HARD = {
    "islands": np.repeat(np.random.default_rng(0).standard_normal((20, 8)) * 1000, 50, axis=0)
    + np.random.default_rng(1).standard_normal((1000, 8)),
    "one far away": np.concatenate([np.random.default_rng(0).standard_normal((400, 8)), np.full((1, 8), 1e6)]),
    "each row forty times": np.repeat(np.random.default_rng(0).standard_normal((25, 8)), 40, axis=0),
    "all the same": np.ones((300, 8)),
    "a line": np.linspace(0, 1, 500)[:, None] * np.ones(8),
    "five rows": np.eye(5, 8),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("min_dist", [0.0, 0.1, 1.0])
def test_nothing_explodes(name, min_dist) -> None:
    X = HARD[name].astype(np.float32)
    Y = gpuvis.reduce(X, Settings(umap=Umap(min_dist=min_dist)), "cpu")["umap"].coords
    assert np.abs(Y).max() <= 50
    if name == "islands":  # each stays together
        labels = np.repeat(np.arange(20), 50)
        assert (labels[true_neighbors(Y, 16)[:, 1:]] == labels[:, None]).mean() > 0.98
    elif name == "all the same":
        assert Y.std() > 0.1


@pytest.mark.parametrize("columns", [1, 8])
def test_it_keeps_the_order_of_a_line(columns) -> None:
    X = HARD["a line"][:, :columns].astype(np.float32)
    Y = gpuvis.reduce(X, backend="cpu")["umap"].coords
    assert trust(X, Y) > 0.99
    assert abs(np.corrcoef(np.arange(500), np.argsort(np.argsort(Y[:, 0])))[0, 1]) > 0.7  # from one end to the other


def test_a_start_that_is_hardly_wide_does_no_harm() -> None:
    X = np.ones((40, 2), np.float32)
    X[:, 1] = np.arange(40) * 1e-40
    assert np.isfinite(gpuvis.reduce(X, backend="cpu")["umap"].coords).all()
