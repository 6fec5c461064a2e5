"""How cuML checks and converts its input: which memory, which order, which dtype, and what it refuses."""

from __future__ import annotations

import ast
import os
from typing import Any

import numpy as np

from rapids_double.array import ndarray, on_device
from rapids_double.device import device
from rapids_double.functions import as_device
from rapids_double.ledger import Copy, ledger
from rapids_double.signatures import signature


def check_array(
    array: Any,
    *,
    dtype: tuple[str, ...] = (),
    order: str | None = "A",
    mem_type: str | None = "device",
    name: str | None = None,
    ensure_2d: bool = True,
    min_samples: int = 1,
    min_features: int = 1,
    finite: bool = True,
) -> Any:
    """Return the array as cuML wants it; note each transfer and each copy on the device."""
    before, to_device = array, mem_type == "device"
    kind = np.dtype(getattr(array, "dtype", None) or np.asarray(array).dtype)
    wanted = kind if not dtype or kind in [np.dtype(one) for one in dtype] else np.dtype(dtype[0])
    if hasattr(array, "__cuda_array_interface__"):
        array = as_device(array)
        to_device = mem_type != "host"
    if to_device:
        array = as_device(array, wanted, order if order != "A" else "K")
    else:
        host = array.get(order="C") if isinstance(array, ndarray) else array
        array = np.asarray(host, wanted, order=order if order != "A" else "K")
    if isinstance(before, ndarray) and isinstance(array, ndarray) and array is not before:
        why = "order" if before.dtype == array.dtype else "dtype"
        ledger.copies.append(Copy(ledger.who, array.nbytes, array.shape, why))
    _check_shape(array.shape, ensure_2d, min_samples, min_features)
    if finite:
        _check_finite(array, name)
    return array


def _check_shape(shape: tuple[int, ...], ensure_2d: bool, min_samples: int, min_features: int) -> None:
    if len(shape) == 0 or (len(shape) == 1 and ensure_2d):
        kind = "1D" if shape else "scalar"
        raise ValueError(f"Expected 2D array, got {kind} array instead. Reshape your data using array.reshape(-1, 1)")
    if len(shape) > 2:
        raise ValueError(f"Expected 2D array, got {len(shape)}D array instead.")
    if shape[0] < min_samples:
        raise ValueError(
            f"Found array with {shape[0]} sample(s) (shape={shape}) while a minimum of {min_samples} is required."
        )
    if len(shape) == 2 and shape[1] < min_features:
        raise ValueError(
            f"Found array with {shape[1]} feature(s) (shape={shape}) while a minimum of {min_features} is required."
        )


def _check_finite(array: Any, name: str | None) -> None:
    host = array._host if isinstance(array, ndarray) else array
    if host.dtype.kind != "f" or np.isfinite(host).all():
        return
    what = "NaN" if np.isnan(host).any() else f"infinity or a value too large for {host.dtype!r}"
    raise ValueError(f"Input {name or 'array'} contains {what}.")


def extract_knn_graph(
    knn_info: Any, n_samples: int, n_neighbors: int, mem_type: str | None = "device"
) -> tuple[Any, Any]:
    """Return indices and distances, flat, of a graph that was handed over: the caller's own memory where it fits."""
    if not isinstance(knn_info, tuple):
        raise NotImplementedError("the double takes a graph as a tuple (indices, distances)")
    start = "device" if mem_type == "device" else None
    indices = check_array(knn_info[0], dtype=("int64",), order="C", mem_type=start)
    distances = check_array(knn_info[1], dtype=("float32",), order="C", mem_type=start)
    if indices.shape[0] != n_samples or indices.shape != distances.shape:
        raise ValueError(
            f"Expected indices and distances to have shape=(n_samples, n_neighbors) where n_samples={n_samples}, got "
            f"indices.shape={indices.shape}, distances.shape={distances.shape}"
        )
    if not (inside(indices)[:, 0] == np.arange(n_samples)).all():
        raise ValueError(
            "Expected indices and distances to include self references (i.e. the closest sample to each row is "
            "itself). If using `NearestNeighbors.kneighbors` to precompute the KNN, pass in the training data to both "
            "`NearestNeighbors.fit` and `NearestNeighbors.kneighbors`."
        )
    if indices.shape[1] < n_neighbors:
        raise ValueError(
            f"Precomputed KNN data has {indices.shape[1]} neighbors per sample, but n_neighbors={n_neighbors} was "
            f"specified. Please provide KNN data with at least {n_neighbors} neighbors per sample."
        )
    if indices.shape[1] > n_neighbors:
        indices, distances = indices[:, :n_neighbors], distances[:, :n_neighbors]
    indices = check_array(indices.reshape(-1), dtype=("int64",), mem_type=mem_type, ensure_2d=False)
    where = "device" if isinstance(indices, ndarray) else "host"
    flat = distances.reshape(-1)
    return indices, check_array(flat, dtype=("float32",), mem_type=where, ensure_2d=False, finite=False)


def inside(array: Any) -> np.ndarray:
    """Return what cuML's own kernels see: no transfer."""
    return array._host if isinstance(array, ndarray) else np.asarray(array)


def log(text: str, level: str = "warning") -> None:
    """Print as cuML's logger does (internals/logger.pyx, common/logger.hpp): by Python's print, to sys.stdout."""
    print(f"[{os.getpid():6d}][12:00:00:000000][{level:<6}] {text}\n", end="")  # noqa: T201


class Base:
    """An estimator: its constructor takes exactly the recorded keywords, and its results live where the input does."""

    _recorded: str

    def __init__(self, **keywords: Any) -> None:
        recorded = signature(self._recorded)
        try:
            recorded.bind(**keywords)
        except TypeError as error:
            raise TypeError(f"{self._recorded}() {error}") from None
        for name, parameter in recorded.parameters.items():
            setattr(self, name, keywords.get(name, ast.literal_eval(parameter.default)))
        ledger.calls.append((self._recorded, keywords))

    def _began(self, X: Any) -> None:
        """Note the input's kind, for the output, and whether the test wants something to go wrong."""
        device.launch(self._recorded, rows=len(X))
        self._mirror = "cupy" if hasattr(X, "__cuda_array_interface__") else "numpy"

    def _out(self, array: np.ndarray | ndarray) -> Any:
        """Return a result as the caller gets it: like the input, unless `output_type` says otherwise."""
        made = array if isinstance(array, ndarray) else on_device(array)
        kind = self.output_type if self.output_type in ("cupy", "numpy") else self._mirror
        return made if kind == "cupy" else made.get(order="K")
