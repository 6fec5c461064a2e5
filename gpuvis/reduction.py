"""From a matrix to its maps. Arrays in, arrays out: no files, no printing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import matrix
from gpuvis.backends import choose
from gpuvis.backends.base import Array, Backend
from gpuvis.errors import DataError, OutOfMemoryError, is_out_of_memory
from gpuvis.settings import Method, Settings
from gpuvis.steps import Steps


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
    """

    method: Method
    coords: np.ndarray
    effective: dict[str, Any]
    notes: tuple[str, ...]
    variance_kept: float | None
    steps: dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A matrix on its device, after PCA if that was asked for: what all maps start from."""

    X: Array
    shape: tuple[int, int]
    asked: Settings
    fitted: Settings
    variance_kept: float | None


def reduce(X: Any, settings: Settings | None = None, backend: str = "auto") -> dict[Method, Reduction]:
    """Reduce a matrix to the maps asked for.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        Real numbers, finite in float32; 5 rows or more.
    settings : Settings, optional
        Which maps, and how. Default: one UMAP map.
    backend : {"auto", "gpu", "cpu"}, default="auto"
        Where to work.

    Returns
    -------
    dict of str to Reduction
        One map for each method asked for.

    Raises
    ------
    DataError
        X is no matrix of real numbers, too small, or not finite.
    NoGpuError
        "gpu" was asked for, and there is none.
    OutOfMemoryError
        The work does not fit in memory.
    """
    chosen, _ = choose(backend)
    steps, settings = Steps(), settings or Settings()
    try:
        X = X if hasattr(X, "__dlpack__") else np.asarray(X)
        matrix.check_shape(X)
        matrix.check_type(X)
        prepared = prepare(X, settings, chosen, steps, check=True)
    except DataError as error:
        raise DataError(f"X {error}") from None
    return {method: embed(prepared, method, chosen, steps) for method in settings.methods}


def prepare(X: Any, settings: Settings, backend: Backend, steps: Steps, check: bool = False) -> Prepared:
    """Bring a matrix to its device and do the PCA. `check`: look for values that are not finite."""
    shape = tuple(X.shape)
    fitted, _ = settings.fitted_to(*shape)
    with _memory_reported("reading", shape):
        X = backend.as_array(X)
    if check:
        matrix.check_finite(X)
    X = matrix.in_range(X)
    if fitted.pca_dim is None:
        return Prepared(X, shape, settings, fitted, None)
    with steps("pca"), _memory_reported("PCA", shape):
        X, kept = backend.pca(X, fitted.pca_dim, fitted.seed)
    return Prepared(X, shape, settings, fitted, kept)


def embed(prepared: Prepared, method: Method, backend: Backend, steps: Steps) -> Reduction:
    """Draw one map of a prepared matrix."""
    fitted = prepared.fitted
    draw = backend.umap if method == "umap" else backend.tsne
    with steps(method), _memory_reported(method, prepared.shape):
        embedding, warned = draw(prepared.X, getattr(fitted, method), fitted.seed)
        coords = backend.to_host(embedding)
    _check_coords(coords, prepared.shape[0], method)
    _, notes = prepared.asked.only(method).fitted_to(*prepared.shape)
    taken = steps.of("pca", method)
    return Reduction(method, coords, fitted.describe(method), (*notes, *warned), prepared.variance_kept, taken)


@contextmanager
def _memory_reported(step: str, shape: tuple[int, int]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{step} of {shape[0]:,} × {shape[1]:,} does not fit in memory ({str(error) or 'no more is given'}); "
            "use a smaller pca_dim, or a machine with more memory"
        ) from error


def _check_coords(coords: np.ndarray, rows: int, method: Method) -> None:
    """Refuse a map that is not whole."""
    if coords.shape != (rows, 2):
        raise DataError(f"{method} gave coordinates of shape {coords.shape}; expected {(rows, 2)}")
    bad = int((~np.isfinite(coords).all(1)).sum())
    if bad:
        raise DataError(f"{method} gave coordinates that are not finite (rows: {bad}); try another metric or seed")
