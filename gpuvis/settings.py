"""The settings of maps, and the tables of methods (METHODS) and of distance metrics (METRICS).

To add a method or a metric, start with its row in the table. `Settings` cannot be changed: `Settings.fitted_to` returns
the effective settings as a new value, with a note for each difference, and the run record holds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from math import inf
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from gpuvis.errors import SettingsError

MethodName = str  # a key of METHODS

MIN_ROWS = 5  # among fewer points, neighbourhoods mean nothing


class Metric(NamedTuple):
    """A distance between rows.

    Attributes
    ----------
    aliases : tuple of str
        Other names of the metric.
    by_products : bool
        Whether distances can be computed from matrix products.
    angular : bool
        Whether only the direction of rows counts. Rows without a direction, such as rows of zeros, have no distance.
    on_gpu : bool
        Whether the GPU's libraries support the metric.
    approximate_on_gpu : bool
        Whether the GPU's approximate neighbour search supports it too.
    """

    aliases: tuple[str, ...] = ()
    by_products: bool = False
    angular: bool = False
    on_gpu: bool = True
    approximate_on_gpu: bool = False


METRICS = {
    "euclidean": Metric(("l2",), by_products=True, approximate_on_gpu=True),
    "cosine": Metric(by_products=True, angular=True, approximate_on_gpu=True),
    "correlation": Metric(by_products=True, angular=True),
    "manhattan": Metric(("l1", "cityblock", "taxicab")),
    "chebyshev": Metric(("linf",)),
    "canberra": Metric(),
    "braycurtis": Metric(on_gpu=False),
}
ALIASES = {alias: name for name, metric in METRICS.items() for alias in metric.aliases}
INITS = ("pca", "random")
OPTIMIZERS = ("auto", "umap-learn")
TSNE_METHODS = ("auto", "barnes_hut", "exact")
QUALITIES = ("auto", "full", "none")  # how much is measured of a map; full: the recall of every point
MOST_THREADS = 1024


def require(is_valid: bool, name: str, expected: str, value: object) -> None:
    """Raise a `SettingsError` that names a setting, its expected value and its value, unless the value is valid."""
    if not is_valid:
        raise SettingsError(f"{name} has to be {expected}; found {value!r}")


def _whole_number(name: str, value: Any, low: float, high: float = inf) -> int:
    """Check a whole number of any type, including NumPy's, and return it as an int."""
    limits = _limits(low, high) if low > -inf else "of any size"
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(is_whole and low <= int(value) <= high, name, f"a whole number {limits}", value)
    return int(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    """Check a number of any real type, and return it as a float."""
    is_valid = isinstance(value, Real) and low <= float(value) <= min(high, 1e308)
    require(is_valid, name, f"a number {_limits(low, high)}", value)
    return float(value)


def _limits(low: float, high: float) -> str:
    return f"of {low} or more" if high == inf else f"from {low} to {high}"


def _set(settings: object, **values: object) -> None:
    """Set fields of a frozen dataclass, which only `__post_init__` may do."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def canonical_metric(name: str, value: str) -> str:
    """Return the name in METRICS of a metric, given its name or an alias.

    Parameters
    ----------
    name : str
        Name of the setting, for the error message.
    value : str
        Name or alias of the metric.

    Raises
    ------
    SettingsError
        There is no such metric.
    """
    value = ALIASES.get(value, value)
    require(value in METRICS, name, "one of " + ", ".join((*METRICS, *ALIASES)), value)
    return value


class MethodSettings(Protocol):
    """The settings of one method: a frozen dataclass whose fields all have defaults."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def metric(self) -> str:
        """Distance between rows: a key of METRICS."""

    @property
    def library(self) -> str | None:
        """The requested library; None: the backend's own implementation."""

    def n_graph_neighbors(self, rows: int) -> int:
        """Return the number of columns of the neighbour graph, the point itself counted; 0 if none is needed."""

    def fitted_to(self, rows: int, columns: int) -> tuple[Self, list[str]]:
        """Return the effective settings for a matrix of this shape, and a note for each difference."""


@dataclass(frozen=True, kw_only=True)
class UmapSettings:
    """Settings of UMAP (McInnes, Healy, Melville 2018, arXiv:1802.03426).

    Attributes
    ----------
    n_neighbors : int, default=30
        Size of the neighbourhood, the point itself counted; 2 or more.
    min_dist : float, default=0.1
        How close points may lie in the map; from 0 to 1.
    metric : str, default="euclidean"
        Distance between rows.
    optimizer : {"auto", "umap-learn"}, default="auto"
        Optimizer of the layout. auto: the backend's own; umap-learn: that of the library, on the CPU only.
    """

    n_neighbors: int = 30
    min_dist: float = 0.1
    metric: str = "euclidean"
    optimizer: str = "auto"

    def __post_init__(self) -> None:
        _set(self, n_neighbors=_whole_number("umap_neighbors", self.n_neighbors, 2))
        _set(self, min_dist=_number("umap_min_dist", self.min_dist, 0, 1))
        _set(self, metric=canonical_metric("umap_metric", self.metric))
        require(self.optimizer in OPTIMIZERS, "umap_optimizer", "one of " + ", ".join(OPTIMIZERS), self.optimizer)

    @property
    def library(self) -> str | None:
        """The requested library; None: the backend's own implementation."""
        return None if self.optimizer == "auto" else self.optimizer

    def n_graph_neighbors(self, rows: int) -> int:
        """Return the number of columns of the neighbour graph, the point itself counted."""
        return self.n_neighbors

    def fitted_to(self, rows: int, columns: int) -> tuple[Self, list[str]]:
        """Return the effective settings for a matrix of this shape, and a note for each difference."""
        most = rows - 1
        if self.n_neighbors <= most:
            return self, []
        note = f"umap_neighbors {self.n_neighbors} is too large for {rows} rows: {most} is used"
        return replace(self, n_neighbors=most), [note]


@dataclass(frozen=True, kw_only=True)
class TsneSettings:
    """Settings of t-SNE (van der Maaten, Hinton 2008, JMLR 9:2579).

    Attributes
    ----------
    perplexity : float, default=30.0
        Effective number of neighbours; 1 or more. With n rows, at most (n - 1) / 3.
    metric : str, default="cosine"
        Distance between rows.
    init : {"pca", "random"}, default="pca"
        Where the points start.
    method : {"auto", "barnes_hut", "exact"}, default="auto"
        Algorithm. auto: the backend's own; the others: those of scikit-learn, on the CPU only.
    """

    perplexity: float = 30.0
    metric: str = "cosine"
    init: str = "pca"
    method: str = "auto"

    def __post_init__(self) -> None:
        _set(self, perplexity=_number("tsne_perplexity", self.perplexity, 1, inf))
        _set(self, metric=canonical_metric("tsne_metric", self.metric))
        require(self.init in INITS, "tsne_init", "one of " + ", ".join(INITS), self.init)
        require(self.method in TSNE_METHODS, "tsne_method", "one of " + ", ".join(TSNE_METHODS), self.method)

    @property
    def library(self) -> str | None:
        """The requested library and its algorithm; None: the backend's own implementation."""
        return None if self.method == "auto" else f"scikit-learn, {self.method}"

    def n_graph_neighbors(self, rows: int) -> int:
        """Return the number of columns of the neighbour graph, the point itself counted; 0 for scikit-learn."""
        if self.library:  # scikit-learn searches for neighbours itself
            return 0
        return min(rows, int(3 * self.perplexity + 1) + 1)  # as many neighbours as in scikit-learn, and the point

    def fitted_to(self, rows: int, columns: int) -> tuple[Self, list[str]]:
        """Return the effective settings for a matrix of this shape, and a note for each difference."""
        fitted, notes = self, []
        most = (rows - 1) / 3  # the affinities reach over 3 * perplexity neighbours (van der Maaten 2014, JMLR 15)
        if self.perplexity > most:
            fitted = replace(fitted, perplexity=most)
            notes.append(f"tsne_perplexity {self.perplexity:g} is too large for {rows} rows: {most:g} is used")
        if self.init == "pca" and columns < 2:
            fitted = replace(fitted, init="random")
            notes.append("tsne_init pca needs 2 columns, and there is 1: random is used")
        return fitted, notes


Umap = UmapSettings
Tsne = TsneSettings


class Method(NamedTuple):
    """A method that computes maps.

    Attributes
    ----------
    title : str
        The name that readers see.
    settings : type
        The class of its settings.
    """

    title: str
    settings: type[MethodSettings]


# Maps are computed in this order. Keys consist of letters and digits; they are part of file names and records. The
# function that computes the layout is in the table LAYOUTS of each backend.
METHODS: dict[MethodName, Method] = {
    "umap": Method("UMAP", UmapSettings),
    "tsne": Method("t-SNE", TsneSettings),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a reduction: which maps to compute, and how.

    Attributes
    ----------
    umap : UmapSettings or None
        Settings of the UMAP map; None: no such map.
    tsne : TsneSettings or None
        Settings of the t-SNE map; None: no such map.
    more : tuple of MethodSettings
        Settings of maps by other methods of METHODS, one each.
    pca_dim : int or None, default=None
        Reduce to this many principal components first; 2 or more. None: no PCA.
    seed : int, default=1
        Seed of every random choice; any whole number.
    deterministic : bool, default=False
        Use only algorithms that give the same map in every run; raise an error if there is none. On the CPU, all do.
    threads : int or None, default=None
        CPU threads to use; None: as many as the process may use. A map on the CPU does not depend on this number,
        unless its record says so.

    Raises
    ------
    SettingsError
        A value is out of its range.
    """

    umap: UmapSettings | None = field(default_factory=UmapSettings)
    tsne: TsneSettings | None = None
    more: tuple[MethodSettings, ...] = ()
    pca_dim: int | None = None
    seed: int = 1
    deterministic: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        classes = [type(settings) for settings in self._all_maps]
        allowed = {method.settings for method in METHODS.values()}
        is_valid = allowed.issuperset(classes) and len(set(classes)) == len(classes)
        require(is_valid, "more", "of other methods, one each", classes)
        require(bool(classes), "settings", f"a request for at least one map ({', '.join(METHODS)})", "none")
        if self.pca_dim is not None:
            _set(self, pca_dim=_whole_number("pca_dim", self.pca_dim, 2))
        _set(self, seed=_whole_number("seed", self.seed, -inf))
        if self.threads is not None:
            _set(self, threads=_whole_number("threads", self.threads, 1, MOST_THREADS))

    @property
    def random_state(self) -> int:
        """The seed in the range that libraries accept, from 0 to 4,294,967,295."""
        return self.seed % 2**32

    @property
    def _all_maps(self) -> list[MethodSettings]:
        return [settings for settings in (self.umap, self.tsne, *self.more) if settings is not None]

    @property
    def maps(self) -> dict[MethodName, MethodSettings]:
        """The settings of each requested map, in the order of METHODS."""
        by_class = {type(settings): settings for settings in self._all_maps}
        return {name: by_class[method.settings] for name, method in METHODS.items() if method.settings in by_class}

    @property
    def methods(self) -> tuple[MethodName, ...]:
        """The methods of the requested maps, in the order of METHODS."""
        return tuple(self.maps)

    @classmethod
    def of(cls, *methods: MethodName) -> Settings:
        """Return the default settings of the named methods."""
        return cls().with_maps(METHODS[method].settings() for method in methods)

    def only(self, *methods: MethodName) -> Settings:
        """Return these settings with the maps of the named methods alone."""
        return self.with_maps(settings for name, settings in self.maps.items() if name in methods)

    def with_maps(self, maps: Iterable[MethodSettings]) -> Settings:
        """Return these settings with other maps."""
        by_class: dict[type, Any] = {type(settings): settings for settings in maps}
        umap, tsne = by_class.pop(UmapSettings, None), by_class.pop(TsneSettings, None)
        return replace(self, umap=umap, tsne=tsne, more=tuple(by_class.values()))

    def fitted_to(self, rows: int, columns: int) -> tuple[Settings, list[str]]:
        """Return the settings that apply to a matrix of this shape.

        Returns
        -------
        settings : Settings
            The effective settings.
        notes : list of str
            One sentence for each difference from the requested settings.
        """
        pca_dim, notes = self._pca_fitted_to(rows, columns)
        maps: list[MethodSettings] = []
        for requested in self.maps.values():
            fitted, map_notes = requested.fitted_to(rows, pca_dim or columns)
            maps.append(fitted)
            notes += map_notes
        return replace(self, pca_dim=pca_dim).with_maps(maps), notes

    def _pca_fitted_to(self, rows: int, columns: int) -> tuple[int | None, list[str]]:
        if self.pca_dim is None:
            return None, []
        if self.pca_dim >= columns:
            return None, [f"pca_dim {self.pca_dim} ≥ {columns} columns: PCA is skipped"]
        if self.pca_dim >= rows:  # n centred rows span n - 1 dimensions
            return rows - 1, [f"pca_dim {self.pca_dim} is too large for {rows} rows: {rows - 1} is used"]
        return self.pca_dim, []

    def describe(self, method: MethodName) -> dict[str, Any]:
        """Return all settings that affect one map, as one flat dictionary that is ready for JSON."""
        settings = asdict(self.maps[method])
        algorithms = {f"{method}_{name}": settings.pop(name) for name in ("optimizer", "method") if name in settings}
        described = {"method": method, **settings, "pca_dim": self.pca_dim, "seed": self.seed}
        described |= {name: value for name, value in algorithms.items() if value != "auto"}
        return {**described, "deterministic": True} if self.deterministic else described
