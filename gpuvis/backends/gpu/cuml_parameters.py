"""Translate settings into the parameters of cuML's estimators, without importing them.

The keywords that are left out have the same default as in umap-learn and scikit-learn.
"""

from __future__ import annotations

from typing import Any

from gpuvis.settings import Tsne, Umap

TSNE_METRICS = ("euclidean", "cosine", "correlation", "manhattan", "chebyshev")


def pca_keywords(n_components: int) -> dict[str, Any]:
    """Return the keywords of `cuml.PCA`: covariance and its eigenvectors."""
    return {"n_components": n_components, "svd_solver": "full", "output_type": "cupy"}


def umap_keywords(settings: Umap, seed: int) -> dict[str, Any]:
    """Return the keywords of `cuml.UMAP`, which is handed a graph as well.

    `n_epochs` None has the meaning of umap-learn: 500 up to 10,000 rows, else 200. `force_serial_epochs` keeps points
    from being thrown far out. `build_algo` is not used with a graph; but if it came to NN-descent, cuML would bring the
    data back to the host before it looks at the graph.
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
    """Return the keywords of `cuml.TSNE`, which is handed a graph of squared distances as well.

    The adaptive learning rate would choose its own `n_neighbors` and exaggeration, so it is off. The rate itself is
    scikit-learn's, max(N / 48, 50), times 4: cuML's gradient lacks the factor 4 of the definition (van der Maaten,
    Hinton 2008, eq. 5; cuML 26.10, cpp/src/tsne/fft_kernels.cuh, IntegrationKernel). After the exaggeration cuML
    doubles it. `metric` is not used with a graph, so one that cuML's t-SNE does not know may stand as euclidean.
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
