"""Plan a reduction on a GPU: choose how each step is done so that it fits in memory.

This is arithmetic only, so it works on a machine without a GPU. No decision about one map depends on the other maps of
the same call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from gpuvis.backends.gpu import limits, memory_model
from gpuvis.backends.gpu.limits import MOST_ROWS
from gpuvis.backends.gpu.memory_model import Bytes, in_units
from gpuvis.errors import DataError, OutOfMemoryError, SettingsError
from gpuvis.settings import METRICS, MethodName, Settings

SHARED_K = 96  # fewest columns of an exact graph: enough for the defaults of UMAP and t-SNE, which then share one graph
USABLE = 0.95  # share of the free memory that a step may use

# Most multiply-adds, rows² × columns, of an exact graph that is not required: about 40 s at the 9.3e10 pairs of rows a
# second that cuML's developers measured for brute force on an RTX Pro 6000 (pull request 8123).
EXACT_WORK = 2.5e14
PAIRS_PER_SECOND = 9.3e10
LONGEST_HOURS = 2.0  # for an exact graph that is required


@dataclass(frozen=True)
class GraphPlan:
    """The plan of a neighbour graph. Two maps with the same plan share their graph.

    Attributes
    ----------
    metric : str
    k : int
        Columns of the graph, including the row itself.
    kind : {"exact", "nn_descent", "batched"}
    n_clusters : int
        Batches of a batched graph.
    on_host : bool
        The graph is kept on the host, because it has more entries than cuML can count on the device.
    centred : bool
        NN-descent gets a copy of the rows, minus their mean if that is far from zero, because it computes in float16.
    """

    metric: str
    k: int
    kind: Literal["exact", "nn_descent", "batched"]
    n_clusters: int = 1
    on_host: bool = False
    centred: bool = False


@dataclass(frozen=True)
class Plan:
    """The plan of a reduction on a GPU.

    Attributes
    ----------
    pca : {"in core", "streamed"} or None
    on_device : bool
        Whether the matrix, after PCA, is on the device.
    graphs : dict of str to GraphPlan
        One for each map.
    steps : dict of str to Bytes
        Estimated peak of each step.
    repeatable : dict of str to str
        Whether each map can be repeated, as a sentence.
    """

    pca: str | None
    on_device: bool
    graphs: dict[MethodName, GraphPlan]
    steps: dict[str, Bytes]
    repeatable: dict[MethodName, str]

    @property
    def peak(self) -> Bytes:
        """The largest estimate of all steps, for the device and for the host."""
        return Bytes(*(max(side) for side in zip(*self.steps.values(), strict=True)))

    @property
    def advice(self) -> str:
        """What the user can do if memory runs out despite the plan."""
        return (
            f"{memory_model.in_units(self.peak.device)} on the device were planned; use a smaller pca_dim, "
            "fewer neighbours, a GPU that nobody else uses, or --backend cpu"
        )

    def lines(self) -> list[str]:
        """Return the plan as lines of text, for the terminal."""
        location = "on the device" if self.on_device else "on the host"
        lines = [f"PCA          {self.pca or 'none'}", f"matrix       {location}"]
        for method, graph in self.graphs.items():
            search = {"exact": "exact", "nn_descent": "NN-descent"}.get(
                graph.kind, f"NN-descent, in {graph.n_clusters} batches from the host"
            )
            lines.append(f"{method:<12} neighbours: {search}; repeatable: {self.repeatable[method]}")
        lines += ["", f"{'step':<20}{'device':>10}{'host':>12}"]
        for name, step in (*self.steps.items(), ("peak", self.peak)):
            lines.append(f"{name:<20}{memory_model.in_units(step.device):>10}{memory_model.in_units(step.host):>12}")
        return lines

    def describe(self) -> dict[str, Any]:
        """Return the whole plan, ready for JSON."""
        return {**asdict(self), "steps": {name: step._asdict() for name, step in self.steps.items()}}


@dataclass(frozen=True)
class Work:
    """The work to plan: the shape of a matrix, the settings fitted to it, and the free memory.

    Attributes
    ----------
    room : Bytes
        Free memory on the device and on the host.
    host_known : bool
        Whether the free memory of the host is known; if not, only the device is checked.
    scaled : bool
        Whether the values have to be scaled, which takes a copy.
    """

    rows: int
    columns: int
    itemsize: int
    settings: Settings
    room: Bytes
    host_known: bool = True
    scaled: bool = False

    @property
    def width(self) -> int:
        """Number of columns after PCA."""
        return self.settings.pca_dim or self.columns

    def fits(self, needed: Bytes) -> bool:
        """Return whether a step that needs this much memory fits."""
        return needed.device <= USABLE * self.room.device and (
            not self.host_known or needed.host <= USABLE * self.room.host
        )


def draft(work: Work) -> Plan:
    """Decide how each step is done, even if it does not fit; `plan` checks that.

    Raises
    ------
    SettingsError
        --deterministic or a metric requires an exact graph, which would take too long.
    """
    loading = memory_model.loading(work.rows, work.columns, work.itemsize)
    pca, in_core = _pca(work, loading)
    size = memory_model.matrix(work.rows, work.width)
    shared_graph = memory_model.approximate_graph(work.rows, SHARED_K)
    on_device = work.fits(Bytes(size + shared_graph.device)) and (pca is not None or work.fits(loading))
    # A memory-mapped file of float32 is used on the host without a copy.
    mapped = pca is None and work.itemsize == memory_model.FLOAT and not work.scaled
    matrix = Bytes(size) if on_device else Bytes(0, 0 if mapped else size)
    steps = {"load": loading if on_device else matrix}
    if pca:
        streamed = memory_model.pca_streamed(work.rows, work.columns).plus(matrix)
        steps = {"pca": in_core if pca == "in core" else streamed}
    graphs = {method: _graph(work, method, matrix) for method in work.settings.methods}
    searches = [matrix.plus(_search(work, graph, matrix)) for graph in graphs.values()]
    steps["neighbors"] = Bytes(*(max(side) for side in zip(*searches, strict=True)))
    steps["start"] = matrix.plus(_start(work, max(graph.k for graph in graphs.values())))
    last = work.settings.methods[-1]
    for method, graph in graphs.items():
        steps[method] = _layout(work, method, graph).plus(Bytes(0) if method == last else matrix)
    repeatable = {method: limits.promise(graph.kind == "exact", graph.k) for method, graph in graphs.items()}
    return Plan(pca, on_device, graphs, steps, repeatable)


def _pca(work: Work, loading: Bytes) -> tuple[str | None, Bytes]:
    """Decide how PCA is done; return this and its memory in core."""
    if work.settings.pca_dim is None:
        return None, Bytes(0)
    matrix = Bytes(memory_model.matrix(work.rows, work.columns))
    needed = memory_model.pca_in_core(work.rows, work.columns, work.settings.pca_dim).plus(matrix)
    in_core = Bytes(max(loading.device, needed.device), needed.host)
    return ("in core" if work.fits(in_core) else "streamed"), in_core


def _graph(work: Work, method: MethodName, matrix: Bytes) -> GraphPlan:
    """Plan the graph of a method: exact if it is required or quick, else the first approximate search that fits."""
    options = work.settings.maps[method]
    k = options.n_graph_neighbors(work.rows)
    multiply_adds = work.rows**2 * max(work.width, 64)
    required = work.settings.deterministic or not METRICS[options.metric].approximate_on_gpu
    columns = min(max(k, SHARED_K), work.rows)
    columns = columns if work.rows * columns <= limits.MOST_ROWS else k
    exact = GraphPlan(options.metric, columns, "exact")
    if required or (multiply_adds <= EXACT_WORK and work.fits(matrix.plus(_search(work, exact, matrix)))):
        hours = multiply_adds / 64 / PAIRS_PER_SECOND / 3600
        if hours > LONGEST_HOURS:
            why = "--deterministic" if work.settings.deterministic else f"{method}_metric {options.metric}"
            raise SettingsError(
                f"{why} needs an exact neighbour graph: {multiply_adds:.1e} multiply-adds, some {hours:,.0f} hours at "
                "the rate published for one large GPU; leave it out, use euclidean or cosine, or reduce a sample"
            )
        return exact
    on_host = work.rows * k > limits.MOST_ROWS
    plans = [GraphPlan(options.metric, k, "nn_descent")] if matrix.device and not on_host else []
    plans += [GraphPlan(options.metric, k, "batched", clusters, on_host) for clusters in (4, 8, 16, 32, 64, 128, 256)]
    if options.metric == "euclidean" and not work.settings.pca_dim:  # PCA scores are centred already
        plans = [variant for graph in plans for variant in (replace(graph, centred=True), graph)]
    return next((graph for graph in plans if work.fits(matrix.plus(_search(work, graph, matrix)))), plans[-1])


def _search(work: Work, graph: GraphPlan, matrix: Bytes) -> Bytes:
    """Estimate a neighbour search, without the matrix, which is on the device if `matrix.device` is not 0."""
    size = memory_model.matrix(work.rows, work.width)
    if graph.kind == "exact":
        copy = 0 if matrix.device else size
        return memory_model.exact_graph(work.rows, graph.k).plus(Bytes(copy))
    centred = size if graph.centred else 0
    if graph.kind == "nn_descent":
        return memory_model.approximate_graph(work.rows, graph.k).plus(Bytes(centred))
    host_copy = size if matrix.device else 0
    batched = memory_model.batched_graph(work.rows, work.width, graph.k, graph.n_clusters, graph.on_host)
    return batched.plus(Bytes(0, host_copy + centred))


def _start(work: Work, k: int) -> Bytes:
    """Estimate the first two principal components, if a map starts from them, and the graph, which exists already."""
    graph_and_scores = memory_model.NEIGHBOUR * work.rows * k + memory_model.matrix(work.rows, 2)
    umap, tsne = work.settings.umap, work.settings.tsne
    needs_pca = (umap and not limits.spectral(work.rows)) or (tsne and tsne.init == "pca")
    return Bytes(graph_and_scores + (memory_model.pca_streamed(work.rows, work.width).device if needs_pca else 0))


def _layout(work: Work, method: MethodName, graph: GraphPlan) -> Bytes:
    """Estimate a layout, including the graph and, if the layout uses fewer columns, the copy of these."""
    k = work.settings.maps[method].n_graph_neighbors(work.rows)
    trimmed = memory_model.NEIGHBOUR * work.rows * k
    full = memory_model.NEIGHBOUR * work.rows * graph.k
    graphs = Bytes(trimmed, full) if graph.on_host else Bytes(full + (trimmed if k < graph.k else 0))
    return graphs.plus(memory_model.LAYOUTS[method](work.rows, k))


def plan(work: Work) -> Plan:
    """Plan a reduction that fits.

    Raises
    ------
    OutOfMemoryError
        A step does not fit. The message says how much memory it needs, and which settings would fit.
    SettingsError
        An exact graph is required and would take too long.
    DataError
        There are more rows than cuML can count.
    """
    if work.rows > MOST_ROWS:
        raise DataError(f"has {work.rows:,} rows; cuML counts up to {MOST_ROWS:,}: reduce a sample")
    drafted = draft(work)
    excess = _excess(work, drafted)
    if excess:
        raise OutOfMemoryError(f"{excess}; {_advice(work)}")
    return drafted


def _excess(work: Work, drafted: Plan) -> str | None:
    """Return what does not fit, as a sentence; None if all steps fit."""
    for method, graph in drafted.graphs.items():
        countable = graph.on_host and method == "umap"  # cuML's UMAP has no such limit for a graph on the host
        if work.rows * graph.k > MOST_ROWS and not countable:
            return f"{method} of {work.rows:,} rows with {graph.k} neighbours each has more entries than cuML can count"
    for name, step in drafted.steps.items():
        if not work.fits(step):
            return (
                f"step {name} of {work.rows:,} × {work.columns:,} needs {_in_words(step)}; "
                f"there are {_in_words(work.room if work.host_known else Bytes(work.room.device))}"
            )
    return None


def _in_words(size: Bytes) -> str:
    host = f" and {in_units(size.host)} on the host" if size.host else ""
    return f"{in_units(size.device)} on the device{host}"


def _advice(work: Work) -> str:
    """Return the mildest change of the settings that fits, found by trial; if there is none, other advice."""
    for advice, settings in _alternatives(work):
        other = replace(work, settings=settings)
        try:
            if not _excess(other, draft(other)):
                return advice
        except SettingsError:
            continue
    return "use a larger GPU, a machine with more memory, or a sample of the rows"


def _alternatives(work: Work) -> Iterator[tuple[str, Settings]]:
    """Yield advice and settings that need less memory, the mildest change first."""
    settings = work.settings
    if len(settings.methods) > 1:
        for method in settings.methods:
            yield f"{method} alone would fit", settings.only(method)
    bases = [settings]
    if settings.pca_dim is None and work.columns > 50:
        bases.append(replace(settings, pca_dim=50))
        yield "use --pca_dim 50", bases[1]
    for base, also in zip(bases, ("", " and --pca_dim 50"), strict=False):
        if base.umap:
            for k in range(base.umap.n_neighbors - 1, 4, -1):
                yield f"use --umap_neighbors {k}{also}", replace(base, umap=replace(base.umap, n_neighbors=k))
        if base.tsne:
            for perplexity in range(int(base.tsne.perplexity - 0.5), 4, -1):
                tsne = replace(base.tsne, perplexity=float(perplexity))
                yield f"use --tsne_perplexity {perplexity}{also}", replace(base, tsne=tsne)
