"""How good the maps are, beside the thresholds of cuML's own tests and beside the CPU."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from measures import clusters, digits, divergence, iris, trust
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

import gpuvis
from gpuvis.backends.gpu.cuml_parameters import tsne_keywords
from gpuvis.backends.neighbor_graph import for_perplexity
from gpuvis.errors import SettingsError
from gpuvis.settings import METRICS, Settings, Tsne, Umap

pytestmark = pytest.mark.gpu
KNOWN = [metric for metric in METRICS if metric != "braycurtis"]


def draw(X: np.ndarray, asked: Umap | Tsne, where: str = "gpu", **more: object) -> np.ndarray:
    method = "umap" if isinstance(asked, Umap) else "tsne"
    settings = Settings(**{"umap": None, method: asked, **more})
    return gpuvis.reduce(torch.from_numpy(X), settings, backend=where)[method].coords


def test_pca_in_core_is_that_of_scikit_learn(backend) -> None:
    X = clusters(3000, 128)
    plan = backend.plan(*X.shape, 4, Settings(pca_dim=10))
    assert plan.pca == "in core"
    agrees_with_scikit_learn(backend, X, plan)


def test_pca_streamed_is_that_of_scikit_learn(backend, room) -> None:
    X = clusters(3000, 256)
    room(1.9 * X.nbytes)
    plan = backend.plan(*X.shape, 4, Settings(umap=Umap(n_neighbors=3), pca_dim=10))
    assert plan.pca == "streamed"
    agrees_with_scikit_learn(backend, X, plan)


def agrees_with_scikit_learn(backend, X, plan) -> None:
    scores, kept = backend.pca(torch.from_numpy(X), 10, 1, 1.0, plan)
    judge = PCA(10, svd_solver="full").fit(X.astype(np.float64))
    np.testing.assert_allclose(backend.to_host(scores), judge.transform(X.astype(np.float64)), atol=1e-3)
    assert kept == pytest.approx(judge.explained_variance_ratio_.sum(), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 42])
def test_umap_of_iris(seed) -> None:
    assert trust(iris(), draw(iris(), Umap(n_neighbors=10, min_dist=0.01), seed=seed), 10) >= 0.97


@pytest.mark.long
def test_umap_of_digits() -> None:
    assert trust(digits(), draw(digits(), Umap(n_neighbors=15))) >= 0.96


@pytest.mark.long
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_tsne_of_digits(metric) -> None:
    assert trust(digits(), draw(digits(), Tsne(metric=metric)), 5, metric) >= 0.95


@pytest.mark.long
@pytest.mark.parametrize("pca_dim", [None, 30])
@pytest.mark.parametrize("asked", [Umap(), Tsne()], ids=["umap", "tsne"])
def test_maps_are_as_good_as_those_of_the_cpu(asked, pca_dim, measured) -> None:
    X = digits()
    on_gpu, on_cpu = (trust(X, draw(X, asked, where, pca_dim=pca_dim)) for where in ("gpu", "cpu"))
    measured(f"trustworthiness: GPU {on_gpu:.4f}, CPU {on_cpu:.4f}")
    assert abs(on_gpu - on_cpu) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("asked", [Umap(), Tsne()], ids=["umap", "tsne"])
def test_maps_by_nn_descent_are_as_good_as_those_of_the_cpu(asked, approximate, rows, measured) -> None:
    X = clusters(rows(5000), 256)
    on_gpu, on_cpu = (trust(X, draw(X, asked, where)) for where in ("gpu", "cpu"))
    measured(f"trustworthiness: GPU {on_gpu:.4f}, CPU {on_cpu:.4f}")
    assert abs(on_gpu - on_cpu) <= 0.05


@pytest.mark.parametrize("metric", KNOWN)
def test_every_metric_keeps_its_own_neighbourhoods(metric) -> None:
    X = np.abs(clusters(300, 24)) + np.float32(0.01)
    for asked in (Umap(n_neighbors=15, metric=metric), Tsne(perplexity=10, metric=metric)):
        Y = draw(X, asked)
        told = "cityblock" if metric == "manhattan" else metric
        assert trust(X, Y, 10, told) > trust(X, PCA(2).fit_transform(X), 10, told) + 0.03


@pytest.mark.parametrize("asked", [Umap(metric="braycurtis"), Tsne(metric="braycurtis")], ids=["umap", "tsne"])
def test_a_metric_that_the_gpu_does_not_know_is_refused(asked) -> None:
    with pytest.raises(SettingsError, match="braycurtis is not known on the GPU; use --backend cpu"):
        draw(iris(), asked)


DATA = {"digits": lambda rows: digits(rows) / 16, "far from each other": lambda rows: clusters(rows, 512)}


@pytest.mark.parametrize("name", [pytest.param("digits", marks=pytest.mark.long), "far from each other"])
def test_affinities_of_tsne_are_those_of_the_definition(backend, cp, rows, name, measured) -> None:
    """cuML counts the point itself as a neighbour; `for_perplexity` undoes that."""
    X, asked = DATA[name](rows(1797)), Tsne(perplexity=20, metric="euclidean")
    keywords = tsne_keywords(asked, len(X), 1)
    device = backend.as_array(X)
    graph = backend.neighbors(device, backend.plan(*X.shape, 4, Settings(umap=None, tsne=asked)).graphs["tsne"])
    indices, distances = graph.nearest(keywords["n_neighbors"])
    maps, told = {}, {}
    for way, squared in (("ours", for_perplexity(distances, cp)), ("plain", cp.square(distances))):
        model = import_module("cuml").TSNE(**keywords)
        maps[way] = cp.asnumpy(model.fit_transform(backend.start(device, asked), knn_graph=(indices, squared)))
        told[way] = float(model.kl_divergence_)
    judge = TSNE(perplexity=20, init="pca", random_state=1)
    maps["scikit-learn"] = judge.fit_transform(X)
    told["scikit-learn"] = float(judge.kl_divergence_)
    trusts = {way: trust(X, Y) for way, Y in maps.items()}
    divergences = {way: divergence(X, Y, 20) for way, Y in maps.items()}
    for way in maps:
        measured(f"{name}, {way}: trust {trusts[way]:.4f}, KL {divergences[way]:.4f}, kl_divergence_ {told[way]:.4f}")
    for other in ("plain", "scikit-learn"):
        assert trusts["ours"] >= trusts[other] - 0.01
        assert divergences["ours"] <= divergences[other] * 1.03 + 0.01
