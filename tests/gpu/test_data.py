"""Data of every kind: half precision, duplicates, degenerate, far out, large values, and tables."""

from __future__ import annotations

import time
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch
from measures import clusters, digits, trust
from sklearn.datasets import make_moons

import gpuvis
from gpuvis.io import table
from gpuvis.settings import Settings, Tsne, Umap

pytestmark = pytest.mark.gpu
FARTHEST = 50  # from the middle, in a map of UMAP that is in order


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_the_map_of_the_same_values(dtype) -> None:
    X = torch.from_numpy(digits(400))  # whole numbers up to 16: all three types hold them exactly
    asked = Settings(umap=Umap(n_neighbors=15), tsne=Tsne(perplexity=10), pca_dim=20)
    half, full = (gpuvis.reduce(one, asked, backend="gpu") for one in (X.to(dtype), X))
    for method in asked.methods:
        np.testing.assert_array_equal(half[method].coords, full[method].coords)


@pytest.mark.parametrize("factor", [1e-6, 3e4])
def test_the_scale_of_the_values_does_not_matter(approximate, rows, factor) -> None:
    """NN-descent reckons in float16, whose largest number is 65504."""
    X = clusters(rows(3000), 64)
    plain, scaled = (
        gpuvis.reduce(torch.from_numpy(X * np.float32(by)), Settings(), backend="gpu")["umap"].coords
        for by in (1, factor)
    )
    assert abs(trust(X, plain) - trust(X, scaled)) <= 0.02


RNG = np.random.default_rng(0)
DEGENERATE = {
    "all the same": np.ones((60, 4)),
    "all zero": np.zeros((60, 4)),
    "each row ten times": np.repeat(RNG.standard_normal((40, 8)), 10, axis=0),
    "more twins than neighbours": np.repeat(RNG.standard_normal((2, 8)), 100, axis=0),
    "some rows of zeros": np.where(np.arange(200)[:, None] % 9 == 0, 0, RNG.standard_normal((200, 8))),
    "five rows": RNG.standard_normal((5, 4)),
    "five rows, all the same": np.ones((5, 4)),
    "one column": RNG.standard_normal((60, 1)),
    "one row far out": np.concatenate([RNG.standard_normal((199, 4)), np.full((1, 4), 1e6)]),
}


@pytest.mark.parametrize("metric", ["euclidean", "cosine", pytest.param("correlation", marks=pytest.mark.long)])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_gives_finite_maps(name, metric) -> None:
    X = torch.from_numpy(DEGENERATE[name].astype(np.float32))
    asked = Settings(umap=Umap(metric=metric), tsne=Tsne(metric=metric))
    for reduction in gpuvis.reduce(X, asked, backend="gpu").values():
        assert np.isfinite(reduction.coords).all()
        assert reduction.coords.shape == (len(X), 2)


def test_pca_of_equal_rows_has_no_variance_to_keep() -> None:
    done = gpuvis.reduce(torch.ones(40, 6), Settings(umap=Umap(n_neighbors=5), pca_dim=2), backend="gpu")["umap"]
    assert done.variance_kept is None
    assert np.isfinite(done.coords).all()


def test_twins_lie_together() -> None:
    X = np.repeat(digits(60), 5, axis=0)
    asked = Settings(umap=Umap(n_neighbors=15), tsne=Tsne(perplexity=10))
    for reduction in gpuvis.reduce(torch.from_numpy(X), asked, backend="gpu").values():
        Y = reduction.coords.reshape(60, 5, 2)
        apart = np.linalg.norm(Y - Y.mean(1, keepdims=True), axis=2).mean()
        assert apart < 0.25 * np.linalg.norm(reduction.coords - reduction.coords.mean(0), axis=1).mean()


@pytest.mark.long
@pytest.mark.real_gpu("cuML's optimiser is what throws points out")
@pytest.mark.parametrize("kind", ["exact", "nn_descent"])
@pytest.mark.parametrize("size", [50_000, 100_000])
def test_no_point_is_thrown_out(size, kind, rows, request, measured) -> None:
    if kind == "nn_descent":
        request.getfixturevalue("approximate")
    X = make_moons(rows(size), noise=0.0, random_state=0)[0].astype(np.float32)
    for n_neighbors in (15, 30):
        asked = Settings(umap=Umap(n_neighbors=n_neighbors))
        done = gpuvis.reduce(torch.from_numpy(X), asked, backend="gpu")["umap"]
        assert done.plan.graphs["umap"].kind == kind
        farthest = float(np.abs(done.coords).max())
        measured(f"{len(X):,} points, {kind}, {n_neighbors} neighbours: the farthest at {farthest:.1f}")
        assert farthest <= FARTHEST


VALUES = ["a.png", "b c.png", "d,e.png", 'say "f".png', "", "Ä/ö.png", "日本.png", " g ", "NA", "new\nline"]
VALUES += ["007", "1", "10", "NaN", "-1", "1.0", "1e3", "null", "1000000000000000001", "1000000000000000002", "\t"]


@pytest.mark.parametrize("times", [1, 2, 2000, 100_000])
def test_values_told_apart_on_the_device_are_those_of_the_cpu(backend, times, monkeypatch, measured) -> None:
    monkeypatch.setattr(import_module("gpuvis.backends.gpu.table"), "LARGE", 0)
    column = pd.Series(VALUES * times, name="ground_truth_word_label", dtype="str")
    ways = {"the CPU": table.factorize, "cuDF": backend.factorize}
    found = {}
    for way, factorize in ways.items():
        start = time.perf_counter()
        codes, values = factorize(column)
        measured(f"{len(column):,} values told apart by {way}: {time.perf_counter() - start:.3f} s")
        assert sorted(values) == sorted(VALUES)
        found[way] = np.array(values, object)[codes]
    np.testing.assert_array_equal(found["the CPU"], found["cuDF"])
