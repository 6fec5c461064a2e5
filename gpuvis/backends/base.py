"""The Backend protocol: the operations (PCA, neighbours, layouts, …) that CPU and GPU each implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gpuvis.settings import MethodName, Settings

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from gpuvis.backends.neighbor_graph import Graph


class Plan(Protocol):
    """The plan of a reduction: the attributes that every backend's plan has."""

    @property
    def graphs(self) -> Mapping[MethodName, Any]:
        """The neighbour search of each map, except maps whose library searches by itself."""

    @property
    def advice(self) -> str:
        """What the user can do if memory runs out despite the plan."""

    def describe(self) -> dict[str, Any]:
        """Return the whole plan, ready for JSON."""


class Planned(NamedTuple):
    """The plan of a matrix, and its largest value.

    Attributes
    ----------
    plan : Plan
    largest : float
        Largest absolute value of the matrix; the scale depends on it.
    """

    plan: Plan
    largest: float


Array = Any  # a NumPy array on the CPU, a CuPy array on the GPU
ALL_THE_SAME = "the rows are all the same, so tsne_init pca has no axes: random is used"


@dataclass(frozen=True)
class Device:
    """The device that runs a reduction.

    Attributes
    ----------
    kind : {"cpu", "gpu"}
    name : str
        Name of the processor or of the GPU.
    threads : int
        CPU threads that the process may use.
    memory_bytes : int
        Memory of the device that the process may use.
    details : dict of str to str
        Other facts that may change a result, such as the driver's version.
    """

    kind: str
    name: str
    threads: int
    memory_bytes: int
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Layout:
    """The map that a backend computed.

    Attributes
    ----------
    coords : array of shape (N, 2)
    notes : list of str
        Unusual events.
    details : dict
        Facts about the optimisation: ``epochs`` or ``iterations``; for t-SNE on the CPU also ``kl``, the final
        divergence.
    principal : array of shape (N, 2), or None
        The first two principal components, if the layout started from them.
    """

    coords: Array
    notes: list[str]
    details: dict[str, Any] = field(default_factory=dict)
    principal: Array | None = None


class Backend(Protocol):
    """The operations of a reduction on one kind of device. A module with these names is a backend."""

    name: str
    xp: Any
    """The array namespace: NumPy or CuPy."""
    SAFE: tuple[float, float]
    """Range for the largest value of a matrix. A matrix outside it is scaled by a power of two."""
    ROUNDING: float
    """Rounding error of a cosine distance in a neighbour graph. Distances up to it may in truth be 0."""
    COMPARED: tuple[int, int]
    """Anchors and rows to compare at a time when a map is measured."""

    def describe(self) -> Device:
        """Return the device of this backend."""

    def check(self, settings: Settings) -> None:
        """Raise `SettingsError` if this backend does not support a setting."""

    def plan(self, rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> Plan:
        """Plan a reduction with fitted settings.

        `scaled`: the matrix has to be scaled, so even a memory-mapped file is copied.
        """

    def working(self, plan: Any) -> AbstractContextManager[None]:
        """Use the planned number of CPU threads in the block."""

    def promise(self, method: MethodName, plan: Any) -> str:
        """Return whether the same input, settings and seed give the same map, as a sentence."""

    def read_tensor(self, path: Path) -> Any:
        """Read a `.pt` file as `gpuvis.io.pt.load` does, or as an array with the same values."""

    def factorize(self, column: pd.Series) -> tuple[np.ndarray, list[str]]:
        """Return codes and values of a column of strings, as `gpuvis.io.table.factorize` does; values in any order."""

    def as_array(self, X: Any, scale: float = 1.0) -> Array:
        """Return a tensor or array, times a scale, as this backend's array: float32, C order, a view if possible."""

    def to_host(self, X: Array) -> np.ndarray:
        """Return an array of this backend as a NumPy array, float32, C order."""

    def load(self, X: Any, scale: float, plan: Any) -> Array:
        """Return a matrix, times a scale, on the device or the host, as the plan decides."""

    def pca(self, X: Any, n_components: int, seed: int, scale: float, plan: Any) -> tuple[Array, float | None]:
        """Return the PCA scores of a tensor or array, and the share of variance kept (None if all rows are equal)."""

    def neighbors(self, X: Array, plan: Any) -> Graph:
        """Return the neighbour graph."""

    def nearest(self, X: Array, metric: str, k: int) -> np.ndarray:
        """Return the indices of the k nearest rows of each row, exactly, the row itself first; X: from `as_array`."""

    def in_parts(self, work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
        """Call `work((first, last))` for parts of `count` items, of at most `size` each; in parallel if quicker."""

    def cdist(self, A: Array, B: Array, metric: str) -> Array:
        """Return the distances between rows, (m, n), from their differences; metric: sqeuclidean, or as in settings."""

    def tally(self, values: Array, base: int, limits: Array, counts: Array, distances: Array, indices: Array) -> None:
        """Update, in place, the results of m anchors from their distances to a block of rows, `values` (m, n).

        `base` is the index of the block's first row. `counts`, (m, t), grows by the number of distances below each of
        the `limits`, (m, t). `distances` and `indices`, (m, k), keep the nearest rows so far, ascending; of several at
        equal distances, any.
        """

    def to_numpy(self, X: Array) -> np.ndarray:
        """Return an array of any dtype, such as row indices, as a NumPy array."""

    def start(self, X: Array, settings: Any) -> Array:
        """Return what a layout needs of a matrix besides its graph: usually its first two principal components."""

    def layout(self, method: MethodName, X: Array, graph: Any, settings: Any, seed: int) -> Layout:
        """Compute the map of a method. X: from `start`; settings: the method's."""

    def settle(self) -> dict[str, float]:
        """Wait until the device has finished; return its peak memory since the last call, if it is measured."""

    def give_back(self) -> None:
        """Free memory that is no longer needed."""
