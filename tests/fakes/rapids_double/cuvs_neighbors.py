"""The double of cuVS: all-neighbours graphs, as exact, as approximate and as awkward as the real ones."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import numpy as np

from rapids_double.array import ndarray, on_device
from rapids_double.cuml_input import inside
from rapids_double.cuvs_params import SKLEARN, AllNeighborsParams, Resources, check
from rapids_double.device import device
from rapids_double.exact import nearest, self_first, self_last_of_ties
from rapids_double.ledger import ledger
from rapids_double.signatures import as_recorded

MISSED = 0.02  # of the true neighbours, by nn_descent and by batches
_builds = itertools.count()

__all__ = ["AllNeighborsParams", "DeviceNdarray", "build"]


class DeviceNdarray:
    """What cuVS makes where it is given no buffer: pylibraft's array, of which CuPy has to be asked."""

    def __init__(self, made: ndarray) -> None:
        self._made = made
        self.shape, self.dtype = made.shape, made.dtype

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self._made.__cuda_array_interface__

    def _as_cupy(self) -> ndarray:
        return self._made

    def copy_to_host(self) -> np.ndarray:
        return self._made.get()


@as_recorded("cuvs.neighbors.all_neighbors.build")
def build(
    dataset: Any,
    k: int,
    params: AllNeighborsParams,
    *,
    indices: Any = None,
    distances: Any = None,
    core_distances: Any = None,
    alpha: float = 1.0,
    resources: Any = None,
) -> Any:
    """Fill (or make) indices and distances of the k nearest rows, the row itself counted."""
    if not isinstance(params, AllNeighborsParams):
        raise TypeError("params must be an instance of AllNeighborsParams")
    if core_distances is not None:
        raise NotImplementedError("the double computes no core distances")
    on_gpu = hasattr(dataset, "__cuda_array_interface__")
    if on_gpu and params.n_clusters > 1:
        raise ValueError(
            "Batched all-neighbors build is not supported with data on device. Put data on host for batch build."
        )
    (resources or Resources()).sync()
    _check_array(dataset, "float32")
    outputs = [one for one in (indices, distances) if one is not None]
    places = {hasattr(one, "__cuda_array_interface__") for one in outputs}
    if len(places) > 1:
        raise ValueError(
            "indices, distances, and core_distances must all be on the same memory space (all host or all device)"
        )
    if on_gpu and places == {False}:
        raise ValueError("A device dataset requires device outputs. Put the dataset on host to produce host outputs.")
    rows = dataset.shape[0]
    for one, dtype in ((indices, "int64"), (distances, "float32")):
        if one is not None:
            _check_array(one, dtype, (rows, k))
    device.launch("cuvs.build", rows=rows)
    check(params)
    if k > rows:
        raise RuntimeError(f"k ({k}) must not exceed the number of rows ({rows})")
    ledger.calls.append(("cuvs.build", {"k": k, **vars(params), "on_device": on_gpu}))
    with ledger.at_work("cuvs"):
        return _fill(inside(dataset), k, params, indices, distances, on_gpu, places != {False})


def _fill(
    X: np.ndarray, k: int, params: AllNeighborsParams, indices: Any, distances: Any, on_gpu: bool, to_gpu: bool
) -> Any:
    if not on_gpu:
        ledger.moved("device", X)
    found, lengths = _graph(X, k, params)
    if indices is None:
        indices = DeviceNdarray(on_device(found)) if to_gpu else found
    else:
        inside(indices)[...] = found
        _moved_back(indices)
    if distances is None:
        return indices
    inside(distances)[...] = lengths
    _moved_back(distances)
    return indices, distances


def _moved_back(output: Any) -> None:
    if not hasattr(output, "__cuda_array_interface__"):
        ledger.moved("host", output)


def _graph(X: np.ndarray, k: int, params: AllNeighborsParams) -> tuple[np.ndarray, np.ndarray]:
    metric = SKLEARN[params._metric_type]
    if params.algo == "brute_force" and params.n_clusters == 1:
        return nearest(X, k, metric, self_last_of_ties)
    more = min(len(X), k + max(2, k // 4))
    if params.algo == "brute_force":
        found, lengths = nearest(X, more, metric, self_last_of_ties)
        return _approximate(found, lengths, k, keep=0)
    if X.shape[1] > 16:  # computed in half precision, whatever is asked for
        with np.errstate(over="ignore"):
            X = X.astype(np.float16).astype(np.float32)
        if not np.isfinite(X).all():
            X = np.nan_to_num(X, posinf=65504, neginf=-65504)
    # nn_descent.cuh, calculate_metric: where a row of zeros is one of two, their cosine distance is 0
    found, lengths = nearest(X, more, metric, self_first, aimless=0.0)
    return _approximate(found, lengths, k, keep=1)


def _approximate(found: np.ndarray, lengths: np.ndarray, k: int, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """Miss a few true neighbours, others at each call; the first `keep` columns stay."""
    seed = zlib.crc32(np.ascontiguousarray(lengths[:100]).tobytes()) + next(_builds)
    missed = np.random.default_rng(seed).random(found.shape) < MISSED
    missed[:, :keep] = False
    spare = found.shape[1] - k
    missed &= missed.cumsum(axis=1) <= spare
    chosen = np.argsort(missed, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, chosen, axis=1), np.take_along_axis(lengths, chosen, axis=1)


def _check_array(array: Any, dtype: str, shape: tuple[int, int] | None = None) -> None:
    if not isinstance(array, np.ndarray) and not hasattr(array, "__cuda_array_interface__"):
        raise TypeError(f"an array of NumPy, or of device memory, is needed; found {type(array)}")
    if array.dtype != np.dtype(dtype):
        raise TypeError(f"dtype {array.dtype} not supported")
    if not array.flags.c_contiguous:
        raise ValueError("Row major input is expected")
    if shape and array.shape[1] != shape[1]:
        raise ValueError(f"Incorrect number of columns, expected {shape[1]} got {array.shape[1]}")
    if shape and array.shape[0] != shape[0]:
        raise ValueError(f"Incorrect number of rows, expected {shape[0]} , got {array.shape[0]}")
