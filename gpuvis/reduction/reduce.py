"""Reduce a matrix: PCA, neighbours, then UMAP or t-SNE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.backends import choose
from gpuvis.backends.base import Array, Backend, Plan
from gpuvis.errors import DataError, OutOfMemoryError, is_out_of_memory
from gpuvis.settings import Method, Settings
from gpuvis.timing import StepTimer


@dataclass(frozen=True, eq=False)
class Reduction:
    """One map.

    Attributes
    ----------
    method : {"umap", "tsne"}
    coords : ndarray of shape (N, 2), float32, C order
        Row i belongs to row i of the input.
    effective : dict
        The settings that were really used.
    notes : tuple of str
        Where they differ from what was asked, and what the libraries warned of.
    variance_kept : float or None
        Share of the variance that PCA kept; None if there was no PCA, or no variance.
    steps : dict
        Seconds and peak memory (bytes) of each step.
    plan : Plan
        How the backend did it.
    neighbors : dict or None
        What is known of the search for neighbours; None: the library did it.
    layout : dict
        What is known of the layout: ``epochs`` of UMAP; of t-SNE ``iterations`` and, on the CPU, ``kl``, the divergence
        reached.
    principal : array of shape (N, 2), or None
        The first two principal components, if the map began at them.
    """

    method: Method
    coords: np.ndarray
    effective: dict[str, Any]
    notes: tuple[str, ...]
    variance_kept: float | None
    steps: dict[str, dict[str, float]]
    plan: Plan
    neighbors: dict[str, Any] | None
    layout: dict[str, Any]
    principal: Array | None


@dataclass(eq=False)
class Prepared:
    """A matrix on its device, after PCA if that was asked for: what all maps start from.

    Attributes
    ----------
    X : array
        None once the last map has taken from it what it needs.
    waiting : list of str
        The maps that still need it.
    graphs : dict
        The neighbour graphs that maps still need, by how they were planned.
    """

    X: Array
    shape: tuple[int, int]
    asked: Settings
    fitted: Settings
    plan: Plan
    variance_kept: float | None
    waiting: list[Method]
    graphs: dict[Any, Any] = field(default_factory=dict)


def reduce(X: Any, settings: Settings | None = None, backend: str = "auto") -> dict[Method, Reduction]:
    """Reduce a matrix to the maps asked for.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        Real numbers, finite in float32; 5 rows or more.
    settings : Settings, optional
        Which maps, and how. Default: one UMAP map.
    backend : {"auto", "gpu", "cpu"}, default="auto"
        Where to work. auto: of few rows that are not on a GPU, on the CPU.

    Returns
    -------
    dict of str to Reduction
        One map for each method asked for.

    Raises
    ------
    DataError
        X is no matrix of real numbers, too small, or not finite.
    SettingsError
        The backend does not know a setting, or it would take too long there.
    NoGpuError
        "gpu" was asked for, and there is none.
    OutOfMemoryError
        The work does not fit in memory.
    """
    there = hasattr(X, "__cuda_array_interface__") or getattr(X, "ndim", 2) == 0
    chosen, _ = choose(backend, rows=None if there else len(X))
    steps, settings = StepTimer(settle=chosen.settle), settings or Settings()
    try:
        X = _adopted(X, chosen)
        arrays.check_shape(X)
        arrays.check_type(X)
        plan(X, settings, chosen)
        largest, notes = arrays.check_values(X)
        prepared = prepare(X, settings, chosen, steps, (plan(X, settings, chosen, largest), largest))
    except DataError as error:
        raise DataError(f"X {error}") from None
    maps = (embed(prepared, method, chosen, steps) for method in settings.methods)
    return {done.method: replace(done, notes=(*(f"X: {note}" for note in notes), *done.notes)) for done in maps}


def _adopted(X: Any, backend: Backend) -> Any:
    """Return tensors and the device's arrays as they are, anything else as an array of NumPy in native byte order."""
    if hasattr(X, "detach") or (backend.xp is not np and isinstance(X, backend.xp.ndarray)):
        return X
    foreign = hasattr(X, "__dlpack__") and not isinstance(X, np.ndarray)
    found = np.from_dlpack(X) if foreign else np.asarray(X)
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def plan(X: Any, settings: Settings, backend: Backend, largest: float | None = None) -> Plan:
    """Say how a matrix will be reduced, before anything is computed; better if its largest value in size is known.

    Raises
    ------
    SettingsError
        The backend does not know a setting, or it would take too long there.
    OutOfMemoryError
        It does not fit.
    """
    rows, columns = X.shape
    fitted, _ = settings.fitted_to(rows, columns)
    backend.check(fitted)
    scaled = largest is not None and arrays.scale(largest, backend.SAFE) != 1
    return backend.plan(rows, columns, X.itemsize, fitted, scaled)


