"""Settings of a reduction: what was asked, and what really applies to so many rows and columns.

`Settings` is never edited: `Settings.fitted_to` gives a second value, with a note for each difference,
and both go into the run record.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from math import inf
from numbers import Integral, Real
from typing import Any, Literal

from gpuvis.errors import SettingsError

Method = Literal["umap", "tsne"]

MIN_ROWS = 5  # fewer points have no neighbourhoods to keep

METRICS = ("euclidean", "cosine", "correlation", "manhattan", "chebyshev", "canberra", "braycurtis")
ALIASES = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan", "taxicab": "manhattan", "linf": "chebyshev"}
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


def _metric(name: str, value: str) -> str:
    value = ALIASES.get(value, value)
    require(value in METRICS, name, "one of " + ", ".join((*METRICS, *ALIASES)), value)
    return value


@dataclass(frozen=True, kw_only=True)
class Umap:
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
        _set(self, metric=_metric("umap_metric", self.metric))
        require(self.optimizer in OPTIMIZERS, "umap_optimizer", "one of " + ", ".join(OPTIMIZERS), self.optimizer)

    @property
    def library(self) -> str | None:
        """Which library is asked for, if one is."""
        return None if self.optimizer == "auto" else self.optimizer

    def fitted_to(self, rows: int, columns: int) -> tuple[Umap, list[str]]:
        """Return the settings for so many rows and columns, and a note for each difference."""
        most = rows - 1
        if self.n_neighbors <= most:
            return self, []
        note = f"umap_neighbors {self.n_neighbors} is too large for {rows} rows: {most} is used"
        return replace(self, n_neighbors=most), [note]


@dataclass(frozen=True, kw_only=True)
class Tsne:
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
        _set(self, metric=_metric("tsne_metric", self.metric))
        require(self.init in INITS, "tsne_init", "one of " + ", ".join(INITS), self.init)
        require(self.method in TSNE_METHODS, "tsne_method", "one of " + ", ".join(TSNE_METHODS), self.method)

    @property
    def library(self) -> str | None:
        """Which library is asked for, and its way, if one is."""
        return None if self.method == "auto" else f"scikit-learn, {self.method}"

    def fitted_to(self, rows: int, columns: int) -> tuple[Tsne, list[str]]:
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is asked of a reduction.

    Attributes
    ----------
    umap : Umap or None
        Draw a UMAP map with these settings.
    tsne : Tsne or None
        Draw a t-SNE map with these settings.
    pca_dim : int or None, default=None
        Reduce to so many principal components first; 2 or more. None: no PCA.
    seed : int, default=1
        Seed of every random choice; any.
    deterministic : bool, default=False
        Take no faster way that differs from run to run, or refuse. On the CPU there is none anyway.
    threads : int or None, default=None
        CPU threads to use; None: those that the process may use. No map on the CPU depends on it, unless it says so.

    Raises
    ------
    SettingsError
        A value is out of its range.
    """

    umap: Umap | None = field(default_factory=Umap)
    tsne: Tsne | None = None
    pca_dim: int | None = None
    seed: int = 1
    deterministic: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        require(bool(self.methods), "settings", "a request for at least one map (umap, tsne)", "none")
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
    def methods(self) -> tuple[Method, ...]:
        """The maps asked for, in a fixed order."""
        return tuple(m for m in ("umap", "tsne") if getattr(self, m) is not None)

    def only(self, *methods: Method) -> Settings:
        """Return the same settings for some of the maps."""
        keep: dict[str, Any] = {m: getattr(self, m) if m in methods else None for m in ("umap", "tsne")}
        return replace(self, **keep)

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
        fitted: dict[str, Any] = {}
        for method in self.methods:
            fitted[method], more = getattr(self, method).fitted_to(rows, pca_dim or columns)
            notes += more
        return replace(self, pca_dim=pca_dim, **fitted), notes

    def _pca_fitted_to(self, rows: int, columns: int) -> tuple[int | None, list[str]]:
        if self.pca_dim is None:
            return None, []
        if self.pca_dim >= columns:
            return None, [f"pca_dim {self.pca_dim} ≥ {columns} columns: PCA is skipped"]
        if self.pca_dim >= rows:  # n centred rows span n - 1 dimensions
            return rows - 1, [f"pca_dim {self.pca_dim} is too large for {rows} rows: {rows - 1} is used"]
        return self.pca_dim, []

    def describe(self, method: Method) -> dict[str, Any]:
        """Return all that bears on one map, flat and ready for JSON."""
        chosen = asdict(getattr(self, method))
        how = {f"{method}_{name}": chosen.pop(name) for name in ("optimizer", "method") if name in chosen}
        described = {"method": method, **chosen, "pca_dim": self.pca_dim, "seed": self.seed}
        described |= {name: value for name, value in how.items() if value != "auto"}
        return {**described, "deterministic": True} if self.deterministic else described
