"""Reduce a matrix to maps: PCA, nearest neighbours, then the layout of each method. No fitted model is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpuvis import arrays
from gpuvis.backends.base import Array, Backend, Plan
from gpuvis.backends.matrix import check_matrix, choose_for
from gpuvis.errors import DataError, OutOfMemoryError, is_out_of_memory
from gpuvis.settings import MethodName, Settings
from gpuvis.timing import StepTimer


@dataclass(frozen=True, eq=False)
class Reduction:
    """One map.

    Attributes
    ----------
    method : str
        A key of `gpuvis.settings.METHODS`, as "umap".
    coords : ndarray of shape (N, 2), float32, C order
        Row i belongs to row i of the input.
    effective : dict
        The settings that were really used.
    notes : tuple of str
        Where they differ from the requested settings, and warnings of the libraries.
    variance_kept : float or None
        Share of the variance that PCA kept, from 0 to 1; None if there was no PCA, or no variance.
    steps : dict of str to dict
        Seconds and peak memory (bytes) of each step.
    plan : Plan
        How the backend computed the map.
    neighbors : dict or None
        Details of the neighbour search; None if the library of the layout searched by itself.
    layout : dict
        Details of the layout: ``epochs`` of UMAP; ``iterations`` of t-SNE and, on the CPU, ``kl``, the
        Kullback-Leibler divergence reached.
    principal : array of shape (N, 2), or None
        The first two principal components, if the layout started from them.
    """

    method: MethodName
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
    """A matrix on its device, after PCA if that was requested: the common start of all maps.

    Attributes
    ----------
    X : array of shape (N, d), or None
        None once no map needs it any more.
    shape : tuple of two int
        Shape of the input, (N, D).
    requested : Settings
        The settings as the caller gave them.
    fitted : Settings
        The settings for this shape.
    plan : Plan
    variance_kept : float or None
    pending : list of str
        The methods whose maps still need `X`.
    graphs : dict
        The neighbour graphs that pending maps need, by their plan.
    """

    X: Array
    shape: tuple[int, int]
    requested: Settings
    fitted: Settings
    plan: Plan
    variance_kept: float | None
    pending: list[MethodName]
    graphs: dict[Any, Any] = field(default_factory=dict)


def reduce(X: Any, settings: Settings | None = None, backend: str = "auto") -> dict[MethodName, Reduction]:
    """Reduce a matrix to one or more maps.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        Real numbers, finite in float32; 5 rows or more.
    settings : Settings, optional
        The maps to compute, and their parameters. Default: one UMAP map.
    backend : {"auto", "gpu", "cpu"}, default="auto"
        Where to compute. auto: on the GPU if there is one, but on the CPU for few rows that are not on the GPU yet.

    Returns
    -------
    dict of str to Reduction
        One map for each method of the settings.

    Raises
    ------
    DataError
        X is not a matrix of real numbers, too small, or not finite.
    SettingsError
        The backend does not support a setting, or would take too long with it.
    NoGpuError
        "gpu" was requested, and there is none.
    OutOfMemoryError
        The work does not fit in memory.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> maps = gpuvis.reduce(X, gpuvis.Settings(umap=gpuvis.UmapSettings(n_neighbors=10)), backend="cpu")
    >>> maps["umap"].coords.shape
    (60, 2)
    """
    selected, settings = choose_for(X, backend), settings or Settings()
    timer = StepTimer(settle=selected.settle)
    matrix, planned, notes = check_matrix(X, settings, selected)
    prepared = prepare(matrix, settings, selected, timer, *planned)
    maps = (embed(prepared, method, selected, timer) for method in settings.methods)
    return {result.method: replace(result, notes=(*notes, *result.notes)) for result in maps}


def prepare(X: Any, settings: Settings, backend: Backend, timer: StepTimer, planned: Plan, largest: float) -> Prepared:
    """Copy a matrix to its device, and reduce it by PCA if the settings ask for that.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    settings : Settings
    backend : Backend
    timer : StepTimer
    planned : Plan
        How the work is done: see `gpuvis.backends.matrix.plan`.
    largest : float
        The largest absolute value of X.

    Raises
    ------
    OutOfMemoryError
        The work does not fit in memory.
    """
    shape = tuple(X.shape)
    fitted, _ = settings.fitted_to(*shape)
    scale, variance_kept = arrays.scale(largest, backend.SAFE), None
    if fitted.pca_dim is None:
        with timer("load"), _memory_reported("reading", shape, planned):
            X = backend.load(X, scale, planned)
    else:
        with timer("pca"), _memory_reported("PCA", shape, planned), backend.working(planned):
            X, variance_kept = backend.pca(X, fitted.pca_dim, fitted.random_state, scale, planned)
    return Prepared(X, shape, settings, fitted, planned, variance_kept, list(settings.methods))


def embed(prepared: Prepared, method: MethodName, backend: Backend, timer: StepTimer) -> Reduction:
    """Compute one map of a prepared matrix.

    Raises
    ------
    DataError
        The coordinates are not finite.
    OutOfMemoryError
        The work does not fit in memory.
    """
    fitted = prepared.fitted
    with _memory_reported(method, prepared.shape, prepared.plan), backend.working(prepared.plan):
        X, graph = _layout_input(prepared, method, backend, timer)
        with timer(method):
            layout = backend.layout(method, X, graph, fitted.maps[method], fitted.random_state)
            coords = backend.to_host(layout.coords)
    rows, _ = prepared.shape
    _check_coords(coords, rows, method)
    _, notes = prepared.requested.only(method).fitted_to(*prepared.shape)
    return Reduction(
        method=method,
        coords=coords,
        effective=fitted.describe(method),
        notes=(*notes, *layout.notes),
        variance_kept=prepared.variance_kept,
        steps=timer.of("load", "pca", "neighbors", "start", method),
        plan=prepared.plan,
        neighbors=graph.details if graph else None,
        layout=layout.details,
        principal=layout.principal,
    )


def nearest(X: Any, metric: str, count: int, backend: Backend, planned: Plan, largest: float) -> np.ndarray:
    """Find the nearest neighbours of each row in the original space, exactly.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    metric : str
    count : int
        Number of neighbours of each row; less than N.
    backend : Backend
    planned : Plan
        How the work is done: see `gpuvis.backends.matrix.plan`.
    largest : float
        The largest absolute value of X.

    Returns
    -------
    ndarray of shape (N, count), integer
        Indices of the neighbours, nearest first; the row itself is not among them.

    Raises
    ------
    OutOfMemoryError
        The work does not fit in memory.
    """
    with _memory_reported("neighbours in the original space", tuple(X.shape), planned), backend.working(planned):
        scaled = backend.as_array(X, arrays.scale(largest, backend.SAFE))
        return backend.nearest(scaled, metric, count + 1)[:, 1:]


def _layout_input(prepared: Prepared, method: MethodName, backend: Backend, timer: StepTimer) -> tuple[Array, Any]:
    """Return the matrix and the neighbour graph (or None) for the layout of one map.

    To save memory, the matrix and each graph are released together with the last map that needs them.
    """
    planned = prepared.plan.graphs
    prepared.pending.remove(method)  # even if the map fails
    X, graph = prepared.X, None
    if not prepared.pending:
        prepared.X = None
    if method in planned:
        search = planned[method]
        graph = prepared.graphs.pop(search, None)
        if graph is None:
            with timer("neighbors"):
                graph = backend.neighbors(X, search)
        if search in map(planned.get, prepared.pending):
            prepared.graphs[search] = graph
        with timer("start"):  # the result replaces the matrix, which is released unless another map needs it
            X = backend.start(X, prepared.fitted.maps[method])
    return X, graph


@contextmanager
def _memory_reported(step: str, shape: tuple[int, int], planned: Plan) -> Iterator[None]:
    """Raise `OutOfMemoryError` with advice for any error in the block that means that memory ran out."""
    rows, columns = shape
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{step} of {rows:,} × {columns:,} does not fit in memory "
            f"({str(error) or 'no details were given'}); {planned.advice}"
        ) from error


def _check_coords(coords: np.ndarray, rows: int, method: MethodName) -> None:
    """Check that the coordinates of a map have the right shape and are finite."""
    if coords.shape != (rows, 2):
        raise DataError(f"{method} gave coordinates of shape {coords.shape}; expected {(rows, 2)}")
    not_finite = int((~np.isfinite(coords).all(1)).sum())
    if not_finite:
        raise DataError(
            f"{method} gave coordinates that are not finite (rows: {not_finite}); try another metric or seed"
        )
