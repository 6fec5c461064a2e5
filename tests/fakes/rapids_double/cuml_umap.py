"""The double of cuml.UMAP: cuML's checks, a layout by the loops of the CPU backend."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import ArpackError, eigsh

from gpuvis.backends.cpu import affinities, umap
from gpuvis.backends.neighbor_graph import Graph
from rapids_double.array import on_device
from rapids_double.cuml_input import Base, check_array, extract_knn_graph, inside, log
from rapids_double.device import device
from rapids_double.exact import METRICS, nearest
from rapids_double.ledger import ledger
from rapids_double.signatures import as_recorded

MOST_SPECTRAL = (2**31 - 1) // 20  # raft's lanczos.cuh, with ncv = 20
INITS = ("random", "spectral")
ALGORITHMS = ("auto", "brute_force_knn", "nn_descent")
NAMES = {"l2": "euclidean", "l1": "cityblock", "manhattan": "cityblock", "taxicab": "cityblock", "linf": "chebyshev"}
NN_DESCENT = ("euclidean", "sqeuclidean", "cosine")
OF_LAYOUT = {  # parameters that the layout of the double does not know, and their defaults
    **dict.fromkeys(("spread", "learning_rate", "repulsion_strength", "set_op_mix_ratio", "local_connectivity"), 1.0),
    **dict.fromkeys(("n_epochs", "a", "b")),
    "n_components": 2,
    "negative_sample_rate": 5,
}
SUPPORTED = (*METRICS, "cityblock", "canberra", "minkowski", "hellinger", "hamming")


class UMAP(Base):
    """A stand-in for cuml.UMAP. With a precomputed graph it never reads the values of X, as the real one."""

    _recorded = "cuml.UMAP"

    @as_recorded("cuml.UMAP.fit")
    def fit(self, X: Any, y: Any = None, *, knn_graph: Any = None) -> UMAP:
        if y is not None:
            raise NotImplementedError("the double knows no supervised UMAP")
        self._began(X)
        graph = self.precomputed_knn if knn_graph is None else knn_graph
        with ledger.at_work("cuml"):
            algorithm = self._checked(len(X))
            clusters = (self.build_kwds or {}).get("knn_n_clusters", 1)
            from_host = algorithm == "nn_descent" or clusters > 1
            mem_type = "host" if from_host else "device" if graph is None else None
            X = check_array(X, dtype=("float32",), order="C", mem_type=mem_type, name="X", min_samples=2)
            start = self._start(len(X))
            if graph is not None:
                flat = extract_knn_graph(graph, len(X), self._n_neighbors, mem_type=None)
                indices, distances = (inside(one).reshape(len(X), -1) for one in flat)
            else:
                indices, distances = nearest(inside(X), self._n_neighbors, NAMES.get(self.metric, self.metric))
            coords = self._layout(indices, distances, start)
            self._embedding = on_device(np.ascontiguousarray(coords, np.float32))
        return self

    def _checked(self, rows: int) -> str:
        """Return the algorithm for the graph; raise what cuML raises of the parameters."""
        if self.n_components < 1:
            raise ValueError(f"Expected `n_components >= 1`, got {self.n_components}")
        if self.n_neighbors < 1:
            raise ValueError(f"Expected `n_neighbors >= 1`, got {self.n_neighbors}")
        if self.min_dist > self.spread:
            raise ValueError(f"Expected min_dist ({self.min_dist}) <= spread ({self.spread})")
        self._n_neighbors = min(rows, self.n_neighbors)
        if self._n_neighbors != self.n_neighbors:
            warnings.warn(
                f"n_neighbors ({self.n_neighbors}) is larger than n_samples ({rows}) truncating to {self._n_neighbors}",
                stacklevel=3,
            )
        algorithm = self._algorithm(rows)
        self._check_metric(algorithm)
        if isinstance(self.init, str) and self.init not in INITS:
            raise ValueError(f"Expected `init` to be an array or one of {list(INITS)}, got {self.init!r}")
        if self.target_metric not in ("euclidean", "l2", "categorical"):
            raise ValueError(f"Expected `target_metric` to be one of ..., got {self.target_metric!r}")
        if self.random_state is not None and not 0 <= self.random_state < 2**32:
            raise ValueError(f"Expected `0 <= random_state <= 2**32 - 1`, got {self.random_state}")
        return algorithm

    def _algorithm(self, rows: int) -> str:
        algorithm = self.build_algo
        if algorithm not in ALGORITHMS:
            raise ValueError(f"Expected `build_algo` to be one of {list(ALGORITHMS)}, got {algorithm!r}")
        if algorithm == "auto":
            algorithm = "nn_descent" if self.random_state is None and rows > 50_000 else "brute_force_knn"
        if algorithm == "nn_descent" and rows < 150:
            text = "using build_algo='nn_descent' on a small dataset (< 150 samples) is unstable"
            warnings.warn(text, stacklevel=4)
        if algorithm == "nn_descent" and self.random_state is not None:
            text = "build_algo='nn_descent' is not deterministic. Please use build_algo='brute_force_knn' instead"
            warnings.warn(f"{text} with random_state set.", stacklevel=4)
        keywords = self.build_kwds or {}
        clusters, overlap = keywords.get("knn_n_clusters", 1), keywords.get("knn_overlap_factor", 2)
        if clusters < 1:
            raise ValueError(f"Expected `knn_n_clusters >= 1`, got {clusters}")
        if clusters > 1 and overlap >= clusters:
            raise ValueError(
                f"`knn_n_clusters > 1` requires `knn_n_clusters ({clusters}) > knn_overlap_factor ({overlap})`"
            )
        return algorithm

    def _check_metric(self, algorithm: str) -> None:
        if not isinstance(self.metric, str):
            raise TypeError(f"Expected `metric` to be a str, got {type(self.metric).__name__}")
        metric = NAMES.get(self.metric.lower(), self.metric.lower())
        if metric not in (*SUPPORTED, "jaccard"):
            raise ValueError(f"Invalid value for metric: {self.metric!r}")
        if metric == "jaccard" or (algorithm == "nn_descent" and metric not in NN_DESCENT):
            raise NotImplementedError(
                f"Metric {self.metric!r} not supported for dense inputs with build_algo={algorithm!r}"
            )

    def _start(self, rows: int) -> Any:
        if isinstance(self.init, str):
            return self.init
        start = check_array(self.init, dtype=("float32",), order="C", mem_type=None, name="init")
        if start.shape != (rows, self.n_components):
            raise ValueError(f"Expected `init` with shape {(rows, self.n_components)}, got {start.shape}")
        return inside(start).copy()

    def _layout(self, indices: np.ndarray, distances: np.ndarray, start: Any) -> np.ndarray:
        """Lay the graph out by the loops of the CPU backend, which are compiled already, unlike umap-learn's.

        They rescale a start that is an array; the real one takes it as it is.
        """
        for name, value in OF_LAYOUT.items():
            if getattr(self, name) != value:
                raise NotImplementedError(f"the double lays out with {name}={value} only")
        rows, k = indices.shape
        seed = np.random.SeedSequence().entropy % 2**32 if self.random_state is None else self.random_state
        graph = Graph(indices.astype(np.int32), distances.astype(np.float32), np)
        weights = affinities.memberships(graph, k, umap.least_weight(rows))
        _check_edges(weights, 500 if rows <= 10_000 else 200)
        if isinstance(start, str):
            init = spectral(rows) if start == "spectral" else start
            start = (_eigenvectors if init == "spectral" else _random)(weights, np.random.default_rng(seed))
        return umap.layout(weights, start, self.min_dist, seed)

    @property
    def embedding_(self) -> Any:
        return self._out(self._embedding)

    @as_recorded("cuml.UMAP.fit_transform")
    def fit_transform(self, X: Any, y: Any = None, *, knn_graph: Any = None) -> Any:
        return self.fit(X, y, knn_graph=knn_graph).embedding_


def _check_edges(graph: Any, epochs: int) -> None:
    """Raise where a row has no edge left once weak ones are trimmed.

    simpl_set_embed/algo.cuh, create_gradient_rounding_factor: the slots of such rows are never written, and the largest
    of all slots decides to which digit gradients are rounded.
    """
    kept = graph.tocoo()
    strong = kept.data >= kept.data.max() / epochs if kept.nnz else np.zeros(0, bool)
    alone = kept.shape[0] - len(np.unique(kept.row[strong]))
    assert not alone, f"{alone} rows have no edge: the rounding factor of gradients is read from unwritten memory"


def spectral(rows: int) -> str:
    """Return how the layout starts: a spectral start that fails is made random, and printed of."""
    assert rows > 7, "compute_eigenpairs of cuVS reads or writes out of bounds for 5, 6 and 7 rows"
    assert rows <= MOST_SPECTRAL, "kernel_normalize of raft indexes 20 vectors of so many rows in C's int"
    try:
        device.launch("cuml.spectral")
    except RuntimeError:
        log("Spectral initialization failed, using random initialization instead.")
        return "random"
    return "spectral"


def _random(weights: sparse.csr_matrix, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-10, 10, (weights.shape[0], 2))


def _eigenvectors(weights: sparse.csr_matrix, rng: np.random.Generator) -> np.ndarray:
    """Return the second and third eigenvector of the normalised graph; where they are not found, a random start."""
    rows = weights.shape[0]
    roots = sparse.diags(1 / np.sqrt(np.maximum(weights.sum(axis=1).A1, 1e-6)))
    try:
        _, vectors = eigsh((roots @ weights @ roots).astype(np.float64), k=3, v0=rng.random(rows), tol=1e-4)
    except ArpackError:
        return _random(weights, rng)
    return vectors[:, 1::-1]
