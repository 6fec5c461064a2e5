"""The GPU backend: RAPIDS cuML on CuPy arrays, on one GPU, the first of CUDA_VISIBLE_DEVICES.

A tensor is copied to the device once, in its own dtype, and becomes float32 there. CuPy shares its memory by DLPack. If
torch was built without CUDA, CuPy copies the rows in chunks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import cupy
import numpy as np
import torch

from gpuvis import arrays, machine
from gpuvis.backends import tally as tallies
from gpuvis.backends.base import Device, Layout
from gpuvis.backends.gpu import layout as layouts
from gpuvis.backends.gpu import limits, memory, memory_model, table
from gpuvis.backends.gpu import neighbors as neighbor_search
from gpuvis.backends.gpu.cuml_parameters import pca_keywords
from gpuvis.backends.gpu.plan import GraphPlan, Plan, Work
from gpuvis.backends.gpu.plan import plan as make_plan
from gpuvis.backends.neighbor_graph import Graph
from gpuvis.backends.pca import fit as fit_pca
from gpuvis.io import pt
from gpuvis.settings import MethodName, MethodSettings, Settings, Tsne

name, xp, SAFE, COMPARED = "gpu", cupy, limits.SAFE, limits.COMPARED
ROUNDING = 1e-6  # error of a small cosine distance, which is one minus a product in float32
BY_TORCH = "torch → DLPack → CuPy"
BY_CUPY = "host → CuPy, in chunks, because this torch has no CUDA"

settle, give_back = memory.settle, memory.give_back
LAYOUTS: dict[MethodName, Callable[..., Layout]] = {"umap": layouts.umap, "tsne": layouts.tsne}
in_parts = tallies.in_parts
check, factorize = limits.check, table.factorize
read_tensor = pt.load


def set_up(memory_limit: int | None = None) -> None:
    """Set up the device's memory, before anything is allocated there, and test the device by a small fit."""
    memory.set_up(memory_limit)
    _small_fit()


@cache
def _small_fit() -> None:
    """Copy a small matrix to the device, compute its PCA and neighbour graph, and check them; once a process."""
    rows = as_array(torch.arange(60, dtype=torch.float16).reshape(20, 3) % 7)
    scores, _ = _pca_in_core(rows, 2)
    graph = neighbors(scores, GraphPlan("euclidean", 3, "exact"))
    if not (np.isfinite(to_host(scores)).all() and np.isfinite(to_host(graph.distances)).all()):
        raise RuntimeError("a small PCA or its neighbour graph holds values that are not finite")


def describe() -> Device:
    """Return the GPU, its memory and its versions."""
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    details = {
        "compute_capability": _dotted(cupy.cuda.Device(0).compute_capability),
        "driver": str(cupy.cuda.runtime.driverGetVersion()),
        "runtime": str(cupy.cuda.runtime.runtimeGetVersion()),
        "transfer": BY_TORCH if torch.cuda.is_available() else BY_CUPY,
        "allocator": memory.allocator(),
    }
    return Device("gpu", properties["name"].decode(), machine.cpu_threads(), memory.total(), details)


def _dotted(capability: str) -> str:
    return f"{capability[:-1]}.{capability[-1]}"


def working(plan: Plan) -> AbstractContextManager[None]:
    """Do nothing: the number of CPU threads does not matter on the GPU."""
    return nullcontext()


def promise(method: MethodName, plan: Plan) -> str:
    """Return whether the same input, settings and seed give the same map, as a sentence."""
    return plan.repeatable[method]


