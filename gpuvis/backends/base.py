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
    """How a reduction will be done: what all backends' plans have."""

    @property
    def graphs(self) -> Mapping[MethodName, Any]:
        """How the neighbours of each map are found, but of maps whose library finds them itself."""

    @property
    def advice(self) -> str:
        """What to do if it does not fit in memory after all."""

    def describe(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""


class Planned(NamedTuple):
    """How a matrix will be reduced.

    Attributes
    ----------
    plan : Plan
    largest : float
        The largest absolute value of the matrix, which decides by how much it is scaled.
    """

    plan: Plan
    largest: float


Array = Any  # NumPy's on the CPU, CuPy's on the GPU
ALL_THE_SAME = "the rows are all the same, so tsne_init pca has no axes: random is used"


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
    details : dict of str to str
        What else bears on a result there.
    """

    kind: str
    name: str
    threads: int
    memory_bytes: int
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Layout:
    """A map as a backend drew it.

    Attributes
    ----------
    coords : array of shape (N, 2)
    notes : list of str
        What was unusual.
    details : dict
        What is known of the way there, such as ``epochs``, or ``iterations`` and, on the CPU, ``kl``, the divergence
        reached.
    principal : array of shape (N, 2), or None
        The first two principal components, if it began at them.
    """

    coords: Array
    notes: list[str]
    details: dict[str, Any] = field(default_factory=dict)
    principal: Array | None = None


class Backend(Protocol):
    """A machine's way to reduce. A module with these names is a backend."""

    name: str
    xp: Any
    """The array namespace: NumPy or CuPy."""
    SAFE: tuple[float, float]
    """Between which the largest value of a matrix may lie; others are scaled by a power of two."""
    ROUNDING: float
    """A cosine distance in a neighbour graph that is no larger may as well be 0."""
    COMPARED: tuple[int, int]
    """Anchors and rows that are compared at a time, when a map is measured."""

    def describe(self) -> Device:
        """Return the device that the work runs on."""

    def check(self, settings: Settings) -> None:
        """Raise `SettingsError` for what this backend does not know."""

    def plan(self, rows: int, columns: int, itemsize: int, settings: Settings, scaled: bool = False) -> Plan:
        """Say how a reduction with fitted settings will be done.

        `scaled`: the values of the matrix have to be scaled, so that even a mapped file is copied.
        """

    def working(self, plan: Any) -> AbstractContextManager[None]:
        """Use what the plan says of this machine's processors in the block."""

    def promise(self, method: MethodName, plan: Any) -> str:
        """Return what is promised about repeating a map with the same input, settings and seed."""

    def read_tensor(self, path: Path) -> Any:
        """Read a `.pt` file as `gpuvis.io.pt.load` does, or as an array of the same values."""

    def factorize(self, column: pd.Series) -> tuple[np.ndarray, list[str]]:
        """Tell apart the values of a column of strings as `gpuvis.io.table.factorize` does, in any order."""

    def as_array(self, X: Any, scale: float = 1.0) -> Array:
        """Return a tensor or array, times a scale, as this backend's own: float32, C order, a view where possible."""

    def to_host(self, X: Array) -> np.ndarray:
        """Return an array of this backend as a NumPy array of float32 in C order."""

    def load(self, X: Any, scale: float, plan: Any) -> Array:
        """Return a matrix, times a scale, where the plan wants it."""

    def pca(self, X: Any, n_components: int, seed: int, scale: float, plan: Any) -> tuple[Array, float | None]:
        """Return the scores of a tensor or array, and the share of variance kept (None: there is none)."""

    def neighbors(self, X: Array, plan: Any) -> Graph:
        """Return the neighbour graph."""

    def nearest(self, X: Array, metric: str, k: int) -> np.ndarray:
        """Return the k rows nearest to each row of what `as_array` gave, exactly, the row itself first."""

    def in_parts(self, work: Callable[[tuple[int, int]], None], count: int, size: int) -> None:
        """Call `work((first, last))` for parts of so many, at the same time where that is quicker."""

    def cdist(self, A: Array, B: Array, metric: str) -> Array:
        """Return the distances of rows, (m, n), by their differences; metric: sqeuclidean, or as settings name it."""

    def tally(self, values: Array, base: int, limits: Array, closer: Array, far: Array, near: Array) -> None:
        """Take in the distances of m anchors to the rows from `base` on, (m, n).

        Filled in place: how many are below each limit, `closer`, (m, t), is added to; of all distances so far the
        least, `far`, (m, k), rising, and the rows that they are of, `near`; of equally near ones any.
        """

    def to_numpy(self, X: Array) -> np.ndarray:
        """Return an array of any type, such as row numbers, as a NumPy array."""

    def start(self, X: Array, asked: Any) -> Array:
        """Return what a layout needs of a matrix besides its graph."""

    def layout(self, method: MethodName, X: Array, graph: Any, settings: Any, seed: int) -> Layout:
        """Return the map that a method makes. X: what `start` gave; settings: those of the method."""

    def settle(self) -> dict[str, float]:
        """Wait until all work is done; return what is known of the device's memory since the last call."""

    def give_back(self) -> None:
        """Give back memory that is no longer needed."""
