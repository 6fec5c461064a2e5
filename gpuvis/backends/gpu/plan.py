"""Plan a reduction on a GPU: which steps fit, and how. Arithmetic only, so any machine can size a job.

No decision about one map depends on which other map was asked for in the same call.
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

SHARED_K = 96  # every exact graph has as many columns: enough for the usual UMAP and t-SNE, which then share one
USABLE = 0.95  # of what is free

# Multiply-adds, rows² × columns, up to which a graph is exact: about 40 s at the 9.3e10 pairs of rows a second that
# cuML's developers measured for brute force on an RTX Pro 6000 (pull request 8123); and at most, where it has to be.
EXACT_WORK = 2.5e14
PAIRS_PER_SECOND = 9.3e10
LONGEST_HOURS = 2.0


@dataclass(frozen=True)
class GraphPlan:
    """How a neighbour graph is built. Two maps with the same plan share their graph.

    Attributes
    ----------
    metric : str
    k : int
        Columns, the point itself counted.
    kind : {"exact", "nn_descent", "batched"}
    n_clusters : int
        Batches of a batched graph.
    on_host : bool
        The graph is too large for what cuML can count on the device.
    centred : bool
        NN-descent gets a copy of the rows, less their middle if that is far from zero: it reckons in float16.
    """

    metric: str
    k: int
    kind: Literal["exact", "nn_descent", "batched"]
    n_clusters: int = 1
    on_host: bool = False
    centred: bool = False


@dataclass(frozen=True)
class Plan:
    """How a reduction will be done on a GPU.

    Attributes
    ----------
    pca : {"in core", "streamed"} or None
    on_device : bool
        Whether the matrix, after PCA, lies on the device.
    graphs : dict of str to GraphPlan
        One for each map.
    steps : dict of str to Bytes
        Estimated peak of each step.
    repeatable : dict of str to str
        What is promised for each map.
    """

    pca: str | None
    on_device: bool
    graphs: dict[MethodName, GraphPlan]
    steps: dict[str, Bytes]
    repeatable: dict[MethodName, str]

    @property
    def peak(self) -> Bytes:
        """The most that any step takes."""
        return Bytes(*(max(side) for side in zip(*self.steps.values(), strict=True)))

    @property
    def advice(self) -> str:
        """What to do if it does not fit after all."""
        return (
            f"{memory_model.in_units(self.peak.device)} on the device were planned; use a smaller pca_dim, "
            "fewer neighbours, a GPU that nobody else uses, or --backend cpu"
        )

    def lines(self) -> list[str]:
        """Return all of it in words."""
        lies = "on the device" if self.on_device else "on the host"
        lines = [f"PCA          {self.pca or 'none'}", f"matrix       {lies}"]
        for method, graph in self.graphs.items():
            kind = {"exact": "exact", "nn_descent": "NN-descent"}.get(
                graph.kind, f"NN-descent, in {graph.n_clusters} batches from the host"
            )
            lines.append(f"{method:<12} neighbours: {kind}; repeatable: {self.repeatable[method]}")
        lines += ["", f"{'step':<20}{'device':>10}{'host':>12}"]
        for name, step in (*self.steps.items(), ("peak", self.peak)):
            lines.append(f"{name:<20}{memory_model.in_units(step.device):>10}{memory_model.in_units(step.host):>12}")
        return lines

    def describe(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return {**asdict(self), "steps": {name: step._asdict() for name, step in self.steps.items()}}


@dataclass(frozen=True)
class Work:
    """What is to be planned: a matrix, the settings fitted to it, and the room there is.

    Attributes
    ----------
    host_known : bool
        Whether the room on the host is known; else it is not looked at.
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
        """Columns after PCA."""
        return self.settings.pca_dim or self.columns

    def fits(self, needed: Bytes) -> bool:
        """Tell whether a step fits."""
        return needed.device <= USABLE * self.room.device and (
            not self.host_known or needed.host <= USABLE * self.room.host
        )


def draft(work: Work) -> Plan:
    """Decide how a reduction is done, whether or not it fits in the end (`plan` checks that).

    Raises
    ------
    SettingsError
        An exact graph is needed, by --deterministic or by its metric, and would take too long.
    """
    loading = memory_model.loading(work.rows, work.columns, work.itemsize)
    pca, in_core = _pca(work, loading)
    matrix = memory_model.matrix(work.rows, work.width)
    beside = memory_model.approximate_graph(work.rows, SHARED_K)
    on_device = work.fits(Bytes(matrix + beside.device)) and (pca is not None or work.fits(loading))
    # A mapped file of float32 serves as the matrix on the host, as it is.
    mapped = pca is None and work.itemsize == memory_model.FLOAT and not work.scaled
    held = Bytes(matrix) if on_device else Bytes(0, 0 if mapped else matrix)
    steps = {"load": loading if on_device else held}
    if pca:
        streamed = memory_model.pca_streamed(work.rows, work.columns).plus(held)
        steps = {"pca": in_core if pca == "in core" else streamed}
    graphs = {method: _graph(work, method, held) for method in work.settings.methods}
    searches = [held.plus(_search(work, graph, held)) for graph in graphs.values()]
    steps["neighbors"] = Bytes(*(max(side) for side in zip(*searches, strict=True)))
    steps["start"] = held.plus(_start(work, max(graph.k for graph in graphs.values())))
    last = work.settings.methods[-1]
    for method, graph in graphs.items():
        steps[method] = _layout(work, method, graph).plus(Bytes(0) if method == last else held)
    repeatable = {method: limits.promise(graph.kind == "exact", graph.k) for method, graph in graphs.items()}
    return Plan(pca, on_device, graphs, steps, repeatable)


