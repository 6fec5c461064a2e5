"""The double of cuml.TSNE: cuML's checks and its perplexity search, the gradient descent of the CPU backend's loops."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rapids_double.array import on_device
from rapids_double.cuml_input import Base, check_array, extract_knn_graph, inside
from rapids_double.exact import nearest
from rapids_double.ledger import ledger
from rapids_double.signatures import as_recorded
from rapids_double.tsne_layout import affinities, layout

METRICS = {
    "l2": "euclidean",
    "euclidean": "euclidean",
    "sqeuclidean": "sqeuclidean",
    "cityblock": "cityblock",
    "l1": "cityblock",
    "manhattan": "cityblock",
    "minkowski": "minkowski",
    "chebyshev": "chebyshev",
    "cosine": "cosine",
    "correlation": "correlation",
}
RANGES = {  # name → (greater than, at least, less than, at most)
    "perplexity": (0, None, None, None),
    "early_exaggeration": (None, 1, None, None),
    "late_exaggeration": (None, 1, None, None),
    "learning_rate": (0, None, None, None),
    "min_grad_norm": (None, 0, None, None),
    "angle": (None, 0, None, 1),
    "n_neighbors": (0, None, None, None),
    "perplexity_max_iter": (None, 0, None, None),
    "exaggeration_iter": (None, 0, None, None),
    "pre_momentum": (0, None, 1, None),
    "post_momentum": (0, None, 1, None),
    "max_iter": (0, None, None, None),
}


class TSNE(Base):
    """A stand-in for cuml.TSNE. It squares and scales a graph's distances where they lie, as the real one."""

    _recorded = "cuml.TSNE"

    @as_recorded("cuml.TSNE.fit")
    def fit(self, X: Any, y: Any = None, *, knn_graph: Any = None) -> TSNE:
        self._began(X)
        graph = self.precomputed_knn if knn_graph is None else knn_graph
        with ledger.at_work("cuml"):
            X = check_array(X, dtype=("float32",), order="F", name="X", min_samples=2, min_features=2)
            rows = len(X)
            self._check(rows)
            if graph is not None:
                indices, distances = (inside(one) for one in extract_knn_graph(graph, rows, self._n_neighbors))
            else:
                indices, distances = nearest(inside(X), self._n_neighbors, METRICS[self.metric])
                distances = distances.reshape(-1)
            start = self._start(X, rows)
            if self.square_distances:
                np.square(distances, out=distances)
            with np.errstate(divide="ignore", invalid="ignore"):
                np.multiply(distances, np.float32(1) / np.abs(distances).max(), out=distances)
            shape = (rows, self._n_neighbors)
            P = affinities(indices.reshape(shape), distances.reshape(shape), self._perplexity, self.perplexity_max_iter)
            coords, self.kl_divergence_, self.n_iter_ = layout(P, start, self)
            self._embedding = on_device(np.asfortranarray(coords, np.float32))
        return self

    def _check(self, rows: int) -> None:
        """Raise what cuML raises of the parameters, and note what it makes of them."""
        if self.n_components != 2:
            raise ValueError(f"Currently TSNE only supports n_components = 2, got {self.n_components}")
        for name, limits in RANGES.items():
            _check_range(name, getattr(self, name), limits)
        for name, known in (
            ("learning_rate_method", ("adaptive", "none", None)),
            ("init", ("random", "pca")),
            ("method", ("barnes_hut", "exact", "fft")),
            ("metric", tuple(METRICS)),
        ):
            if getattr(self, name) not in known:
                names = sorted(str(one) for one in known)
                raise ValueError(f"TSNE expects `{name}` to be one of {names}, got {getattr(self, name)}")
        assert self.method != "barnes_hut", "never use it: cuML's Barnes-Hut can hang"
        self._fit_to(rows)

    def _fit_to(self, rows: int) -> None:
        neighbors, self._perplexity = self.n_neighbors, self.perplexity
        if neighbors > 1023:
            text = f"n_neighbors ({neighbors}) should be < 1024, thresholding n_neighbors to 1023"
            warnings.warn(text, stacklevel=4)
            neighbors = 1023
        self._n_neighbors = min(neighbors, rows)
        if self.perplexity > rows:
            text = f"perplexity ({self.perplexity}) should be less than n_samples, thresholding perplexity to {rows}"
            warnings.warn(text, stacklevel=4)
            self._perplexity = rows
        self._exaggeration, self._rates = self.early_exaggeration, (self.learning_rate, self.learning_rate * 2)
        if self.learning_rate_method == "adaptive" and self.method != "exact":
            if rows <= 2000:
                self._n_neighbors = min(max(self._n_neighbors, 90), rows)
            else:
                self._n_neighbors = max(int(102 - 0.0012 * rows), 30)
            self._rates = (max(rows / 3, 1),) * 2
            self._exaggeration = 24.0 if rows > 10000 else 12.0
        self.learning_rate_ = self._rates[0]

    def _start(self, X: Any, rows: int) -> np.ndarray:
        """Return where the points start; only init="pca" reads X."""
        if self.init == "random":
            return np.random.RandomState(self.random_state).uniform(-1e-4, 1e-4, (rows, 2)).astype(np.float32)
        host = inside(X).astype(np.float64)
        host -= host.mean(axis=0)
        _, vectors = np.linalg.eigh(host.T @ host)
        start = host @ vectors[:, :-3:-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (start / start[:, 0].std() * 1e-4).astype(np.float32)

    @property
    def embedding_(self) -> Any:
        return self._out(self._embedding)

    @as_recorded("cuml.TSNE.fit_transform")
    def fit_transform(self, X: Any, y: Any = None, *, knn_graph: Any = None) -> Any:
        return self.fit(X, knn_graph=knn_graph).embedding_


def _check_range(name: str, value: Any, limits: tuple[Any, Any, Any, Any]) -> None:
    gt, ge, lt, le = limits
    for wanted, failed in (
        (f"> {gt}", gt is not None and value <= gt),
        (f">= {ge}", ge is not None and value < ge),
        (f"< {lt}", lt is not None and value >= lt),
        (f"<= {le}", le is not None and value > le),
    ):
        if failed:
            raise ValueError(f"TSNE requires `{name} {wanted}`, got {value}")