def prepare(X: Any, settings: Settings, backend: Backend, steps: StepTimer, known: tuple[Plan, float]) -> Prepared:
    """Bring a matrix to its device and do the PCA. `known`: what `plan` gave, and its largest value in size."""
    shape, (planned, largest) = tuple(X.shape), known
    fitted, _ = settings.fitted_to(*shape)
    scale, kept = arrays.scale(largest, backend.SAFE), None
    if fitted.pca_dim is None:
        with steps("load"), _memory_reported("reading", shape, planned):
            X = backend.load(X, scale, planned)
    else:
        with steps("pca"), _memory_reported("PCA", shape, planned), backend.working(planned):
            X, kept = backend.pca(X, fitted.pca_dim, fitted.random_state, scale, planned)
    return Prepared(X, shape, settings, fitted, planned, kept, list(settings.methods))


def embed(prepared: Prepared, method: Method, backend: Backend, steps: StepTimer) -> Reduction:
    """Draw one map of a prepared matrix."""
    fitted = prepared.fitted
    asked = getattr(fitted, method)
    draw = backend.umap if method == "umap" else backend.tsne
    with _memory_reported(method, prepared.shape, prepared.plan), backend.working(prepared.plan):
        X, graph = _take(prepared, method, backend, steps)
        with steps(method):
            drawn = draw(X, graph, asked, fitted.random_state)
            coords = backend.to_host(drawn.coords)
    _check_coords(coords, prepared.shape[0], method)
    _, notes = prepared.asked.only(method).fitted_to(*prepared.shape)
    taken = steps.of("load", "pca", "neighbors", "start", method)
    done = fitted.describe(method)
    neighbors = graph.details if graph else None
    how = taken, prepared.plan, neighbors, drawn.details
    return Reduction(method, coords, done, (*notes, *drawn.notes), prepared.variance_kept, *how, drawn.principal)


def nearest(X: Any, metric: str, count: int, backend: Backend, known: tuple[Plan, float]) -> np.ndarray:
    """Return the rows nearest to each row in the original space, exactly, the nearest first.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    metric : str
    count : int
        How many for each row; less than N.
    backend : Backend
    known : tuple
        What `plan` gave, and the largest value in size.

    Returns
    -------
    ndarray of shape (N, count), integer
    """
    planned, largest = known
    with _memory_reported("neighbours in the original space", tuple(X.shape), planned), backend.working(planned):
        whole = backend.as_array(X, arrays.scale(largest, backend.SAFE))
        return backend.nearest(whole, metric, count + 1)[:, 1:]


def _take(prepared: Prepared, method: Method, backend: Backend, steps: StepTimer) -> tuple[Array, Any]:
    """Return what the layout of one map starts from; graphs and the matrix go with the last map that needs them."""
    planned = prepared.plan.graphs
    prepared.waiting.remove(method)  # whatever becomes of it
    X, graph = prepared.X, None
    if not prepared.waiting:
        prepared.X = None
    if method in planned:
        how = planned[method]
        graph = prepared.graphs.pop(how, None)
        if graph is None:
            with steps("neighbors"):
                graph = backend.neighbors(X, how)
        if how in map(planned.get, prepared.waiting):
            prepared.graphs[how] = graph
        with steps("start"):  # as it ends, so does the matrix, unless another map needs it
            X = backend.start(X, getattr(prepared.fitted, method))
    return X, graph


@contextmanager
def _memory_reported(step: str, shape: tuple[int, int], planned: Plan) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{step} of {shape[0]:,} × {shape[1]:,} does not fit in memory "
            f"({str(error) or 'no more is given'}); {planned.advice}"
        ) from error


def _check_coords(coords: np.ndarray, rows: int, method: Method) -> None:
    """Refuse a map that is not whole."""
    if coords.shape != (rows, 2):
        raise DataError(f"{method} gave coordinates of shape {coords.shape}; expected {(rows, 2)}")
    bad = int((~np.isfinite(coords).all(1)).sum())
    if bad:
        raise DataError(f"{method} gave coordinates that are not finite (rows: {bad}); try another metric or seed")
