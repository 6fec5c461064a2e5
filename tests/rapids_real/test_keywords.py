"""Our settings mean to cuML what the CPU's settings mean to it, as cuML itself translates them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from gpuvis.backends.gpu.cuml_parameters import pca_keywords, tsne_keywords, umap_keywords
from gpuvis.settings import Tsne, Umap

UMAP_DIFFERS = {
    "hash_input": "a hash of X serves transform of the same X, which is never asked",
    "force_serial_epochs": "cuML would choose True for a spectral start by itself; said, it cannot change",
    "build_algo": "with a graph it builds none, but nn_descent would bring X back to the host",
    "output_type": "the result stays on the device until it is asked for",
}
TSNE_DIFFERS = {
    "learning_rate": "scikit-learn's max(N / 48, 50) times 4: cuML's gradient lacks the factor 4",
    "learning_rate_method": "the adaptive one replaces n_neighbors and early_exaggeration by its own",
    "n_neighbors": "3 * perplexity + 1, as scikit-learn; the default is 90 whatever the perplexity",
    "square_distances": "the graph's distances are squared already",
    "output_type": "the result stays on the device until it is asked for",
}
PCA_DIFFERS = {
    "svd_solver": "auto means full in cuML; said, it cannot change",
    "output_type": "the result stays on the device until it is asked for",
}
UMAPS = [Umap(), Umap(n_neighbors=7, min_dist=0.5), *(Umap(metric=m) for m in ("cosine", "manhattan", "correlation"))]
UMAPS += [Umap(metric="chebyshev"), Umap(metric="canberra")]
TSNES = [Tsne(), Tsne(perplexity=11.5, init="random"), *(Tsne(metric=m) for m in ("euclidean", "manhattan"))]
TSNES += [Tsne(metric="correlation"), Tsne(metric="chebyshev")]


def differences(estimator: Any, keywords: dict[str, Any], cpu: Any) -> dict[str, tuple[Any, Any]]:
    """Return each parameter in which ours and cuML's own translation differ; ours comes first."""
    defaults = {p.name: p.default for p in inspect.signature(estimator).parameters.values()}
    ours = estimator(**keywords).get_params()
    theirs = defaults | estimator._params_from_cpu(cpu)
    assert set(ours) == set(theirs) == set(defaults)
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


@pytest.mark.parametrize("settings", UMAPS, ids=str)
def test_umap(settings: Umap) -> None:
    import cuml
    import umap

    keywords = umap_keywords(settings, 3)
    cpu = umap.UMAP(
        n_neighbors=settings.n_neighbors, min_dist=settings.min_dist, metric=settings.metric, random_state=3
    )
    found = differences(cuml.UMAP, keywords, cpu)
    assert set(found) == set(UMAP_DIFFERS)
    assert found["force_serial_epochs"] == (True, None)
    assert found["build_algo"] == ("brute_force_knn", "auto")


@pytest.mark.parametrize("settings", TSNES, ids=str)
@pytest.mark.parametrize("rows", [5000, 100_000])
def test_tsne(settings: Tsne, rows: int) -> None:
    import cuml
    from sklearn.manifold import TSNE

    keywords = tsne_keywords(settings, rows, 3)
    cpu = TSNE(perplexity=settings.perplexity, metric=settings.metric, init=settings.init, random_state=3)
    found = differences(cuml.TSNE, keywords, cpu)
    assert set(found) == set(TSNE_DIFFERS)
    assert found["learning_rate"][0] == 4 * max(rows / 48, 50)  # scikit-learn's, where cuML's gradient is a fourth
    assert found["learning_rate_method"] == ("none", "adaptive")
    assert found["n_neighbors"][0] >= 3 * settings.perplexity + 1
    assert found["square_distances"] == (False, True)
    assert keywords["method"] == "fft"


def test_tsne_of_few_rows_has_the_rate_that_scikit_learn_has_there() -> None:
    assert tsne_keywords(Tsne(), 1797, 3)["learning_rate"] == 4 * 50


def test_tsne_of_a_metric_that_cuml_does_not_know_is_built_from_its_graph() -> None:
    import cuml
    from sklearn.manifold import TSNE

    with pytest.raises(Exception, match="canberra"):
        cuml.TSNE._params_from_cpu(TSNE(metric="canberra"))
    assert tsne_keywords(Tsne(metric="canberra"), 500, 3)["metric"] == "euclidean"


@pytest.mark.parametrize("n_components", [2, 50])
def test_pca(n_components: int) -> None:
    import cuml
    from sklearn.decomposition import PCA

    found = differences(cuml.PCA, pca_keywords(n_components), PCA(n_components))
    assert set(found) == set(PCA_DIFFERS)
    assert found["svd_solver"] == ("full", "auto")


@pytest.mark.parametrize("settings", UMAPS, ids=str)
def test_every_metric_of_ours_is_one_of_cumls(settings: Umap) -> None:
    from cuml.manifold.umap.umap import coerce_metric

    coerce_metric(umap_keywords(settings, 3)["metric"])
