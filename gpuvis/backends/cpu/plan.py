"""Plan a reduction on the CPU: threads, and for each map its library and neighbour search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gpuvis import machine
from gpuvis.settings import METHODS, METRICS, MethodName, Settings

SAME = "identical coordinates on the same machine with the same library versions, on any number of threads"
SAME_THREADS = "identical coordinates on the same machine with the same library versions and number of threads"
LAYOUTS: dict[MethodName, str] = {
    "umap": "gathered gradients, Adam",
    "tsne": "gathered gradients, FFT or all pairs",
}


@dataclass(frozen=True)
class Search:
    """The parameters of a neighbour search. Two maps with the same search share their graph.

    Attributes
    ----------
    metric : str
    k : int
        Columns of the graph, including the row itself.
    seed : int
    """

    metric: str
    k: int
    seed: int


@dataclass(frozen=True)
class CpuPlan:
    """The plan of a reduction on the CPU.

    Attributes
    ----------
    threads : int
    layouts : dict of str to str
        The library or algorithm that lays out each map.
    graphs : dict of str to Search
        The neighbour search of each map, except maps whose library searches by itself.
    repeatable : dict of str to str
        Whether each map can be repeated, as a sentence.
    """

    threads: int
    layouts: dict[MethodName, str]
    graphs: dict[MethodName, Search]
    repeatable: dict[MethodName, str]

    advice = "use a smaller pca_dim, or a machine with more memory"

    def describe(self) -> dict[str, Any]:
        """Return the whole plan, ready for JSON."""
        return asdict(self)


def plan(rows: int, settings: Settings) -> CpuPlan:
    """Plan a reduction with fitted settings."""
    layouts: dict[MethodName, str] = {}
    graphs: dict[MethodName, Search] = {}
    repeatable: dict[MethodName, str] = {}
    for method, method_settings in settings.maps.items():
        layouts[method] = method_settings.library or LAYOUTS.get(method, METHODS[method].title)
        own_loops = METRICS[method_settings.metric].by_products and not method_settings.library
        repeatable[method] = SAME if own_loops else SAME_THREADS
        if k := method_settings.n_graph_neighbors(rows):
            graphs[method] = Search(method_settings.metric, k, settings.random_state)
    return CpuPlan(settings.threads or machine.cpu_threads(), layouts, graphs, repeatable)
