"""What differs between machines, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gpuvis.settings import Method, Settings, Tsne, Umap

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from gpuvis.backends.graph import Graph


class Plan(Protocol):
    """How a reduction will be done: what all backends' plans have."""

    @property
    def graphs(self) -> Mapping[Method, Any]:
        """How the neighbours of each map are found, but of maps whose library finds them itself."""

    @property
    def advice(self) -> str:
        """What to do if it does not fit in memory after all."""

    def describe(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""


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
    told : dict
        What is known of the way there, such as ``epochs``, or ``iterations`` and ``kl``, the divergence reached.
    principal : array of shape (N, 2), or None
        The first two principal components, if it began at them.
    """

    coords: Array
    notes: list[str]
    told: dict[str, Any] = field(default_factory=dict)
    principal: Array | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """What a fit found on its way to a map, which spares those who measure it some work; where the backend works.

    Attributes
    ----------
    principal : array of shape (N, 2), or None
        The first two principal components of the original columns.
    near : array of shape (m, k), or None
        Rows that are likely to be near each of some rows that were asked for, itself the first.
    scores : array of shape (N, p), or None
        Those of the PCA.
    """

    principal: Array | None = None
    near: Array | None = None
    scores: Array | None = None


class Scores(NamedTuple):
    """Rows along axes at right angles, by falling variance, as a PCA left them.

    Attributes
    ----------
    rows : array of shape (N, p)
    middle : array of shape (p,)
        The scores of what the rows themselves were moved by since.
    """

    rows: Array
    middle: Array


class Ranks(Protocol):
    """What maps are judged by: distances and ranks of rows, and of points on a map."""

    def boxed(self, coords: Array) -> Any:
        """Return a map, (N, 2), as `nearest_on_map` and `closer_on_map` take it."""

    def nearest_on_map(self, boxed: Any, anchors: Array, k: int) -> Array:
        """Return the k points of a map that are nearest to each anchor, but for itself."""

    def closer_on_map(self, boxed: Any, anchors: Array, limits: Array) -> Array:
        """Count the points of a map closer to each anchor than each of its limits, which are squared distances.

        For a sample of anchors these may be estimates, whose mean is right.
        """

    def moved(self, X: Array, middle: Array, centred: bool) -> Any:
        """Take a vector off all rows, and off each its mean if they are to be centred, in the precision of the vector.

        Return the rows, their squares, and their products with the vector: three arrays.
        """

    def as_it_lies(self, X: Any, scale: float) -> bool:
        """Tell whether `paired` takes rows straight from a matrix, which is to be multiplied by a scale."""

    def paired(self, A: Array, which: Array, X: Any, ids: Any, middle: Array, centred: bool) -> Any:
        """Move rows of X as `moved` does: those of some numbers, or all, for None.

        Return their products with their rows of A, their squares, and their products with the vector.
        """

    def products(self, A: Array, B: Array) -> Array:
        """Return A times B transposed."""

    def apart(self, A: Array, X: Array, metric: str) -> Array:
        """Return how far each row of X is from each of A, (m, c), by a metric that products do not tell."""

    def take(self, values: Array, first: int, limits: Array, found: tuple[Array, Array, Array]) -> None:
        """Count distances (m, c) below limits, (m, t), and keep the nearest rows; `first`: which row the first is.

        `found`, changed in place: the counts, (m, t), the rows, the nearest first, and their distances, both (m, k).
        """

    def tally(self, A: Array, blocks: Any, own: Any, limits: Array, far: Array, pool: Any, scores: Any) -> Any:
        """Find the rows nearest to anchors, and count those below limits; see `ranks.tally`."""


class Backend(Protocol):
    """A machine's way to reduce. A module with these names is a backend."""

    name: str
    xp: Any
    """The array namespace: NumPy or CuPy."""
    SAFE: tuple[float, float]
    """Between which the largest value of a matrix may lie; others are scaled by a power of two."""
    ROUNDING: float
    """A cosine distance in a neighbour graph that is no larger may as well be 0."""

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

    def promise(self, method: Method, plan: Any) -> str:
        """Return what is promised about repeating a map with the same input, settings and seed."""

    def read_table(self, path: Path) -> pd.DataFrame:
        """Read `metadata.csv` as `gpuvis.table.read` does."""

    def read_tensor(self, path: Path) -> Any:
        """Read a `.pt` file as `gpuvis.tensors.load` does, or as an array of the same values."""

    def as_array(self, X: Any, scale: float = 1.0, halves: bool = False) -> Array:
        """Return a tensor or array, times a scale, as this backend's own: float32, C order, a view where possible.

        `halves`: it may stay in half precision, for those who convert its rows themselves.
        """

    def to_host(self, X: Array) -> np.ndarray:
        """Return an array of this backend as a NumPy array of float32 in C order."""

    def load(self, X: Any, scale: float, plan: Any) -> Array:
        """Return a matrix, times a scale, where the plan wants it."""

    def pca(self, X: Any, n_components: int, seed: int, scale: float, plan: Any) -> tuple[Array, float | None]:
        """Return the scores of a tensor or array, and the share of variance kept (None: there is none)."""

    def keeps_scores(self, scores: Array, columns: int) -> bool:
        """Tell whether these, of a PCA of so many columns, stay until a map is measured, which is quicker with them."""

    def neighbors(self, X: Array, plan: Any) -> Graph:
        """Return the neighbour graph."""

    def nearest(self, X: Array, metric: str, k: int) -> np.ndarray:
        """Return the k rows nearest to each row of what `as_array` gave, exactly, the row itself first."""

    def ranks(self) -> Ranks:
        """Return what compares rows, and points of a map."""

    def to_indices(self, ids: Array) -> np.ndarray:
        """Return an array of any type, such as row numbers, as a NumPy array."""

    def start(self, X: Array, asked: Umap | Tsne) -> Array:
        """Return what a layout needs of a matrix besides its graph."""

    def umap(self, X: Array, graph: Any, settings: Umap, seed: int) -> Layout:
        """Return a UMAP embedding. X: what `start` gave."""

    def tsne(self, X: Array, graph: Any, settings: Tsne, seed: int) -> Layout:
        """Return a t-SNE embedding. X: what `start` gave."""

    def settle(self) -> dict[str, float]:
        """Wait until all work is done; return what is known of the device's memory since the last call."""

    def give_back(self) -> None:
        """Give back memory that is no longer needed."""
