"""What was asked of a reduction, and what will really be done with so many rows and columns.

`Settings` is never edited: `Settings.fitted_to` gives a second value, with a note for each difference,
and both go into the run record.
"""

from __future__ import annotations

import os
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
MOST_THREADS = 1024

THEMES = ("auto", "light", "dark")
PLOTLYJS = ("inline", "shared", "cdn")
STATIC = ("png", "svg", "pdf")
URLS = ("http://", "https://", "file://")
MOST_ROWS_SEARCHED = 10_000  # up to which neighbours in the original space are found without being asked for


def _require(ok: bool, name: str, expected: str, found: object) -> None:
    if not ok:
        raise SettingsError(f"{name} has to be {expected}; found {found!r}")


def _whole(name: str, value: Any, low: float, high: float = inf) -> int:
    """Return a whole number of any kind, NumPy's too, as an int."""
    limits = f"of {low} or more" if high == inf else f"from {low} to {high}"
    limits = limits if low > -inf else "of any size"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    _require(whole and low <= int(value) <= high, name, f"a whole number {limits}", value)
    return int(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    limits = f"of {low} or more" if high == inf else f"from {low} to {high}"
    _require(isinstance(value, Real) and low <= float(value) <= min(high, 1e308), name, f"a number {limits}", value)
    return float(value)


def _set(settings: object, **values: object) -> None:
    """Set checked values while a frozen dataclass is being made."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def _metric(name: str, value: str) -> str:
    value = ALIASES.get(value, value)
    _require(value in METRICS, name, "one of " + ", ".join((*METRICS, *ALIASES)), value)
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
        _require(self.optimizer in OPTIMIZERS, "umap_optimizer", "one of " + ", ".join(OPTIMIZERS), self.optimizer)

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
        _require(self.init in INITS, "tsne_init", "one of " + ", ".join(INITS), self.init)
        _require(self.method in TSNE_METHODS, "tsne_method", "one of " + ", ".join(TSNE_METHODS), self.method)

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
        _require(bool(self.methods), "settings", "a request for at least one map (umap, tsne)", "none")
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
        told = {"method": method, **chosen, "pca_dim": self.pca_dim, "seed": self.seed}
        told |= {name: value for name, value in how.items() if value != "auto"}
        return {**told, "deterministic": True} if self.deterministic else told


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the HTML page shows. None of this changes the map.

    Attributes
    ----------
    color_by : str
        Column of `metadata.csv` that colours the points.
    hover : tuple of str
        Columns that are told first of a point.
    image_root : str or None
        Folder or URL that the files' names are below; None: `images` beside `metadata.csv`, if they are there.
    thumbnails : bool
        The page holds small images.
    neighbors : bool or None
        The page holds the true nearest neighbours of each point; None: up to 10,000 rows.
    theme : {"auto", "light", "dark"}
        auto: as the reader's system is set.
    plotlyjs : {"inline", "shared", "cdn"}
        Where plotly.js is: in each page, once at the root of the batch, or at plotly's makers.
    static : tuple of {"png", "svg", "pdf"}
        Pictures to draw besides.

    Raises
    ------
    SettingsError
    """

    color_by: str = "ground_truth_word_label"
    hover: tuple[str, ...] = ("file_name", "ground_truth_word_label", "ground_truth_num_label")
    image_root: str | None = None
    thumbnails: bool = False
    neighbors: bool | None = None
    theme: str = "auto"
    plotlyjs: str = "inline"
    static: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.theme in THEMES, "theme", "one of " + ", ".join(THEMES), self.theme)
        _require(self.plotlyjs in PLOTLYJS, "plotlyjs", "one of " + ", ".join(PLOTLYJS), self.plotlyjs)
        _require(set(self.static) <= set(STATIC), "static", "some of " + ", ".join(STATIC), self.static)
        root = self.image_root
        if root is not None and not root.startswith(URLS):
            _require(os.path.isdir(root), "image_root", "a folder that is there, or a URL", root)  # noqa: PTH112
        if self.thumbnails and root is not None:
            _require(not root.startswith(URLS), "image_root", "a folder, if thumbnails are to be made of it", root)

    def wants_neighbors(self, rows: int) -> bool:
        """Tell whether the nearest neighbours of so many rows are to be found."""
        return rows <= MOST_ROWS_SEARCHED if self.neighbors is None else self.neighbors
