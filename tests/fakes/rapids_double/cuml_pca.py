"""The double of cuml.PCA: the covariance's eigenvectors, with scikit-learn's signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rapids_double.array import ndarray, on_device
from rapids_double.cuml_input import Base, check_array
from rapids_double.ledger import ledger
from rapids_double.signatures import as_recorded


class PCA(Base):
    """A stand-in for cuml.PCA."""

    _recorded = "cuml.PCA"
    _attributes = ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "mean_")

    @as_recorded("cuml.PCA.fit")
    def fit(self, X: Any, y: Any = None) -> PCA:
        self._began(X)
        with ledger.at_work("cuml"):
            X = check_array(X, dtype=("float32", "float64"), order="F", name="X", min_samples=2, min_features=2)
            self.n_samples_, self.n_features_in_ = X.shape
            self.n_components_ = self._components(*X.shape)
            self._fit(X)
        return self

    def _components(self, rows: int, columns: int) -> int:
        if self.svd_solver not in ("auto", "full", "jacobi"):
            raise ValueError(f"Expected `svd_solver` to be one of ['auto', 'full', 'jacobi'], got {self.svd_solver!r}")
        if self.n_components is None:
            return min(rows, columns)
        if self.n_components > columns:
            raise ValueError(
                f"`n_components` ({self.n_components}) must be <= than the number of features in X ({columns})"
            )
        if not isinstance(self.n_components, (int, np.integer)):
            raise TypeError("an integer is required")
        if self.n_components < 1:
            raise RuntimeError("Parameter n_components: number of components cannot be less than one")
        return int(self.n_components)

    def _fit(self, X: ndarray) -> None:
        host = X._host.astype(np.float64)
        mean = host.mean(axis=0)
        host -= mean
        values, vectors = np.linalg.eigh(host.T @ host / (len(host) - 1))
        values = np.maximum(values[::-1], 0)
        components = vectors.T[::-1][: self.n_components_]
        largest = np.abs(components).argmax(axis=1)
        signs = np.sign(components[np.arange(len(components)), largest])
        kept = values[: self.n_components_]
        with np.errstate(invalid="ignore"):
            found = {
                "components_": components * np.where(signs == 0, 1, signs)[:, None],
                "explained_variance_": kept,
                "explained_variance_ratio_": kept / values.sum(),
                "singular_values_": np.sqrt(kept * (len(host) - 1)),
                "mean_": mean,
            }
        self._fitted = {name: on_device(np.asarray(value, X.dtype, order="F")) for name, value in found.items()}
        self.noise_variance_ = float(values[self.n_components_ :].mean()) if self.n_components_ < len(values) else 0.0

    def __getattr__(self, name: str) -> Any:
        if name in PCA._attributes and "_fitted" in vars(self):
            return self._out(self._fitted[name])
        raise AttributeError(f"'PCA' object has no attribute {name!r}")

    @as_recorded("cuml.PCA.transform")
    def transform(self, X: Any) -> Any:
        with ledger.at_work("cuml"):
            X = check_array(X, dtype=(str(self._fitted["mean_"].dtype),), order="F", name="X")
            if X.shape[1] != self.n_features_in_:
                raise ValueError(f"X has {X.shape[1]} features, but PCA is expecting {self.n_features_in_} features")
            scores = (X._host - self._fitted["mean_"]._host) @ self._fitted["components_"]._host.T
            if self.whiten:
                scores /= np.sqrt(self._fitted["explained_variance_"]._host)
            result = on_device(np.asfortranarray(scores, X.dtype))
        return self._out(result)

    @as_recorded("cuml.PCA.fit_transform")
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.fit(X).transform(X)
