from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuvis.errors import SettingsError
from gpuvis.settings import Settings, Tsne, Umap


def test_defaults_are_those_that_users_rely_on() -> None:
    assert (
        Settings(umap=Umap(n_neighbors=30, min_dist=0.1, metric="euclidean"), tsne=None, pca_dim=None, seed=1)
        == Settings()
    )
    assert Tsne(perplexity=30, metric="cosine", init="pca") == Tsne()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Umap(n_neighbors=1), "umap_neighbors has to be a whole number of 2 or more; found 1"),
        (lambda: Umap(min_dist=1.5), "umap_min_dist has to be a number from 0 to 1; found 1.5"),
        (lambda: Umap(min_dist=float("nan")), "umap_min_dist"),
        (lambda: Umap(metric="haversine"), "umap_metric has to be one of euclidean, .*; found 'haversine'"),
        (lambda: Tsne(perplexity=0.5), "tsne_perplexity has to be a number of 1 or more; found 0.5"),
        (lambda: Tsne(perplexity=float("inf")), "tsne_perplexity"),
        (lambda: Tsne(init="spectral"), "tsne_init has to be one of pca, random; found 'spectral'"),
        (lambda: Settings(pca_dim=1), "pca_dim has to be a whole number of 2 or more; found 1"),
        (lambda: Settings(pca_dim=2.5), "pca_dim"),  # type: ignore[arg-type]
        (lambda: Settings(seed=1.5), "seed has to be a whole number of any size; found 1.5"),
        (lambda: Settings(threads=0), "threads has to be a whole number from 1 to 1024; found 0"),
        (lambda: Umap(optimizer="sgd"), "umap_optimizer has to be one of auto, umap-learn; found 'sgd'"),
        (lambda: Tsne(method="fft"), "tsne_method has to be one of auto, barnes_hut, exact; found 'fft'"),
        (lambda: Settings(umap=None), "at least one map"),
    ],
)
def test_values_out_of_range_are_refused(build, message) -> None:
    with pytest.raises(SettingsError, match=message):
        build()


def test_numbers_of_any_kind_are_taken() -> None:
    assert Umap(n_neighbors=np.int64(15), min_dist=np.float32(0.5)) == Umap(n_neighbors=15, min_dist=0.5)
    assert json.dumps(Settings(umap=Umap(n_neighbors=np.int64(15)), seed=np.int32(3)).describe("umap"))
    for bad in ("0.1", None, True):
        with pytest.raises(SettingsError):
            Umap(n_neighbors=bad)  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        Umap(min_dist="0.1")  # type: ignore[arg-type]


def test_other_names_of_a_metric_mean_the_same() -> None:
    assert Umap(metric="l2") == Umap(metric="euclidean")
    assert Tsne(metric="cityblock") == Tsne(metric="manhattan")


def test_nothing_is_changed_that_fits() -> None:
    asked = Settings(tsne=Tsne(), pca_dim=50)
    assert asked.fitted_to(1000, 768) == (asked, [])


def test_what_does_not_fit_is_clamped_and_noted() -> None:
    fitted, notes = Settings(tsne=Tsne(), pca_dim=50).fitted_to(10, 768)
    assert fitted == Settings(umap=Umap(n_neighbors=9), tsne=Tsne(perplexity=3), pca_dim=9)
    assert notes == [
        "pca_dim 50 is too large for 10 rows: 9 is used",
        "umap_neighbors 30 is too large for 10 rows: 9 is used",
        "tsne_perplexity 30 is too large for 10 rows: 3 is used",
    ]


def test_pca_to_as_many_columns_as_there_are_is_skipped() -> None:
    fitted, notes = Settings(pca_dim=32).fitted_to(1000, 32)
    assert fitted.pca_dim is None
    assert notes == ["pca_dim 32 ≥ 32 columns: PCA is skipped"]


def test_one_column_has_no_two_components_to_start_from() -> None:
    fitted, notes = Settings(umap=None, tsne=Tsne()).fitted_to(1000, 1)
    assert fitted.tsne == Tsne(init="random")
    assert len(notes) == 1


@given(
    rows=st.integers(5, 10**9),
    columns=st.integers(1, 10**5),
    n_neighbors=st.integers(2, 10**4),
    perplexity=st.floats(1, 10**4),
    pca_dim=st.none() | st.integers(2, 10**4),
)
def test_effective_settings_can_be_done_and_fit_themselves(rows, columns, n_neighbors, perplexity, pca_dim) -> None:
    asked = Settings(umap=Umap(n_neighbors=n_neighbors), tsne=Tsne(perplexity=perplexity), pca_dim=pca_dim)
    fitted, notes = asked.fitted_to(rows, columns)
    assert fitted.umap is not None
    assert fitted.tsne is not None
    assert fitted.umap.n_neighbors < rows
    assert 1 <= fitted.tsne.perplexity * 3 <= rows - 1
    assert fitted.pca_dim is None or fitted.pca_dim < min(rows, columns)
    assert (fitted == asked) == (notes == [])
    assert fitted.fitted_to(rows, columns) == (fitted, [])
