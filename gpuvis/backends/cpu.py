"""The CPU: scikit-learn's PCA and t-SNE, umap-learn's UMAP, on NumPy arrays.

The libraries are imported where they are used: importing them takes seconds, and a run that draws only one of the
maps should not pay for the other.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuvis import machine
from gpuvis.backends.base import Device
from gpuvis.settings import Method, Tsne, Umap

name = "cpu"
logger = logging.getLogger(__name__)


def describe() -> Device:
    """Return the processor, its threads and its memory."""
    return Device("cpu", machine.cpu_name(), machine.cpu_threads(), machine.memory_bytes())


def promise(method: Method) -> str:
    """Return what is promised about repeating a map with the same input, settings and seed."""
    return "identical coordinates on the same machine with the same library versions and number of threads"


def as_array(X: Any) -> np.ndarray:
    """Return a tensor or array as float32 in C order: a view by DLPack if it is that already, else a copy."""
    if hasattr(X, "detach"):  # a tensor: NumPy knows no bfloat16, so torch does the conversion
        X = X.detach().cpu().float().contiguous()
    if not isinstance(X, np.ndarray):
        X = np.from_dlpack(X)
    with np.errstate(over="ignore"):  # too large for float32 becomes Inf, which is refused
        return np.ascontiguousarray(X, np.float32)


def to_host(X: np.ndarray) -> np.ndarray:
    """Return the array as float32 in C order."""
    return np.ascontiguousarray(X, np.float32)


def pca(X: np.ndarray, n_components: int, seed: int) -> tuple[np.ndarray, float | None]:
    """Principal components by scikit-learn, which chooses the solver by the shape."""
    with _warnings_noted():
        from sklearn.decomposition import PCA

        model = PCA(n_components, random_state=seed)
        scores = model.fit_transform(X)
    kept = float(model.explained_variance_ratio_.sum())
    return np.ascontiguousarray(scores, np.float32), kept if math.isfinite(kept) else None


def umap(X: np.ndarray, settings: Umap, seed: int) -> tuple[np.ndarray, list[str]]:
    """UMAP by umap-learn, on one thread: its seeded results depend on that."""
    with _warnings_noted() as notes:
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


def tsne(X: np.ndarray, settings: Tsne, seed: int) -> tuple[np.ndarray, list[str]]:
    """t-SNE by scikit-learn (Barnes-Hut)."""
    with _warnings_noted() as notes:
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
        notes.append("the rows are all the same, so tsne_init pca has no axes: random is used")
    return coords, notes


def _principal_start(X: np.ndarray, seed: int) -> np.ndarray | None:
    """Return the start that scikit-learn computes for init="pca"; None where it would divide by zero, and crash."""
    from sklearn.decomposition import PCA

    with warnings.catch_warnings(action="ignore"):  # of the division that is looked for here
        start = PCA(2, random_state=seed).fit_transform(X).astype(np.float32, copy=False)
    spread = np.std(start[:, 0])
    return start / spread * 1e-4 if spread > 0 and np.isfinite(spread) else None


@contextmanager
def _warnings_noted() -> Iterator[list[str]]:
    """Turn the libraries' warnings into notes for the record: they speak of their own keywords, not of the user's."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    notes += dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    for note in notes:
        logger.info("%s", note)
