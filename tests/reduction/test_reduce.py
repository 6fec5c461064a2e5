"""Maps are judged by what they keep, beside the libraries called directly and beside maps that are bad."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from doubles import FirstColumns
from measures import label_accuracy, trust
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

import gpuvis
from gpuvis.errors import DataError, OutOfMemoryError
from gpuvis.reduction.reduce import embed, prepare
from gpuvis.timing import StepTimer

DIGITS = load_digits()
X = DIGITS.data.astype(np.float32)
MEASURES = (partial(trust, X), partial(label_accuracy, labels=DIGITS.target))


@pytest.fixture(scope="module")
def ours() -> dict:
    asked = gpuvis.Settings(tsne=gpuvis.Tsne(), pca_dim=50)
    return gpuvis.reduce(torch.from_numpy(X), asked, backend="cpu")


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_maps_are_far_better_than_bad_maps(ours, method) -> None:
    bad = [PCA(2).fit_transform(X), np.random.default_rng(0).standard_normal((len(X), 2))]
    for measure in MEASURES:
        assert measure(ours[method].coords) > max(measure(Y) for Y in bad) + 0.1


def test_tsne_after_pca_is_as_good_as_by_scikit_learn_called_directly(ours) -> None:
    scores = PCA(50, random_state=1).fit_transform(X)
    direct = TSNE(perplexity=30, metric="cosine", init="pca", random_state=1).fit_transform(scores)
    for measure in MEASURES:
        assert abs(measure(ours["tsne"].coords) - measure(direct)) <= 0.005


def test_a_map_does_not_depend_on_the_other(ours) -> None:
    alone = gpuvis.reduce(X, gpuvis.Settings(umap=None, tsne=gpuvis.Tsne(), pca_dim=50), backend="cpu")
    np.testing.assert_array_equal(alone["tsne"].coords, ours["tsne"].coords)


def test_a_reduction_says_what_was_done(ours) -> None:
    got = ours["umap"]
    assert (got.coords.shape, got.coords.dtype) == ((1797, 2), np.float32)
    assert got.effective["pca_dim"] == 50
    assert got.variance_kept == pytest.approx(0.999, abs=0.002)
    assert set(got.steps) == {"pca", "neighbors", "start", "umap"}
    assert got.neighbors == {"engine": "exact", "recall": 1.0}
    assert got.layout == {"epochs": 300}
    assert got.notes == ()


def test_the_divergence_reached_is_told_by_every_layout() -> None:
    own, library = (
        gpuvis.reduce(X[:900], gpuvis.Settings(umap=None, tsne=gpuvis.Tsne(method=name)), backend="cpu")["tsne"].layout
        for name in ("auto", "barnes_hut")
    )
    assert (own["iterations"], own["repulsion"]) == (750, "exact")
    assert library["iterations"] > 250
    assert own["kl"] == pytest.approx(library["kl"], abs=0.03)
    assert 0.1 < own["kl"] < 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X[0], "X has 1 dimensions"),
        (X[:4], r"X has shape \(4, 64\); 5 rows or more are needed"),
        (X[:, :0], r"X has shape \(1797, 0\)"),
        (np.where(np.arange(64) == 3, np.nan, X[:9]), "X has values that are not finite in float32: 9 rows hold"),
    ],
)
def test_what_cannot_be_reduced_is_refused(bad, message) -> None:
    with pytest.raises(DataError, match=message):
        gpuvis.reduce(bad)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-23, 1e30])
def test_the_scale_of_the_values_does_not_matter(scale) -> None:
    digits = (X[:60].astype(np.float64) * scale).astype(np.float32)
    asked = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=8), tsne=gpuvis.Tsne(perplexity=8), pca_dim=8)
    for reduction in gpuvis.reduce(digits, asked).values():
        assert np.isfinite(reduction.coords).all()


def test_a_scale_changes_no_digit() -> None:
    asked = gpuvis.Settings(tsne=gpuvis.Tsne(perplexity=8), pca_dim=8)
    one, two = (gpuvis.reduce(X[:60] * np.float32(2.0**power), asked) for power in (-60, -70))
    for method in asked.methods:
        np.testing.assert_array_equal(one[method].coords, two[method].coords)


@pytest.mark.parametrize("pca_dim", [None, 8])
def test_changes_to_a_mapped_file_in_memory_are_kept(tmp_path, pca_dim) -> None:
    np.save(tmp_path / "X.npy", X[:60])
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped[:] = mapped[:, ::-1] + 3
    changed = np.array(mapped)
    asked = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=8), pca_dim=pca_dim)
    maps = [gpuvis.reduce(one, asked, backend="cpu")["umap"].coords for one in (mapped, changed)]
    np.testing.assert_array_equal(mapped, changed)
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize(
    "bad", [np.array([["a", "b"]] * 9), X[:9] + 1j, torch.ones(9, 3, dtype=torch.complex64), X > 3]
)
def test_what_is_no_number_is_refused(bad) -> None:
    with pytest.raises(DataError, match="X has type .*; expected real numbers"):
        gpuvis.reduce(bad)


def test_lists_and_integers_are_taken_as_numbers() -> None:
    got = gpuvis.reduce(DIGITS.data[:20].astype(int).tolist(), gpuvis.Settings(umap=None, tsne=gpuvis.Tsne()))
    assert got["tsne"].coords.shape == (20, 2)
    assert got["tsne"].notes == ("tsne_perplexity 30 is too large for 20 rows: 6.33333 is used",)


def test_too_little_memory_is_told() -> None:
    class Small(FirstColumns):
        def umap(self, *args):
            raise MemoryError("Unable to allocate 9 GiB")

    told = r"umap of 1,797 × 64 does not fit in memory \(Unable to allocate 9 GiB\); use a smaller pca_dim"
    with pytest.raises(OutOfMemoryError, match=told):
        embed(prepare(X, gpuvis.Settings(), Small(), StepTimer(), Small().plan(), 16.0), "umap", Small(), StepTimer())
