"""Compare programs that draw UMAP and t-SNE maps on the CPU: seconds, peak memory and quality of each.

python tests/benchmarks/others.py CACHE_DIR [--pca_dim 50] [--programs NAME …]

All start from the same principal components, with 30 neighbours (PaCMAP: its own choice) or perplexity 30, euclidean,
on all cores; umap-learn without a seed, since it would keep to one thread otherwise. Each is a process of its own, with
an empty home. Seconds are those of neighbours and layout, without the start of Python: "cold" of the first call, which
imports what it needs, and compiles where a program does; "warm" of a second call, or of the same where that took long
and nothing was compiled. Quality is as in bench.py: against the original columns of the cache.

Programs that are not installed are left out (none of them but umap-learn and scikit-learn is needed by gpuvis):
pip install openTSNE pacmap scranpy umapers manifolds-rs fastumap
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gpuvis import machine

LONG = 60  # seconds after which a call is not made again only to leave out imports


def gpuvis_umap(X: np.ndarray) -> np.ndarray:
    from gpuvis import Settings, reduce

    return reduce(X, Settings(), "cpu")["umap"].coords


def umap_learn(X: np.ndarray) -> np.ndarray:
    from umap import UMAP

    return UMAP(n_neighbors=30, min_dist=0.1).fit_transform(X)


def scranpy_umap(X: np.ndarray) -> np.ndarray:
    from scranpy import run_umap

    told = {"num_threads": machine.cpu_threads(), "parallel_optimization": True}
    return run_umap(np.asfortranarray(X.T, np.float64), num_neighbors=30, min_dist=0.1, **told)


def umapers(X: np.ndarray) -> np.ndarray:
    from umapers import Umap

    return Umap(n_neighbors=30, min_dist=0.1, random_seed=1).fit_transform(X)


def manifolds_umap(X: np.ndarray, **told: str) -> np.ndarray:
    from manifolds_rs.embeddings import UMAP

    return UMAP(n_neighbors=30, min_dist=0.1, seed=1, **told).fit_transform(X)


def manifolds_sgd(X: np.ndarray) -> np.ndarray:
    return manifolds_umap(X, optimiser="sgd")


def fastumap(X: np.ndarray) -> np.ndarray:
    from fastumap import umap_project

    return umap_project(X, n_neighbors=30, min_dist=0.1, random_state=1)


def pacmap(X: np.ndarray) -> np.ndarray:
    from pacmap import PaCMAP

    return PaCMAP(random_state=1).fit_transform(X)


def gpuvis_tsne(X: np.ndarray) -> np.ndarray:
    from gpuvis import Settings, Tsne, reduce

    return reduce(X, Settings(umap=None, tsne=Tsne(metric="euclidean")), "cpu")["tsne"].coords


def scikit_learn(X: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    return TSNE(perplexity=30, random_state=1).fit_transform(X)


def open_tsne(X: np.ndarray) -> np.ndarray:
    from openTSNE import TSNE

    return np.asarray(TSNE(perplexity=30, n_jobs=machine.cpu_threads(), random_state=1).fit(X))


def scranpy_tsne(X: np.ndarray) -> np.ndarray:
    from scranpy import run_tsne

    return run_tsne(np.asfortranarray(X.T, np.float64), perplexity=30, num_threads=machine.cpu_threads())


def manifolds_tsne(X: np.ndarray) -> np.ndarray:
    from manifolds_rs.embeddings import TSNE

    return TSNE(perplexity=30.0, approx="fft", seed=1).fit_transform(X)


@dataclass(frozen=True)
class Program:
    """A way to draw a map: the module it needs, and whether it compiles as it is first called."""

    draw: Callable[[np.ndarray], np.ndarray]
    module: str
    compiles: bool = False


PROGRAMS = {
    "gpuvis, UMAP": Program(gpuvis_umap, "gpuvis"),
    "umap-learn, no seed": Program(umap_learn, "umap", compiles=True),
    "scranpy, UMAP": Program(scranpy_umap, "scranpy"),
    "umapers": Program(umapers, "umapers"),
    "manifolds-rs, UMAP (Adam)": Program(manifolds_umap, "manifolds_rs"),
    "manifolds-rs, UMAP (SGD)": Program(manifolds_sgd, "manifolds_rs"),
    "fastumap": Program(fastumap, "fastumap"),
    "PaCMAP, another method": Program(pacmap, "pacmap", compiles=True),
    "gpuvis, t-SNE": Program(gpuvis_tsne, "gpuvis"),
    "openTSNE": Program(open_tsne, "openTSNE"),
    "scranpy, t-SNE": Program(scranpy_tsne, "scranpy"),
    "manifolds-rs, t-SNE (FFT)": Program(manifolds_tsne, "manifolds_rs"),
    "scikit-learn, t-SNE": Program(scikit_learn, "sklearn"),
}


def work(name: str, matrix: Path, out: Path) -> None:
    """Be the process of one program: draw, and leave the map and its seconds."""
    X, seconds = np.load(matrix), []
    while not seconds or (len(seconds) < 2 and (PROGRAMS[name].compiles or seconds[0] < LONG)):
        start = time.perf_counter()
        coords = np.ascontiguousarray(PROGRAMS[name].draw(X), np.float32)
        seconds.append(time.perf_counter() - start)
    np.save(out, coords)
    np.save(out.with_suffix(".seconds.npy"), [seconds[0], seconds[-1]])


def row(name: str, matrix: Path, cache: Path, out: Path) -> str:
    """Run a program; return its row of the table, or why there is none."""
    from timing import FailedError, environment, judged, metered

    if find_spec(PROGRAMS[name].module) is None:
        return f"| {name} | not installed | | | | | |"
    command = [sys.executable, __file__, str(cache), "--programs", name, "--work", str(matrix), str(out)]
    try:
        peak = metered(command, environment(out.with_suffix(".home")))["peak"]
        found = judged({cache: [out]})[out]
    except FailedError as error:
        return f"| {name} | {error} | | | | | |"
    cold, warm = np.load(out.with_suffix(".seconds.npy"))
    quality = " | ".join(f"{found[measure]:.4f}" for measure in ("recall", "trust", "triplets"))
    return f"| {name} | {cold:.1f} | {warm:.1f} | {peak / 1e9:.2f} | {quality} |"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--pca_dim", type=int, default=50)
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    parser.add_argument("--work", type=Path, nargs=2, help=argparse.SUPPRESS)  # for the processes that are started here
    asked = parser.parse_args()
    if asked.work:
        work(asked.programs[0], *asked.work)
        return
    from data import components

    with tempfile.TemporaryDirectory() as place:
        matrix = Path(place) / "matrix.npy"
        np.save(matrix, components(asked.cache, asked.pca_dim))
        heads = ("program", "cold, s", "warm, s", "peak, GB", "recall@15", "trustworthiness@15", "triplets")
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for number, name in enumerate(asked.programs):
            print(row(name, matrix, asked.cache.resolve(), Path(place) / f"{number}.npy"), flush=True)


if __name__ == "__main__":
    main()
