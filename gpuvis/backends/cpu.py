"""The CPU: scikit-learn's PCA and t-SNE, umap-learn's UMAP, on NumPy arrays.

The libraries are imported where they are used: importing them takes seconds, and a run that draws only one of the
maps should not pay for the other.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gpuvis import machine, matrix, place, table
from gpuvis.backends.base import ALL_THE_SAME, Device
from gpuvis.backends.noted import warnings_noted
from gpuvis.errors import OutputError
from gpuvis.pca import fit as fit_pca
from gpuvis.settings import Method, Settings, Tsne, Umap

name, xp = "cpu", np
SAFE = (1e-12, 1e12)  # 10^8 squares of such values, summed, neither overflow nor vanish
read_table = table.read
WIDEST = 8192  # columns up to which the covariance is formed
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a folder of our own in it


def describe() -> Device:
    """Return the processor, its threads and its memory."""
    return Device("cpu", machine.cpu_name(), machine.cpu_threads(), machine.memory_bytes())


def check(settings: Settings) -> None:
    """Refuse nothing: all metrics are known here."""


def plan(rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> None:
    """Plan nothing: there is one way."""


def promise(method: Method, plan: object) -> str:
    """Return what is promised about repeating a map with the same input, settings and seed."""
    return "identical coordinates on the same machine with the same library versions and number of threads"


def as_array(X: Any, scale: float = 1.0) -> np.ndarray:
    """Return a tensor or array, times a scale, as float32 in C order: a view by DLPack if it is that already."""
    if hasattr(X, "detach"):  # a tensor: NumPy knows no bfloat16, so torch does the conversion
        X = X.detach().cpu().float().contiguous()
    if not isinstance(X, np.ndarray):
        X = np.from_dlpack(X)
    with np.errstate(over="ignore"):  # too large for float32 becomes Inf, which is refused
        rows = np.ascontiguousarray(X, np.float32)
    return rows if scale == 1 else np.multiply(rows, np.float32(scale))


def to_host(X: np.ndarray) -> np.ndarray:
    """Return the array as float32 in C order."""
    return np.ascontiguousarray(X, np.float32)


def load(X: Any, scale: float, plan: object) -> np.ndarray:
    """Return a matrix as float32."""
    return as_array(X, scale)


def pca(X: Any, n_components: int, seed: int, scale: float, plan: object) -> tuple[np.ndarray, float | None]:
    """Principal components: block by block, so that a mapped file is never held whole; of few rows by scikit-learn."""
    rows, columns = X.shape
    if rows < columns or columns > WIDEST:
        return _pca_of_few_rows(as_array(X, scale), n_components, seed)

    def parts() -> Iterator[np.ndarray]:
        return (as_array(block, scale) for _, block in matrix.blocks(X))

    model = fit_pca(parts(), n_components, np)
    scores = np.empty((rows, n_components), np.float32)
    model.fill(scores, parts())
    return scores, model.variance_kept


def _pca_of_few_rows(X: np.ndarray, n_components: int, seed: int) -> tuple[np.ndarray, float | None]:
    """Principal components by scikit-learn, which chooses the solver by the shape."""
    with warnings_noted():
        from sklearn.decomposition import PCA

        model = PCA(n_components, random_state=seed)
        scores = model.fit_transform(X)
    kept = float(model.explained_variance_ratio_.sum())
    return np.ascontiguousarray(scores, np.float32), kept if math.isfinite(kept) else None


def neighbors(X: np.ndarray, plan: object) -> None:
    """Build no graph: umap-learn and scikit-learn each find the neighbours themselves."""


def start(X: np.ndarray, asked: Umap | Tsne) -> np.ndarray:
    """Return the matrix: the neighbours are still to be found in it."""
    return X


def umap(X: np.ndarray, graph: object, settings: Umap, seed: int) -> tuple[np.ndarray, list[str]]:
    """UMAP by umap-learn, on one thread: its seeded results depend on that."""
    _place_for_compiled_code()
    with warnings_noted() as notes:
        from umap import UMAP

        model = UMAP(
            n_neighbors=settings.n_neighbors,
            min_dist=settings.min_dist,
            metric=settings.metric,
            random_state=seed,
            n_jobs=1,
        )
        coords = model.fit_transform(X)
    return coords, notes


def _place_for_compiled_code() -> None:
    """Let numba keep what it compiles where this process may write; it gives up where its usual places are not such.

    Raises
    ------
    OutputError
        There is no such place.
    """
    package, chosen, home = find_spec("umap"), os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("HOME")
    beside = Path(package.origin).parent if package and package.origin else None
    usual = [Path(chosen)] if chosen else [Path(folder) for folder in (beside, home) if folder]
    if any(map(place.is_writable, usual)):
        return
    others = [Path(folder) / f"numba-{os.getuid()}" for folder in (tempfile.gettempdir(), SHARED_MEMORY)]
    for other in filter(place.is_writable, others):
        other.mkdir(mode=0o700, exist_ok=True)
        if other.stat().st_uid == os.getuid():  # code from a folder of somebody else's would be run
            os.environ["NUMBA_CACHE_DIR"] = str(other)
            return
    raise OutputError(
        f"UMAP compiles code and finds no place to keep it: none of {', '.join(map(str, (*usual, *others)))} can be "
        "written; set NUMBA_CACHE_DIR to a folder that can"
    )


def tsne(X: np.ndarray, graph: object, settings: Tsne, seed: int) -> tuple[np.ndarray, list[str]]:
    """t-SNE by scikit-learn (Barnes-Hut)."""
    with warnings_noted() as notes:
        from sklearn.manifold import TSNE

        init = _principal_start(X, seed) if settings.init == "pca" else None
        model = TSNE(
            perplexity=settings.perplexity,
            metric=settings.metric,
            init="random" if init is None else init,
            random_state=seed,
        )
        coords = model.fit_transform(X)
    if init is None and settings.init == "pca":
        notes.append(ALL_THE_SAME)
    return coords, notes


def _principal_start(X: np.ndarray, seed: int) -> np.ndarray | None:
    """Return the start that scikit-learn computes for init="pca"; None where it would divide by zero, and crash."""
    from sklearn.decomposition import PCA

    with warnings.catch_warnings(action="ignore"):  # of the division that is looked for here
        start = PCA(2, random_state=seed).fit_transform(X).astype(np.float32, copy=False)
    spread = np.std(start[:, 0])
    return start / spread * 1e-4 if spread > 0 and np.isfinite(spread) else None


def settle() -> dict[str, float]:
    """Return nothing: the CPU is never behind."""
    return {}


def give_back() -> None:
    """Do nothing: freed memory is the system's."""
