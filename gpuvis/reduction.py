"""From a matrix to its maps. Arrays in, arrays out: no files, no printing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis import matrix
from gpuvis.backends import choose
from gpuvis.backends.base import Backend
from gpuvis.errors import DataError, OutOfMemoryError
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
        Where they differ from what was asked, and why.
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


def reduce(X: Any, settings: Settings | None = None, backend: str = "auto") -> dict[Method, Reduction]:
    """Reduce a matrix to the maps asked for.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
        Floating point, finite; 5 rows or more.
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
        X is no matrix, too small, or not finite.
    NoGpuError
        "gpu" was asked for, and there is none.
    OutOfMemoryError
        The work does not fit in memory.
    """
    chosen, _ = choose(backend)
    X = X if hasattr(X, "__dlpack__") else np.asarray(X)
    try:
        matrix.check_shape(X)
        X = chosen.as_array(X)
        matrix.check_finite(X)
    except DataError as error:
        raise DataError(f"X {error}") from None
    return {reduction.method: reduction for reduction in maps(X, settings or Settings(), chosen, Steps())}


def maps(X: Any, settings: Settings, backend: Backend, steps: Steps) -> Iterator[Reduction]:
    """Give the maps one by one, so that each can be saved before the next is begun. One PCA serves them all.

    X has been checked: a finite matrix.
    """
    fitted, _ = settings.fitted_to(*X.shape)
    reduced, kept = backend.as_array(X), None
    if fitted.pca_dim is not None:
        with steps("pca"), _memory_reported("PCA", X.shape):
            reduced, kept = backend.pca(reduced, fitted.pca_dim, fitted.seed)
    for method in fitted.methods:
        with steps(method), _memory_reported(method, X.shape):
            run = backend.umap if method == "umap" else backend.tsne
            coords = backend.to_host(run(reduced, getattr(fitted, method), fitted.seed))
        _check_coords(coords, len(X), method)
        _, notes = settings.only(method).fitted_to(*X.shape)
        yield Reduction(method, coords, fitted.describe(method), tuple(notes), kept, steps.of("pca", method))


@contextmanager
def _memory_reported(step: str, shape: tuple[int, int]) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{step} of {shape[0]} × {shape[1]} does not fit in memory ({error or 'no more is given'}); "
            "use a smaller pca_dim, or a machine with more memory"
        ) from error


def _check_coords(coords: np.ndarray, rows: int, method: Method) -> None:
    """Refuse a map that is not whole."""
    if coords.shape != (rows, 2):
        raise DataError(f"{method} gave coordinates of shape {coords.shape}; expected {(rows, 2)}")
    bad = int((~np.isfinite(coords).all(1)).sum())
    if bad:
        raise DataError(f"{method} gave coordinates that are not finite in {bad} rows; try another metric or seed")
