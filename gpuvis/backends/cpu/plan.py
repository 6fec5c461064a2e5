"""Plan a reduction on the CPU: library, neighbour search and threads of each step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gpuvis import machine
from gpuvis.backends.neighbor_graph import neighbors_of
from gpuvis.settings import Method, Settings

SAME = "identical coordinates on the same machine with the same library versions, on any number of threads"
SAME_THREADS = "identical coordinates on the same machine with the same library versions and number of threads"
OURS: dict[Method, str] = {"umap": "gathered gradients, Adam", "tsne": "gathered gradients, FFT or all pairs"}
SEARCHED = {"euclidean", "cosine", "correlation"}  # metrics of our own search; for others libraries do it


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
    layouts: dict[Method, str]
    graphs: dict[Method, Search]
    repeatable: dict[Method, str]

    advice = "use a smaller pca_dim, or a machine with more memory"

    def describe(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return asdict(self)


def plan(rows: int, settings: Settings) -> CpuPlan:
    """Plan a reduction with fitted settings."""
    layouts: dict[Method, str] = {}
    graphs: dict[Method, Search] = {}
    repeatable: dict[Method, str] = {}
    for method in settings.methods:
        asked = getattr(settings, method)
        layouts[method] = asked.library or OURS[method]
        repeatable[method] = SAME if asked.metric in SEARCHED and not asked.library else SAME_THREADS
        if method == "umap" or not asked.library:
            graphs[method] = Search(asked.metric, neighbors_of(asked, rows), settings.random_state)
    return CpuPlan(settings.threads or machine.cpu_threads(), layouts, graphs, repeatable)
