"""Translate settings into the parameters of cuML's estimators, without importing cuML.

The defaults of all other parameters are the same as in umap-learn and scikit-learn.
"""

from __future__ import annotations

from typing import Any

from gpuvis.settings import Tsne, Umap

TSNE_METRICS = ("euclidean", "cosine", "correlation", "manhattan", "chebyshev")


def pca_keywords(n_components: int) -> dict[str, Any]:
    """Return the parameters of `cuml.PCA`, which computes the covariance and its eigenvectors."""
    return {"n_components": n_components, "svd_solver": "full", "output_type": "cupy"}


def umap_keywords(settings: Umap, seed: int) -> dict[str, Any]:
    """Return the parameters of `cuml.UMAP`, which also gets a neighbour graph.

    `n_epochs` None means the same as in umap-learn: 500 epochs up to 10,000 rows, 200 for more. `force_serial_epochs`
    prevents outliers far outside the map. `build_algo` has no effect with a graph; but with NN-descent cuML would copy
    the data to the host before it notices the graph.
    """
    return {
        "n_neighbors": settings.n_neighbors,
        "n_components": 2,
        "metric": settings.metric,
        "min_dist": settings.min_dist,
        "init": "spectral",
        "n_epochs": None,
        "random_state": seed,
        "force_serial_epochs": True,
        "build_algo": "brute_force_knn",
        "output_type": "cupy",
    }


def tsne_keywords(settings: Tsne, rows: int, seed: int) -> dict[str, Any]:
    """Return the parameters of `cuml.TSNE`, which also gets a neighbour graph with squared distances.

    The adaptive learning rate is off, because it would replace `n_neighbors` and the exaggeration. The rate is
    scikit-learn's, max(N / 48, 50), times 4, because cuML's gradient lacks the factor 4 of the definition (van der
    Maaten, Hinton 2008, JMLR 9:2579, eq. 5; cuML 26.10, cpp/src/tsne/fft_kernels.cuh, IntegrationKernel). After the
    early exaggeration cuML doubles the rate. `metric` has no effect with a graph, so "euclidean" can replace a metric
    that cuML's t-SNE does not support.
    """
    return {
        "n_components": 2,
        "perplexity": settings.perplexity,
        "early_exaggeration": 12.0,
        "learning_rate": max(rows / 12, 200.0),
        "learning_rate_method": "none",
        "max_iter": 1000,
        "metric": settings.metric if settings.metric in TSNE_METRICS else "euclidean",
        "init": settings.init,
        "random_state": seed,
        "method": "fft",
        "n_neighbors": settings.n_graph_neighbors(rows),
        "square_distances": False,
        "output_type": "cupy",
    }
