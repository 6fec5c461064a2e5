"""The double of cuml.UMAP: cuML's checks, umap-learn's layout."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

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
        """Lay the graph out by umap-learn, on one thread.

        It rescales a start that is an array; the real one takes it as it is.
        """
        with warnings.catch_warnings(action="ignore"):
            from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

        rows = len(indices)
        random_state = np.random.RandomState(self.random_state)
        own = (self.a, self.b) if self.a is not None and self.b is not None else None
        a, b = own or find_ab_params(self.spread, self.min_dist)
        graph, _, _ = fuzzy_simplicial_set(
            np.zeros((rows, 1), np.float32),  # only its length is read
            indices.shape[1],
            random_state,
            self.metric,
            knn_indices=indices,
            knn_dists=distances.astype(np.float32),
            set_op_mix_ratio=self.set_op_mix_ratio,
            local_connectivity=self.local_connectivity,
        )
        epochs = self.n_epochs or (500 if rows <= 10_000 else 200)
        _check_edges(graph, epochs)
        start = spectral(rows) if isinstance(start, str) and start == "spectral" else start
        before = np.random.get_state()  # umap-learn uses NumPy's global one where the graph falls apart
        np.random.seed(random_state.randint(2**31))
        with warnings.catch_warnings(action="ignore"):
            coords, _ = simplicial_set_embedding(
                None,
                graph,
                self.n_components,
                self.learning_rate,
                a,
                b,
                self.repulsion_strength,
                self.negative_sample_rate,
                epochs,
                start,
                random_state,
                "euclidean",
                {},
                densmap=False,
                densmap_kwds={},
                output_dens=False,
            )
        np.random.set_state(before)
        return coords

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
