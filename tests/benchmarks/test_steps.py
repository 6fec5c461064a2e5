"""Guard the hot loops: each step is timed against a matrix product on one core of the same machine, in the same run.

make bench-steps                                          a step that takes longer than its limit fails
make bench-steps ARGS="--benchmark-autosave"              keep these times, and later:
make bench-steps ARGS="--benchmark-compare --benchmark-compare-fail=median:20%"

A new step is one more function below, and one line in `STEPS`: how it is made ready, and how many such products it may
take. Limits leave room for a machine that is busy: they catch a loop that has become several times slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data import Shape, made
from threadpoolctl import threadpool_limits

from gpuvis import arrays
from gpuvis.backends import pca
from gpuvis.backends.cpu import affinities, tsne, umap
from gpuvis.backends.cpu import backend as cpu
from gpuvis.backends.cpu import neighbors as cpu_neighbors
from gpuvis.io import cache, pt
from gpuvis.page import html
from gpuvis.page.heading import Heading
from gpuvis.page.options import Page
from gpuvis.settings import Settings

ROWS, COLUMNS = 20_000, 512
Step = Callable[[], object]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("data"), Shape(ROWS, COLUMNS))


@pytest.fixture(scope="session")
def product() -> float:
    """Seconds of 10^9 multiply-adds on one core, the quickest of some."""
    A = np.ones((1000, 1000), np.float32)
    taken = []
    with threadpool_limits(1):
        for _ in range(9):
            start = time.perf_counter()
            A @ A
            taken.append(time.perf_counter() - start)
    return min(taken)


def principal_components(folder: Path) -> Step:
    X = cache.read(folder).embeddings.numpy()
    return lambda: pca.fit((block for _, block in arrays.blocks(X)), 50, np)


def scores(folder: Path) -> Step:
    X = cache.read(folder).embeddings.numpy()
    model, found = pca.fit([X], 50, np), np.empty((ROWS, 50), np.float32)
    return lambda: model.fill(found, (block for _, block in arrays.blocks(X)))


def compiled_components(folder: Path) -> Step:
    X = pt.read(folder / "embeddings.pt")
    plan = cpu.plan(*X.shape, X.itemsize, Settings())
    return lambda: cpu.pca(X, 50, 1, 1.0, plan)


def _few_columns(folder: Path) -> np.ndarray:
    X = pt.read(folder / "embeddings.pt")
    return cpu.pca(X, 50, 1, 1.0, cpu.plan(*X.shape, X.itemsize, Settings()))[0]


def neighbors(folder: Path) -> Step:
    X = _few_columns(folder)
    return lambda: cpu_neighbors.search(X, 30, "euclidean", 1)


def memberships(folder: Path) -> Step:
    graph = cpu_neighbors.search(_few_columns(folder), 30, "euclidean", 1)
    return lambda: affinities.memberships(graph, 30, 0.005)


def probabilities(folder: Path) -> Step:
    graph = cpu_neighbors.search(_few_columns(folder), 92, "euclidean", 1)
    return lambda: affinities.probabilities(graph, 92, 30)


def layout_of_umap(folder: Path) -> Step:
    X = _few_columns(folder)
    found = affinities.memberships(cpu_neighbors.search(X, 30, "euclidean", 1), 30, 0.005)
    return lambda: umap.layout(found, X[:, :2], 0.1, 1)


def layout_of_tsne(folder: Path) -> Step:
    X = _few_columns(folder)
    found = affinities.probabilities(cpu_neighbors.search(X, 92, "euclidean", 1), 92, 30)
    return lambda: tsne.layout(found, cpu.scale_start(X[:, :2]))


def verification(folder: Path) -> Step:
    return cache.read(folder).verify


def finiteness(folder: Path) -> Step:
    X = cache.read(folder).embeddings.numpy()
    return lambda: arrays.check_values(X)


def page(folder: Path) -> Step:
    table = cache.read(folder).table
    coords = np.random.default_rng(0).standard_normal((ROWS, 2)).astype(np.float32)
    return lambda: html.draw(coords, table, Page(), Heading())


STEPS: list[tuple[Callable[[Path], Step], float]] = [
    (principal_components, 16),
    (scores, 4),
    (verification, 6),
    (finiteness, 2),
    (page, 120),
    (compiled_components, 16),
    (neighbors, 60),
    (memberships, 20),
    (probabilities, 60),
    (layout_of_umap, 150),
    (layout_of_tsne, 1100),
]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("step", "limit"), STEPS, ids=lambda value: getattr(value, "__name__", ""))
def test_step(benchmark, folder: Path, product: float, step: Callable[[Path], Step], limit: float) -> None:
    benchmark.pedantic(step(folder), rounds=5, warmup_rounds=1)
    products = benchmark.stats.stats.min / product  # what else runs can only make it slower
    benchmark.extra_info.update(products=round(products, 1), limit=limit)
    assert products < limit, f"took {products:.0f} matrix products, {limit:g} at most"
