"""Compare the UMAP layout with variants of its optimiser: measure again what gpuvis/backends/cpu/umap.py says of it.

python tests/benchmarks/layouts.py [--mnist CACHE_DIR] [--seeds 3] [--data NAME …] [--variants NAME …]

Recall@15 and trustworthiness@15 are of 2,000 rows among all, against the matrix whose neighbours were found. The last
column is the largest coordinate. Each figure is the mean over the seeds ± their standard deviation; seconds are those
of the layout alone, the least of a seed.

Each variant is a process of its own, in which constants are set. Momentum is shown at the rate that did best on the
data, by the sum of the three measures. MNIST is reduced to 50 principal components first, and left out where its cache
is not named.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = 50
ANCHORS = 2000
K = 15  # neighbours in a map
HUGE = 1e8  # as Adam's epsilon: no gradient is divided by its own size, which leaves momentum
RATES = 0.1, 0.3  # of momentum
PARTS = "data", "indices", "indptr"  # of a graph, as a file holds them
HEAD = f"| variant | recall@{K} | trustworthiness@{K} | triplets | seconds | largest |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Variant:
    """Constants of the layout that are other than they are, and how many times the epochs it takes."""

    constants: dict[str, float]
    epochs: float = 1
    note: str = ""


def momentum(epochs: float) -> list[Variant]:
    return [Variant({"EPSILON": HUGE, "RATE": rate * HUGE}, epochs, f", rate {rate}") for rate in RATES]


VARIANTS = {  # of several, the best is shown
    "as it is": [Variant({})],
    "linear fall": [Variant({"FALL": 1})],
    "momentum": momentum(1),
    "momentum, 2 × epochs": momentum(2),
    "momentum, 2.5 × epochs": momentum(2.5),
    "start 10 wide": [Variant({"WIDTH": 10})],
    "start 20 wide": [Variant({"WIDTH": 20})],
    "epsilon 1e-8": [Variant({"EPSILON": 1e-8})],
}


def made(labels: np.ndarray) -> np.ndarray:
    """Return rows as data.py makes them, of classes of any sizes."""
    import torch
    from data import fill

    rng, classes = np.random.default_rng(0), labels.max() + 1
    X = torch.empty(len(labels), COLUMNS)
    fill(X, labels, rng.integers(0, max(2, classes // 10), classes), rng)
    return X.numpy()


def matrices(mnist: Path | None) -> dict[str, Callable[[], np.ndarray]]:
    """Return what gives each matrix, by its name."""
    import data
    import measures

    rng = np.random.default_rng(0)
    tail = np.concatenate([np.repeat(np.arange(1500), 2), 1500 + rng.integers(0, 20, 10_000)])
    ways = {
        "digits": measures.digits,
        "CLIP-like": lambda: made(data.labels_of(data.Shape(20_000, COLUMNS), np.random.default_rng(0))),
        "long-tailed": lambda: made(rng.permutation(tail)),
        "islands": lambda: measures.clusters(12_000, COLUMNS),  # parts that only repel each other
    }
    return ways | ({"MNIST": lambda: data.components(mnist, COLUMNS)} if mnist else {})


def prepare(X: np.ndarray, path: Path) -> int:
    """Leave what a layout is given, the same for all variants; return in how many parts the graph is."""
    from scipy.sparse.csgraph import connected_components

    from gpuvis import machine
    from gpuvis.backends import parallel
    from gpuvis.backends.cpu import affinities, neighbors, umap
    from gpuvis.backends.cpu import backend as cpu
    from gpuvis.settings import Umap

    asked = Umap()
    with parallel.threads(machine.cpu_threads()):
        graph = neighbors.search(X, asked.n_neighbors, asked.metric, 1)
        found = affinities.memberships(graph, asked.n_neighbors, umap.least_weight(len(X)))
        start = cpu.start(X, asked)
    parts = {name: getattr(found, name) for name in PARTS}
    np.savez(path, **parts, start=start, min_dist=asked.min_dist)
    return int(connected_components(found)[0])


def work(variant: Variant, given: Path, out: Path, seeds: int) -> None:
    """Be the process of one variant: lay the graph out, and leave the maps and the seconds."""
    from scipy.sparse import csr_matrix

    from gpuvis import machine
    from gpuvis.backends import parallel
    from gpuvis.backends.cpu import umap

    longer = {name: variant.epochs * getattr(umap, name) for name in ("EPOCHS", "EPOCHS_OF_FEW")}
    for name, value in (longer | variant.constants).items():
        setattr(umap, name, type(getattr(umap, name))(value))  # it fails if there is no such constant
    with np.load(given) as left:
        graph = csr_matrix(tuple(left[name] for name in PARTS))
        start, min_dist = left["start"], float(left["min_dist"])
    maps, seconds = [], []
    with parallel.threads(machine.cpu_threads()):
        for seed in range(seeds):
            before = time.perf_counter()
            maps.append(umap.layout(graph, start, min_dist, seed))
            seconds.append(time.perf_counter() - before)
    np.savez(out, maps=maps, seconds=min(seconds))


def drawn(name: str, given: Path, seeds: int) -> list[dict[str, Any]]:
    """Run each alternative of a variant in a process of its own; return their maps and seconds."""
    from timing import environment, metered

    found, out = [], given.with_name("maps.npz")
    for number in range(len(VARIANTS[name])):
        asked = ["--variants", name, "--seeds", str(seeds), "--work", str(number), str(given), str(out)]
        metered([sys.executable, __file__, *asked], environment(given.with_name(f"home, {name}, {number}")))
        with np.load(out) as left:
            found.append(dict(left))
    return found


def table(X: np.ndarray, drawings: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Judge the maps of a data set; return a line for each variant."""
    import measures

    flat = [one for alternatives in drawings.values() for one in alternatives]
    maps = [Y for one in flat for Y in one["maps"]]
    if len({Y.tobytes() for Y in maps}) < len(maps):
        raise SystemExit("two maps are equal: a constant or a seed has no effect")
    anchors = np.sort(np.random.default_rng(0).permutation(len(X))[:ANCHORS])
    ranks, triplets = measures.ranks(X, maps, anchors, K), measures.triplets(X, maps)
    quality = [[measures.recall_of_ranks(of), measures.trust_of_ranks(of, len(X))] for of in ranks]
    judged = iter(np.column_stack([quality, triplets]).reshape(len(flat), -1, 3))
    lines = []
    for name, alternatives in drawings.items():
        ours = [next(judged) for _ in alternatives]
        best = int(np.argmax([of_seeds.mean(0).sum() for of_seeds in ours]))
        found = zip(ours[best].mean(0), ours[best].std(0), strict=True)
        figures = " | ".join(f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in found)
        seconds, largest = alternatives[best]["seconds"], np.abs(alternatives[best]["maps"]).max()
        lines.append(f"| {name}{VARIANTS[name][best].note} | {figures} | {seconds:.1f} | {largest:.1f} |")
    return lines


def main() -> None:
    """Read the command line and print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="a cache folder of MNIST")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", help="some of the data sets")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)  # for the processes that are started here
    asked = parser.parse_args()
    if asked.work:
        number, given, out = asked.work
        work(VARIANTS[asked.variants[0]][int(number)], Path(given), Path(out), asked.seeds)
        return
    sys.path.append(str(Path(__file__).parents[1] / "fakes"))
    ways = matrices(asked.mnist)
    if unknown := set(asked.data or ()) - set(ways):
        parser.error(f"no such data: {', '.join(unknown)}; there are {', '.join(ways)} (MNIST with --mnist)")
    with tempfile.TemporaryDirectory() as place:
        for name in asked.data or ways:
            X, given = ways[name](), Path(place) / "given.npz"
            print(f"{name}: {len(X):,} × {X.shape[1]}, a graph in {prepare(X, given):,} part(s)\n")
            lines = table(X, {one: drawn(one, given, asked.seeds) for one in asked.variants})
            print(HEAD, *lines, "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
