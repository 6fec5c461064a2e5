"""What differs between machines, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gpuvis.settings import Method, Tsne, Umap

if TYPE_CHECKING:
    import numpy as np

Array = Any  # NumPy's on the CPU, CuPy's on the GPU


@dataclass(frozen=True)
class Device:
    """Where a reduction runs.

    Attributes
    ----------
    kind : {"cpu", "gpu"}
    name : str
        The processor's or the GPU's name.
    threads : int
        CPU threads that the process may use.
    memory_bytes : int
        Memory that the device has for the process.
    """

    kind: str
    name: str
    threads: int
    memory_bytes: int


class Backend(Protocol):
    """A machine's way to reduce. A module with these names is a backend."""

    name: str

    def describe(self) -> Device:
        """Return the device that the work runs on."""

    def promise(self, method: Method) -> str:
        """Return what is promised about repeating a map with the same input, settings and seed."""

    def as_array(self, X: Any) -> Array:
        """Return a tensor or array of shape (N, D) as this backend's own: float32, C order, a view where possible."""

    def to_host(self, X: Array) -> np.ndarray:
        """Return an array of this backend as a NumPy array of float32 in C order."""

    def pca(self, X: Array, n_components: int, seed: int) -> tuple[Array, float | None]:
        """Return the scores of shape (N, n_components) and the share of variance kept (None: there is none)."""

    def umap(self, X: Array, settings: Umap, seed: int) -> tuple[Array, list[str]]:
        """Return a UMAP embedding of shape (N, 2), and notes of what was unusual."""

    def tsne(self, X: Array, settings: Tsne, seed: int) -> tuple[Array, list[str]]:
        """Return a t-SNE embedding of shape (N, 2), and notes of what was unusual."""
