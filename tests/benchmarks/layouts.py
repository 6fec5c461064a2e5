"""Compare the UMAP layout with variants of its optimiser: what `gpuvis/backends/umap_layout.py` says of it was found so.

python tests/benchmarks/layouts.py [--mnist CACHE_DIR] [--seeds 3] [--data NAME …] [--variants NAME …]

For each data set there is a table: recall@15 and trustworthiness@15 of 2,000 rows among all, random triplets, seconds of
the layout alone, and how far from the middle the farthest point lies. They are means over the seeds, ± their standard
deviation; the seconds are the least. Quality is against the matrix whose neighbours were found, euclidean.

A variant is a process of its own, since numba takes constants as they are when it compiles, and keeps what it compiled.
Of momentum the rate is shown that did best on the data set, by the sum of the three measures. MNIST is reduced to 50
principal components, and left out where its cache is not named.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HUGE = 1e8  # an epsilon of Adam beside which every gradient is small: what is left of it is momentum
RATES = 0.03, 0.1, 0.3
K, ANCHORS = 15, 2000
COLUMNS = 50


@dataclass(frozen=True)
class Variant:
    """Constants of the layout that are set before it is compiled, and how many times the epochs it takes."""

    constants: dict[str, float]
    epochs: float = 1

    @property
    def told(self) -> str:
        named = self.constants.items() if "EPSILON" not in self.constants else ()
        return ", ".join(f"{name} {value:g}" for name, value in named)


def momentum(rate: float, epochs: float) -> Variant:
    return Variant({"EPSILON": HUGE, "RATE": rate * HUGE}, epochs)


AS_IT_IS = "as it is"
VARIANTS = {
    AS_IT_IS: [Variant({})],
    "linear fall": [Variant({"FALL": 1})],
    "momentum": [momentum(rate, 1) for rate in RATES],
    "momentum, 2 × epochs": [momentum(rate, 2) for rate in RATES],
    "momentum, 2.5 × epochs": [momentum(rate, 2.5) for rate in RATES],
    "start 10 wide": [Variant({"WIDTH": 10})],
    "start 20 wide": [Variant({"WIDTH": 20})],
    "epsilon tiny": [Variant({"EPSILON": 1e-8})],
}


def work(variant: Variant, graphs: list[Path], seeds: int, out: Path) -> None:
    """Be the process of one variant: lay every graph out, and leave the maps and their seconds."""
    from gpuvis import machine
    from gpuvis.backends import compiled, umap_layout
    from gpuvis.backends.weights import Weights

    longer = {name: getattr(umap_layout, name) * variant.epochs for name in ("EPOCHS", "EPOCHS_OF_FEW")}
    for name, value in (longer | variant.constants).items():
        setattr(umap_layout, name, type(getattr(umap_layout, name))(value))
    out.mkdir()
    for graph in graphs:
        with np.load(graph) as kept:
            parts, start = Weights(kept["indptr"], kept["indices"], kept["values"]), kept["start"]
        maps, seconds = [], []
        for seed in [0, *range(seeds)]:  # one more, since the first one compiles
            before = time.perf_counter()
            with compiled.threads(machine.cpu_threads()):
                maps.append(umap_layout.layout(parts, start, 0.1, seed))
            seconds.append(time.perf_counter() - before)
        np.savez(out / graph.name, maps=maps[1:], seconds=min(seconds[1:]))
