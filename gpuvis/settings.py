"""The settings of a map; METHODS and METRICS, the tables where a new method or distance metric begins.

`Settings` is never edited: `Settings.fitted_to` gives a second value, with a note for each difference,
and both go into the run record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from math import inf
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from gpuvis.errors import SettingsError

MethodName = str  # a key of METHODS

MIN_ROWS = 5  # fewer points have no neighbourhoods to keep


class Metric(NamedTuple):
    """A distance between rows.

    Attributes
    ----------
    aliases : tuple of str
        Other names of it.
    by_products : bool
        Matrix products give the distances.
    angular : bool
        Only the direction of rows counts: rows without one have no such distance.
    on_gpu : bool
        The GPU's libraries know it.
    approximate_on_gpu : bool
        The GPU's approximate search knows it too.
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
QUALITIES = ("auto", "full", "none")  # what is measured of a map: see `measuring`
MOST_THREADS = 1024


def require(ok: bool, name: str, expected: str, found: object) -> None:
    """Raise a `SettingsError` that tells what was expected of a setting and what was found, unless it is all right."""
    if not ok:
        raise SettingsError(f"{name} has to be {expected}; found {found!r}")


def _whole(name: str, value: Any, low: float, high: float = inf) -> int:
    """Return a whole number of any kind, NumPy's too, as an int."""
    limits = f"of {low} or more" if high == inf else f"from {low} to {high}"
    limits = limits if low > -inf else "of any size"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(whole and low <= int(value) <= high, name, f"a whole number {limits}", value)
    return int(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    limits = f"of {low} or more" if high == inf else f"from {low} to {high}"
    require(isinstance(value, Real) and low <= float(value) <= min(high, 1e308), name, f"a number {limits}", value)
    return float(value)


def _set(settings: object, **values: object) -> None:
    """Set checked values while a frozen dataclass is being made."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def canonical_metric(name: str, value: str) -> str:
    """Return the name of a metric in METRICS, of which `value` may be an alias.

    Raises
    ------
    SettingsError
        It is none.
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
        """Which library is asked for, if one is."""

    def n_graph_neighbors(self, rows: int) -> int:
        """Return how many columns the neighbour graph needs, the point itself counted; 0: the method needs no graph."""

    def fitted_to(self, rows: int, columns: int) -> tuple[Self, list[str]]:
        """Return the settings for so many rows and columns, and a note for each difference."""


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
        Who lays the graph out: the backend as it does best, or umap-learn, which is for the CPU.
    """

    n_neighbors: int = 30
    min_dist: float = 0.1
    metric: str = "euclidean"
    optimizer: str = "auto"

    def __post_init__(self) -> None:
        _set(self, n_neighbors=_whole("umap_neighbors", self.n_neighbors, 2))
        _set(self, min_dist=_number("umap_min_dist", self.min_dist, 0, 1))
        _set(self, metric=canonical_metric("umap_metric", self.metric))
        require(self.optimizer in OPTIMIZERS, "umap_optimizer", "one of " + ", ".join(OPTIMIZERS), self.optimizer)

    @property
    def library(self) -> str | None:
        """Which library is asked for, if one is."""
        return None if self.optimizer == "auto" else self.optimizer

    def n_graph_neighbors(self, rows: int) -> int:
        """Return how many columns the neighbour graph needs, the point itself counted."""
        return self.n_neighbors

    def fitted_to(self, rows: int, columns: int) -> tuple[Self, list[str]]:
        """Return the settings for so many rows and columns, and a note for each difference."""
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
        How it is computed: the backend as it does best, or scikit-learn by one of its ways, which is for the CPU.
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
        """Which library is asked for, and its way, if one is."""
        return None if self.method == "auto" else f"scikit-learn, {self.method}"

    def n_graph_neighbors(self, rows: int) -> int:
        """Return how many columns the neighbour graph needs, the point itself counted; scikit-learn makes its own."""
        if self.library:
            return 0
        return min(rows, int(3 * self.perplexity + 1) + 1)  # others as in scikit-learn

    def fitted_to(self, rows: int, columns: int) -> tuple[Self, list[str]]:
        """Return the settings for so many rows and columns, and a note for each difference."""
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
    """A way to draw a map.

    Attributes
    ----------
    title : str
        Its name for readers.
    settings : type
        The class of its settings.
    """

    title: str
    settings: type[MethodSettings]


# Maps are drawn in this order. The keys, letters and digits only, stand in names of files and in records. How a method
# lays a map out stands in the table LAYOUTS of each backend.
METHODS: dict[MethodName, Method] = {
    "umap": Method("UMAP", UmapSettings),
    "tsne": Method("t-SNE", TsneSettings),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a reduction: which maps, and how.

    Attributes
    ----------
    umap : UmapSettings or None
        Draw a UMAP map with these settings.
    tsne : TsneSettings or None
        Draw a t-SNE map with these settings.
    more : tuple of MethodSettings
        Draw maps by other methods of METHODS, with these settings.
    pca_dim : int or None, default=None
        Reduce to so many principal components first; 2 or more. None: no PCA.
    seed : int, default=1
        Seed of every random choice; any.
    deterministic : bool, default=False
        Use only algorithms that repeat, or refuse. On the CPU all of them do.
    threads : int or None, default=None
        CPU threads to use; None: those that the process may use. No map on the CPU depends on it, unless it says so.

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
        given = [type(one) for one in self._given]
        known = {method.settings for method in METHODS.values()}
        require(known.issuperset(given) and len(set(given)) == len(given), "more", "of other methods, one each", given)
        require(bool(given), "settings", f"a request for at least one map ({', '.join(METHODS)})", "none")
        if self.pca_dim is not None:
            _set(self, pca_dim=_whole("pca_dim", self.pca_dim, 2))
        _set(self, seed=_whole("seed", self.seed, -inf))
        if self.threads is not None:
            _set(self, threads=_whole("threads", self.threads, 1, MOST_THREADS))

    @property
    def random_state(self) -> int:
        """The seed as the libraries take it: from 0 to 4294967295."""
        return self.seed % 2**32

    @property
    def _given(self) -> list[MethodSettings]:
        return [one for one in (self.umap, self.tsne, *self.more) if one is not None]

    @property
    def maps(self) -> dict[MethodName, MethodSettings]:
        """The settings of each map asked for, in the order of METHODS."""
        given = {type(one): one for one in self._given}
        return {name: given[method.settings] for name, method in METHODS.items() if method.settings in given}

    @property
    def methods(self) -> tuple[MethodName, ...]:
        """The maps asked for, in the order of METHODS."""
        return tuple(self.maps)

    @classmethod
    def of(cls, *methods: MethodName) -> Settings:
        """Return the default settings of some methods."""
        return cls().with_maps(METHODS[method].settings() for method in methods)

    def only(self, *methods: MethodName) -> Settings:
        """Return the same settings for some of the maps."""
        return self.with_maps(one for name, one in self.maps.items() if name in methods)

    def with_maps(self, maps: Iterable[MethodSettings]) -> Settings:
        """Return the same settings for other maps."""
        by_class: dict[type, Any] = {type(one): one for one in maps}
        umap, tsne = by_class.pop(UmapSettings, None), by_class.pop(TsneSettings, None)
        return replace(self, umap=umap, tsne=tsne, more=tuple(by_class.values()))

    def fitted_to(self, rows: int, columns: int) -> tuple[Settings, list[str]]:
        """Say what will really be done with a matrix of so many rows and columns.

        Returns
        -------
        settings : Settings
            The effective settings.
        notes : list of str
            One sentence for each difference from what was asked.
        """
        pca_dim, notes = self._pca_fitted_to(rows, columns)
        fitted: list[MethodSettings] = []
        for asked in self.maps.values():
            one, more = asked.fitted_to(rows, pca_dim or columns)
            fitted.append(one)
            notes += more
        return replace(self, pca_dim=pca_dim).with_maps(fitted), notes

    def _pca_fitted_to(self, rows: int, columns: int) -> tuple[int | None, list[str]]:
        if self.pca_dim is None:
            return None, []
        if self.pca_dim >= columns:
            return None, [f"pca_dim {self.pca_dim} ≥ {columns} columns: PCA is skipped"]
        if self.pca_dim >= rows:  # n centred rows span n - 1 dimensions
            return rows - 1, [f"pca_dim {self.pca_dim} is too large for {rows} rows: {rows - 1} is used"]
        return self.pca_dim, []

    def describe(self, method: MethodName) -> dict[str, Any]:
        """Return all that bears on one map, flat and ready for JSON."""
        chosen = asdict(self.maps[method])
        how = {f"{method}_{name}": chosen.pop(name) for name in ("optimizer", "method") if name in chosen}
        described = {"method": method, **chosen, "pca_dim": self.pca_dim, "seed": self.seed}
        described |= {name: value for name, value in how.items() if value != "auto"}
        return {**described, "deterministic": True} if self.deterministic else described