def _pca(work: Work, loading: Bytes) -> tuple[str | None, Bytes]:
    """Say how PCA is done, and what it takes in core."""
    if work.settings.pca_dim is None:
        return None, Bytes(0)
    whole = Bytes(memory_model.matrix(work.rows, work.columns))
    needed = memory_model.pca_in_core(work.rows, work.columns, work.settings.pca_dim).plus(whole)
    in_core = Bytes(max(loading.device, needed.device), needed.host)
    return ("in core" if work.fits(in_core) else "streamed"), in_core


def _graph(work: Work, method: MethodName, held: Bytes) -> GraphPlan:
    asked = work.settings.maps[method]
    k = asked.n_graph_neighbors(work.rows)
    multiply_adds = work.rows**2 * max(work.width, 64)
    must = work.settings.deterministic or not METRICS[asked.metric].approximate_on_gpu
    wide = min(max(k, SHARED_K), work.rows)
    wide = wide if work.rows * wide <= limits.MOST_ROWS else k
    exact = GraphPlan(asked.metric, wide, "exact")
    if must or (multiply_adds <= EXACT_WORK and work.fits(held.plus(_search(work, exact, held)))):
        hours = multiply_adds / 64 / PAIRS_PER_SECOND / 3600
        if hours > LONGEST_HOURS:
            why = "--deterministic" if work.settings.deterministic else f"{method}_metric {asked.metric}"
            raise SettingsError(
                f"{why} needs an exact neighbour graph: {multiply_adds:.1e} multiply-adds, some {hours:,.0f} hours at "
                "the rate published for one large GPU; leave it out, use euclidean or cosine, or reduce a sample"
            )
        return exact
    on_host = work.rows * k > limits.MOST_ROWS
    plans = [GraphPlan(asked.metric, k, "nn_descent")] if held.device and not on_host else []
    plans += [GraphPlan(asked.metric, k, "batched", clusters, on_host) for clusters in (4, 8, 16, 32, 64, 128, 256)]
    if asked.metric == "euclidean" and not work.settings.pca_dim:  # what PCA gives is centred already
        plans = [both for plain in plans for both in (replace(plain, centred=True), plain)]
    return next((one for one in plans if work.fits(held.plus(_search(work, one, held)))), plans[-1])


def _search(work: Work, graph: GraphPlan, held: Bytes) -> Bytes:
    if graph.kind == "exact":
        copied = 0 if held.device else memory_model.matrix(work.rows, work.width)
        return memory_model.exact_graph(work.rows, graph.k).plus(Bytes(copied))
    whole = memory_model.matrix(work.rows, work.width)
    centred = whole if graph.centred else 0
    if graph.kind == "nn_descent":
        return memory_model.approximate_graph(work.rows, graph.k).plus(Bytes(centred))
    brought_back = whole if held.device else 0
    batched = memory_model.batched_graph(work.rows, work.width, graph.k, graph.n_clusters, graph.on_host)
    return batched.plus(Bytes(0, brought_back + centred))


def _start(work: Work, k: int) -> Bytes:
    """Find the first two principal components of the matrix, if a map starts from them, while the graph is there."""
    found = memory_model.NEIGHBOUR * work.rows * k + memory_model.matrix(work.rows, 2)
    umap, tsne = work.settings.umap, work.settings.tsne
    asked = (umap and not limits.spectral(work.rows)) or (tsne and tsne.init == "pca")
    return Bytes(found + (memory_model.pca_streamed(work.rows, work.width).device if asked else 0))


def _layout(work: Work, method: MethodName, graph: GraphPlan) -> Bytes:
    k = work.settings.maps[method].n_graph_neighbors(work.rows)
    trimmed = memory_model.NEIGHBOUR * work.rows * k
    whole = memory_model.NEIGHBOUR * work.rows * graph.k
    held = Bytes(trimmed, whole) if graph.on_host else Bytes(whole + (trimmed if k < graph.k else 0))
    return held.plus(memory_model.LAYOUTS[method](work.rows, k))


def plan(work: Work) -> Plan:
    """Plan a reduction that fits.

    Raises
    ------
    OutOfMemoryError
        A step does not fit; the message says by how much, and what would.
    SettingsError
        An exact graph is needed and would take too long.
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
    """Say what does not fit, if anything."""
    for method, graph in drafted.graphs.items():
        countable = graph.on_host and method == "umap"  # which looks at a graph on the host in another way
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
    """Say what would fit, found by trying."""
    for advice, settings in _alternatives(work):
        other = replace(work, settings=settings)
        try:
            if not _excess(other, draft(other)):
                return advice
        except SettingsError:
            continue
    return "use a larger GPU, a machine with more memory, or a sample of the rows"


def _alternatives(work: Work) -> Iterator[tuple[str, Settings]]:
    """Give milder settings, the mildest change first."""
    asked = work.settings
    if len(asked.methods) > 1:
        for method in asked.methods:
            yield f"{method} alone would fit", asked.only(method)
    smaller = [asked]
    if asked.pca_dim is None and work.columns > 50:
        smaller.append(replace(asked, pca_dim=50))
        yield "use --pca_dim 50", smaller[1]
    for base, also in zip(smaller, ("", " and --pca_dim 50"), strict=False):
        if base.umap:
            for k in range(base.umap.n_neighbors - 1, 4, -1):
                yield f"use --umap_neighbors {k}{also}", replace(base, umap=replace(base.umap, n_neighbors=k))
        if base.tsne:
            for perplexity in range(int(base.tsne.perplexity - 0.5), 4, -1):
                changed = replace(base.tsne, perplexity=float(perplexity))
                yield f"use --tsne_perplexity {perplexity}{also}", replace(base, tsne=changed)
