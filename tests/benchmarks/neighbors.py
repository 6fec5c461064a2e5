"""Compare programs that find neighbours: recall, seconds and peak memory of each, in a process of its own.

python tests/benchmarks/neighbors.py [MATRIX.npy | CACHE_DIR] [--rows 5000 70000] [--k 30] [--engines NAME …]

A cache is reduced to 50 principal components first; without one, data is made up. Recall is over 1,000 rows whose
neighbours are found exactly (the row itself is one). "Fresh" is a whole process with nothing compiled yet: import,
compilation, reading, search. "Search" is that alone, and the second in its process where the first one compiles.

Engines that are not installed are left out: pip install faiss-cpu hnswlib usearch (none of them is needed by gpuvis).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import inf
from pathlib import Path

import numpy as np

SAMPLE = 1000
PCA_DIM = 50


def scikit_learn(X: np.ndarray, k: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X).kneighbors(X, return_distance=False)


def faiss_flat(X: np.ndarray, k: int) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatL2(X.shape[1])
    index.add(X)
    return index.search(X, k)[1]


def faiss_ivf(X: np.ndarray, k: int) -> np.ndarray:
    import faiss

    lists = max(16, int(len(X) ** 0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(X.shape[1]), X.shape[1], lists)
    index.cp.max_points_per_centroid = 64
    index.train(X)
    index.add(X)
    index.nprobe = max(12, lists // 10)
    return index.search(X, k)[1]


def faiss_hnsw(X: np.ndarray, k: int) -> np.ndarray:
    import faiss

    index = faiss.IndexHNSWFlat(X.shape[1], 16)
    index.hnsw.efConstruction = 80
    index.add(X)
    index.hnsw.efSearch = 80
    return index.search(X, k)[1]


def hnswlib(X: np.ndarray, k: int) -> np.ndarray:
    import hnswlib

    index = hnswlib.Index("l2", X.shape[1])
    index.init_index(len(X), M=16, ef_construction=80)
    index.add_items(X)
    index.set_ef(80)
    return index.knn_query(X, k)[0]


def usearch(X: np.ndarray, k: int) -> np.ndarray:
    from usearch.index import Index

    index = Index(ndim=X.shape[1], metric="l2sq", dtype="f32", connectivity=16, expansion_add=80, expansion_search=80)
    index.add(np.arange(len(X)), X)
    return index.search(X, k).keys


def pynndescent(X: np.ndarray, k: int) -> np.ndarray:
    from pynndescent import NNDescent

    return NNDescent(X, n_neighbors=k, random_state=1).neighbor_graph[0]


def ours(X: np.ndarray, k: int) -> np.ndarray:
    threads = import_module("gpuvis.machine").cpu_threads()
    with import_module("gpuvis.backends.parallel").threads(threads):  # as in a run: else BLAS has threads of its own
        return import_module(OURS).search(X, k, "euclidean", 1).indices


OURS = "gpuvis.backends.cpu.neighbors"


@dataclass(frozen=True)
class Engine:
    """A way to find neighbours: the module it needs, how to get that, how many rows it is fit for, if it compiles."""

    search: Callable[[np.ndarray, int], np.ndarray]
    module: str
    package: str = ""
    most_rows: float = inf
    compiles: bool = False


ENGINES = {
    "scikit-learn, brute force": Engine(scikit_learn, "sklearn", "scikit-learn", 100_000),
    "faiss, flat": Engine(faiss_flat, "faiss", "faiss-cpu", 100_000),
    "faiss, IVF": Engine(faiss_ivf, "faiss", "faiss-cpu"),
    "faiss, HNSW": Engine(faiss_hnsw, "faiss", "faiss-cpu"),
    "hnswlib": Engine(hnswlib, "hnswlib", "hnswlib"),
    "usearch": Engine(usearch, "usearch", "usearch"),
    "pynndescent": Engine(pynndescent, "pynndescent", "pynndescent", compiles=True),
    "gpuvis": Engine(ours, OURS),
}


def work(name: str, matrix: Path, k: int, again: bool) -> None:
    """Be the process of one engine: search, and leave what was found beside the matrix."""
    X = np.load(matrix)
    for _ in range(1 + again):
        start = time.perf_counter()
        found = np.asarray(ENGINES[name].search(X, k))
        seconds = time.perf_counter() - start
    np.savez(matrix.with_suffix(".npz"), found=found[sampled(len(X))], seconds=seconds)


def sampled(rows: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(rows)[:SAMPLE])


def exact(X: np.ndarray, k: int) -> np.ndarray:
    """Return the neighbours of the sampled rows, in bounded memory."""
    from measures import squared_distances

    parts = np.array_split(sampled(len(X)), max(1, len(X) // 20_000))
    return np.concatenate([np.argpartition(squared_distances(X, some), k, axis=1)[:, :k] for some in parts])


def measured(name: str, matrix: Path, true: np.ndarray) -> str:
    """Run an engine; return its row of the table, or why there is none."""
    from measures import recall
    from timing import FailedError, environment, metered

    engine, rows = ENGINES[name], len(np.load(matrix, mmap_mode="r"))
    if find_spec(engine.module.partition(".")[0]) is None or find_spec(engine.module) is None:
        return f"| {name} | left out: {f'pip install {engine.package}' if engine.package else 'not there yet'} | | | |"
    if rows > engine.most_rows:
        return f"| {name} | left out: takes long with so many rows | | | |"
    command = [sys.executable, __file__, str(matrix), "--k", str(true.shape[1]), "--engines", name, "--work"]
    with tempfile.TemporaryDirectory() as home:
        given = environment(Path(home))
        try:
            runs = [metered([*command, *more], given) for more in ([], ["--again"])[: 1 + engine.compiles]]
        except FailedError as error:
            return f"| {name} | {error} | | | |"
    with np.load(matrix.with_suffix(".npz")) as left:
        share, seconds = recall(left["found"], true), float(left["seconds"])
    return f"| {name} | {share:.4f} | {runs[0]['seconds']:.1f} | {seconds:.1f} | {runs[0]['peak'] / 1e9:.2f} |"


def matrix_of(path: Path | None) -> np.ndarray:
    """Return the matrix of a file, or the principal components of a cache."""
    if path and path.suffix == ".npy":
        return np.load(path).astype(np.float32, order="C")
    from data import Shape, components, made

    return components(path or made(Path(tempfile.gettempdir()) / "gpuvis-bench", Shape(70_000, 512)), PCA_DIM)


def main() -> None:
    """Read the command line and print a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("matrix", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, nargs="+", default=[], help="so many of the rows, chosen at random")
    parser.add_argument("--k", type=int, default=30)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    for flag in ("--work", "--again"):  # for the processes that are started here
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.engines[0], asked.matrix, asked.k, asked.again)
        return
    sys.path.append(str(Path(__file__).parents[1] / "fakes"))
    whole = matrix_of(asked.matrix)
    for rows in asked.rows or [len(whole)]:
        X = whole[np.sort(np.random.default_rng(0).permutation(len(whole))[:rows])]
        print(f"{len(X):,} × {X.shape[1]}, k = {asked.k}\n")
        print(f"| engine | recall@{asked.k} | fresh, s | search, s | peak, GB |\n|---|---|---|---|---|")
        with tempfile.TemporaryDirectory() as place:
            np.save(Path(place) / "matrix.npy", X)
            true = exact(X, asked.k)
            for name in asked.engines:
                print(measured(name, Path(place) / "matrix.npy", true), flush=True)
        print()


if __name__ == "__main__":
    main()
