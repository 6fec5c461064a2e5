"""Plan a reduction on the CPU: library, neighbour search and threads of each step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gpuvis import machine
from gpuvis.settings import METHODS, METRICS, MethodName, Settings

SAME = "identical coordinates on the same machine with the same library versions, on any number of threads"
SAME_THREADS = "identical coordinates on the same machine with the same library versions and number of threads"
OURS: dict[MethodName, str] = {"umap": "gathered gradients, Adam", "tsne": "gathered gradients, FFT or all pairs"}


@dataclass(frozen=True)
class Search:
    """Which neighbours are looked for. Two maps with the same search share their graph.

    Attributes
    ----------
    metric : str
    k : int
        Columns, the point itself counted.
    seed : int
    """

    metric: str
    k: int
    seed: int


@dataclass(frozen=True)
class CpuPlan:
    """How a reduction will be done on the CPU.

    Attributes
    ----------
    threads : int
    layouts : dict of str to str
        Who does the layout of each map.
    graphs : dict of str to Search
        For each map but those that find their neighbours themselves.
    repeatable : dict of str to str
        What is promised for each map.
    """

    threads: int
    layouts: dict[MethodName, str]
    graphs: dict[MethodName, Search]
    repeatable: dict[MethodName, str]

    advice = "use a smaller pca_dim, or a machine with more memory"

    def describe(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return asdict(self)


def plan(rows: int, settings: Settings) -> CpuPlan:
    """Plan a reduction with fitted settings."""
    layouts: dict[MethodName, str] = {}
    graphs: dict[MethodName, Search] = {}
    repeatable: dict[MethodName, str] = {}
    for method, asked in settings.maps.items():
        layouts[method] = asked.library or OURS.get(method, METHODS[method].title)
        own = METRICS[asked.metric].by_products and not asked.library
        repeatable[method] = SAME if own else SAME_THREADS
        if k := asked.n_graph_neighbors(rows):
            graphs[method] = Search(asked.metric, k, settings.random_state)
    return CpuPlan(settings.threads or machine.cpu_threads(), layouts, graphs, repeatable)