def plan(rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> Plan:
    """Plan a reduction with the memory that is free now."""
    room = memory_model.Bytes(memory.free(), machine.memory_available())
    return make_plan(Work(rows, columns, itemsize, settings, room, scaled=scaled))


def as_array(X: Any, scale: float = 1.0) -> cupy.ndarray:
    """Return a tensor or array, times a scale, as float32 in C order on the device."""
    if isinstance(X, cupy.ndarray):
        return cupy.ascontiguousarray(X, cupy.float32) if scale == 1 else X.astype(cupy.float32) * np.float32(scale)
    tensor = _tensor(X)
    if not torch.cuda.is_available():
        return _through_cupy(tensor, scale)
    moved = tensor.cuda().float().contiguous()
    if scale != 1:  # in place, unless the caller owns the memory
        moved = moved * scale if tensor.is_cuda else moved.mul_(scale)
    if tensor.dtype != torch.float32 and tensor.nbytes > memory_model.CHUNK:
        torch.cuda.empty_cache()  # frees the copy in the original dtype; the memory of smaller blocks is reused
    return cupy.from_dlpack(moved)


def _tensor(X: Any) -> torch.Tensor:
    """Return a tensor; an array that torch does not accept (long double, byte order, strides) is copied first."""
    if isinstance(X, np.ndarray):
        X = X.astype(np.float64 if X.dtype.type is np.longdouble else X.dtype.newbyteorder("="), copy=False)
        if any(stride < 0 or stride % X.itemsize for stride in X.strides):
            X = np.ascontiguousarray(X)
    with warnings.catch_warnings(action="ignore"):  # torch warns of read-only arrays; nothing writes to this one
        return torch.as_tensor(X).detach()


def _through_cupy(tensor: torch.Tensor, scale: float) -> cupy.ndarray:
    X = cupy.empty(tuple(tensor.shape), cupy.float32)
    for start, block in arrays.blocks(tensor, memory_model.CHUNK):
        rows = block.float() if block.dtype == torch.bfloat16 else block  # NumPy has no bfloat16
        X[start : start + len(block)] = cupy.asarray(rows.contiguous().numpy())
    if scale != 1:
        X *= np.float32(scale)
    return X


def to_host(X: Any) -> np.ndarray:
    """Return an array as float32 in C order on the host."""
    if isinstance(X, np.ndarray):
        return np.ascontiguousarray(X, np.float32)
    return np.ascontiguousarray(cupy.asnumpy(X), np.float32)


def load(X: Any, scale: float, plan: Plan) -> Any:
    """Return a matrix as float32, on the device or on the host, as the plan decides."""
    if plan.on_device:
        return as_array(X, scale)
    tensor = _tensor(X).cpu()
    rows = tensor.float().contiguous()
    if scale != 1:
        rows = rows * scale if rows.data_ptr() == tensor.data_ptr() else rows.mul_(scale)
    return rows.numpy()


def pca(X: Any, n_components: int, seed: int, scale: float, plan: Plan) -> tuple[Any, float | None]:
    """Compute PCA scores by cuML if that fits on the device, else chunk by chunk from the host."""
    if plan.pca == "in core":
        scores, kept = _pca_in_core(as_array(X, scale), n_components)
        return scores if plan.on_device else to_host(scores), kept
    model = fit_pca(_chunks(X, scale), n_components, cupy)
    target: Any = cupy if plan.on_device else np
    scores = target.empty((len(X), n_components), np.float32)
    model.fill(scores, _chunks(X, scale), cupy.asarray if plan.on_device else cupy.asnumpy)
    return scores, model.variance_kept


def _chunks(X: Any, scale: float = 1.0) -> Iterator[cupy.ndarray]:
    size = max(1, memory_model.CHUNK * X.itemsize // memory_model.FLOAT)  # CHUNK bytes after conversion to float32
    for _, block in arrays.blocks(X, size):
        yield as_array(block, scale)


def _pca_in_core(X: cupy.ndarray, n_components: int) -> tuple[cupy.ndarray, float | None]:
    from cuml import PCA

    model = PCA(**pca_keywords(n_components))
    scores = cupy.ascontiguousarray(model.fit_transform(X), cupy.float32)
    kept = float(model.explained_variance_ratio_.sum())
    return scores, kept if np.isfinite(kept) else None


def neighbors(X: Any, plan: GraphPlan) -> Graph:
    """Return the neighbour graph of a matrix."""
    if plan.kind == "batched":
        X = to_host(X)
    elif isinstance(X, np.ndarray):
        X = as_array(X)
    return neighbor_search.build(X, plan)


def nearest(X: cupy.ndarray, metric: str, k: int) -> np.ndarray:
    """Return the indices of the k nearest rows of each row, exactly, the row itself first."""
    return to_numpy(neighbor_search.build(X, GraphPlan(metric, k, "exact")).indices)


def cdist(A: cupy.ndarray, B: cupy.ndarray, metric: str) -> cupy.ndarray:
    """Return the distances between rows, (m, n), by the definition of a metric."""
    return tallies.cdist(A, B, metric, cupy)


def tally(values: Any, base: int, limits: Any, counts: Any, distances: Any, indices: Any) -> None:
    """Update counts and nearest rows from distances, (m, n), as `Backend.tally` describes."""
    tallies.tally(values, base, limits, counts, distances, indices, cupy)


def to_numpy(X: cupy.ndarray) -> np.ndarray:
    """Return an array of any dtype, such as row indices, as a NumPy array."""
    array: np.ndarray = cupy.asnumpy(X)
    return array


def start(X: Any, settings: MethodSettings) -> cupy.ndarray:
    """Return the first two principal components if a layout starts from them, else zeros, (N, 2).

    A layout needs nothing else of the matrix, so its memory can be freed. With a graph, cuML's UMAP reads no value of
    X. Its t-SNE reads only the first two principal components, if it starts from them; those of the two columns are the
    same as those of X. UMAP starts from them if it cannot start from eigenvectors.
    """
    scores, columns = cupy.zeros((len(X), 2), cupy.float32), min(2, X.shape[1])
    if settings.init == "pca" if isinstance(settings, Tsne) else not limits.spectral(len(X)):
        fit_pca(_chunks(X), columns, cupy).fill(scores[:, :columns], _chunks(X))
    return scores


def layout(method: MethodName, X: cupy.ndarray, graph: Graph, settings: MethodSettings, seed: int) -> Layout:
    """Compute the map of a method; X: from `start`."""
    return LAYOUTS[method](X, graph, settings, seed)
