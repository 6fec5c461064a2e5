"""The GPU backend: RAPIDS cuML on CuPy arrays, on one GPU: the first of CUDA_VISIBLE_DEVICES.

A tensor crosses the bus once, in its own type, and becomes float32 on the device; CuPy then looks at the same memory
by DLPack. With a torch that has no CUDA the rows cross in chunks, through CuPy.
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
from gpuvis.backends import tally as plain
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
ROUNDING = 1e-6  # of a small cosine distance, which is one minus a product in float32
BY_TORCH = "torch → DLPack → CuPy"
BY_CUPY = "host → CuPy, in chunks, because this torch has no CUDA"


settle, give_back = memory.settle, memory.give_back
LAYOUTS: dict[MethodName, Callable[..., Layout]] = {"umap": layouts.umap, "tsne": layouts.tsne}
in_parts = plain.in_parts
check, factorize = limits.check, table.factorize
read_tensor = pt.load


def set_up(memory_limit: int | None = None) -> None:
    """Set the device's memory up, before anything is allocated there, and do one small fit to see that all works."""
    memory.set_up(memory_limit)
    _small_fit()


@cache
def _small_fit() -> None:
    """Go the way of all data, once a process."""
    rows = as_array(torch.arange(60, dtype=torch.float16).reshape(20, 3) % 7)
    scores, _ = _pca_in_core(rows, 2)
    graph = neighbors(scores, GraphPlan("euclidean", 3, "exact"))
    if not (np.isfinite(to_host(scores)).all() and np.isfinite(to_host(graph.distances)).all()):
        raise RuntimeError("a small PCA or its neighbour graph holds values that are not finite")


def describe() -> Device:
    """Return the GPU."""
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
    """Leave the processors alone."""
    return nullcontext()


def promise(method: MethodName, plan: Plan) -> str:
    """Return what is promised about repeating a map with the same input, settings and seed."""
    return plan.repeatable[method]


def plan(rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> Plan:
    """Say how a reduction will be done with the memory that is free now."""
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
    if scale != 1:  # in place, unless it is the caller's own
        moved = moved * scale if tensor.is_cuda else moved.mul_(scale)
    if tensor.dtype != torch.float32 and tensor.nbytes > memory_model.CHUNK:
        torch.cuda.empty_cache()  # what crossed, and is not needed any more; a block's place serves the next
    return cupy.from_dlpack(moved)


def _tensor(X: Any) -> torch.Tensor:
    """Return a tensor; of an array that torch does not take (long double, other byte order, odd strides) by a copy."""
    if isinstance(X, np.ndarray):
        X = X.astype(np.float64 if X.dtype.type is np.longdouble else X.dtype.newbyteorder("="), copy=False)
        if any(stride < 0 or stride % X.itemsize for stride in X.strides):
            X = np.ascontiguousarray(X)
    with warnings.catch_warnings(action="ignore"):  # that an array may not be written to: it is not
        return torch.as_tensor(X).detach()


def _through_cupy(tensor: torch.Tensor, scale: float) -> cupy.ndarray:
    X = cupy.empty(tuple(tensor.shape), cupy.float32)
    for start, block in arrays.blocks(tensor, memory_model.CHUNK):
        known = block.float() if block.dtype == torch.bfloat16 else block  # NumPy has no bfloat16
        X[start : start + len(block)] = cupy.asarray(known.contiguous().numpy())
    if scale != 1:
        X *= np.float32(scale)
    return X


def to_host(X: Any) -> np.ndarray:
    """Return an array of the device as float32 in C order on the host."""
    if isinstance(X, np.ndarray):
        return np.ascontiguousarray(X, np.float32)
    return np.ascontiguousarray(cupy.asnumpy(X), np.float32)


def load(X: Any, scale: float, plan: Plan) -> Any:
    """Return a matrix where the plan wants it: on the device, or on the host as float32."""
    if plan.on_device:
        return as_array(X, scale)
    tensor = _tensor(X).cpu()
    rows = tensor.float().contiguous()
    if scale != 1:
        rows = rows * scale if rows.data_ptr() == tensor.data_ptr() else rows.mul_(scale)
    return rows.numpy()


def pca(X: Any, n_components: int, seed: int, scale: float, plan: Plan) -> tuple[Any, float | None]:
    """Principal components: by cuML where the matrix fits twice, else chunk by chunk from the host."""
    if plan.pca == "in core":
        scores, kept = _pca_in_core(as_array(X, scale), n_components)
        return scores if plan.on_device else to_host(scores), kept
    model = fit_pca(_chunks(X, scale), n_components, cupy)
    there: Any = cupy if plan.on_device else np
    scores = there.empty((len(X), n_components), np.float32)
    model.fill(scores, _chunks(X, scale), cupy.asarray if plan.on_device else cupy.asnumpy)
    return scores, model.variance_kept


def _chunks(X: Any, scale: float = 1.0) -> Iterator[cupy.ndarray]:
    for _, block in arrays.blocks(
        X, max(1, memory_model.CHUNK * X.itemsize // memory_model.FLOAT)
    ):  # a chunk, as float32
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
    """Return the k rows nearest to each row, exactly, the row itself first."""
    found: np.ndarray = cupy.asnumpy(neighbor_search.build(X, GraphPlan(metric, k, "exact")).indices)
    return found


def cdist(A: cupy.ndarray, B: cupy.ndarray, metric: str) -> cupy.ndarray:
    """Return the distances of rows, (m, n), by the definition of a metric."""
    return plain.cdist(A, B, metric, cupy)


def tally(values: Any, base: int, limits: Any, closer: Any, far: Any, near: Any) -> None:
    """Take in distances, (m, n): count those below limits, and keep the least."""
    plain.tally(values, base, limits, closer, far, near, cupy)


def to_numpy(X: cupy.ndarray) -> np.ndarray:
    """Return an array of any type, such as row numbers, as a NumPy array."""
    found: np.ndarray = cupy.asnumpy(X)
    return found


def start(X: Any, asked: MethodSettings) -> cupy.ndarray:
    """Return what a layout needs of a matrix besides its graph, so that the matrix can go.

    With a graph, cuML's UMAP reads no value of X, and its t-SNE only the first two principal components, if it starts
    from them: two columns that have the same ones stand for all. UMAP starts from them where it
    cannot from eigenvectors.
    """
    scores, columns = cupy.zeros((len(X), 2), cupy.float32), min(2, X.shape[1])
    if asked.init == "pca" if isinstance(asked, Tsne) else not limits.spectral(len(X)):
        fit_pca(_chunks(X), columns, cupy).fill(scores[:, :columns], _chunks(X))
    return scores


def layout(method: MethodName, X: cupy.ndarray, graph: Graph, settings: MethodSettings, seed: int) -> Layout:
    """Return the map that a method makes; X is what `start` gave."""
    return LAYOUTS[method](X, graph, settings, seed)
