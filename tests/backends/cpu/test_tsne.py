"""The layout of t-SNE against plain definitions, and against scikit-learn's."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse
from measures import clusters, digits, divergence, recall, true_neighbors, trust
from process import FAKES
from sklearn.manifold import TSNE
from tsne_graphs import joint, joint_of_none, pca_start, random_start

from gpuvis.backends.cpu import tsne
from gpuvis.backends.cpu.affinities import csr_arrays
from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.cpu.tsne import layout

pytestmark = pytest.mark.usefixtures("two_threads")


def repulsion(Y: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sums of K² d, and Z, by their definition."""
    Y = Y.astype(np.float64)
    F, Z = np.empty_like(Y), 0.0
    for i, y in enumerate(Y):
        d = y - Y
        K = 1 / (1 + np.square(d).sum(1))
        F[i], Z = np.square(K) @ d, Z + K.sum() - 1
    return F, Z


def on_grid(Y: np.ndarray) -> tuple[np.ndarray, float]:
    force = np.empty_like(Y)
    corners = np.stack([Y.min(0), Y.max(0)])
    grid = tsne.Grid(float(np.ptp(corners, axis=0).max()), len(Y))
    return force, grid.repulsion(Y, corners.astype(np.float64).mean(0), force)


def error(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def scattered(rows: int, seed: int = 0) -> np.ndarray:
    """Points as of a map: groups, and some far from all."""
    rng = np.random.default_rng(seed)
    Y = 15 * rng.standard_normal((30, 2))[rng.integers(0, 30, rows)] + rng.standard_normal((rows, 2))
    Y[:5] *= 3
    return Y.astype(np.float32)


def test_repulsion_by_pairs_is_that_of_the_definition() -> None:
    Y = scattered(701)
    force = np.empty_like(Y)
    Z = tsne.exact_repulsion(Y, force)
    true, true_Z = repulsion(Y)
    assert error(force, true) < 1e-5
    assert pytest.approx(true_Z, rel=1e-5) == Z


@pytest.mark.parametrize(("scale", "most"), [(1, 0.01), (3, 0.02), (0.1, 0.01)])
def test_repulsion_on_the_grid_is_nearly_that_of_the_definition(scale, most) -> None:
    Y = scattered(3001) * np.float32(scale)
    force, Z = on_grid(Y)
    true, true_Z = repulsion(Y)
    assert error(force, true) < most
    assert pytest.approx(true_Z, rel=1e-3) == Z


def test_a_map_too_wide_for_the_grid_gets_a_coarser_one(monkeypatch) -> None:
    monkeypatch.setattr(tsne, "MOST", 128)
    Y = scattered(3001) * np.float32(3)
    force, Z = on_grid(Y)
    true, true_Z = repulsion(Y)
    assert error(force, true) < 0.9
    assert pytest.approx(true_Z, rel=0.2) == Z


def test_a_step_goes_down_the_gradient_of_the_divergence() -> None:
    """4 Σ (p - q) K d: van der Maaten, Hinton 2008, equation 5."""
    X = clusters(403, 8)
    W, Y = joint(X, 10), scattered(403)
    P = W.toarray().astype(np.float64)
    d = Y[:, None].astype(np.float64) - Y
    K = 1 / (1 + np.square(d).sum(2))
    np.fill_diagonal(K, 0)
    true = 4 * np.einsum("ij,ijk->ik", (P - K / K.sum()) * K, d)

    force, new, update, gain = np.empty_like(Y), np.empty_like(Y), np.zeros_like(Y), np.ones_like(Y)
    Z = tsne.exact_repulsion(Y, force)

    def step(direction: float) -> None:
        pulls, pace = (4 * direction, -4 * direction / Z), (100, 0.5)
        loops.tsne_step(csr_arrays(W), Y, force, pulls, pace, update, gain, new, (0, len(Y)))

    step(1)
    assert error(update, -80 * true) < 1e-5  # the first gain is 0.8
    assert (gain == np.float32(0.8)).all()
    assert np.allclose(new, Y + update)
    step(1)  # on the same side
    assert np.allclose(gain, 1)
    step(-1)  # and on the other
    assert np.allclose(gain, 0.8)


class Judged(NamedTuple):
    """How good a map is."""

    divergence: float
    recall: float
    trust: float

    @classmethod
    def of(cls, X: np.ndarray, near: np.ndarray, Y: np.ndarray) -> Judged:
        return cls(divergence(X, Y, 30), recall(true_neighbors(Y, 16), near), trust(X, Y))


@pytest.fixture(scope="module")
def of_digits() -> tuple[np.ndarray, scipy.sparse.csr_matrix, np.ndarray, Judged]:
    """Some digits, their graph and neighbours, and how good scikit-learn's map of them is."""
    X = digits(1000)
    near = true_neighbors(X, 16)
    theirs = TSNE(init="pca", learning_rate="auto", random_state=0, method="barnes_hut").fit_transform(X)
    return X, joint(X), near, Judged.of(X, near, theirs)


@pytest.mark.parametrize("all_pairs", [3000, 0], ids=["exact", "grid"])
def test_maps_are_as_good_as_those_of_scikit_learn(of_digits, monkeypatch, all_pairs) -> None:
    monkeypatch.setattr(tsne, "ALL_PAIRS", all_pairs)
    X, graph, near, theirs = of_digits
    Y, did = layout(graph, pca_start(X))
    ours = Judged.of(X, near, Y)
    assert did["repulsion"] == ("exact" if all_pairs else "grid")
    assert pytest.approx(ours.divergence, abs=0.01) == did["kl"]
    assert ours.divergence < 1.01 * theirs.divergence
    assert ours.recall > theirs.recall - 0.01
    assert ours.trust > theirs.trust - 0.01


MANY_THREADS = """
import hashlib
from gpuvis.backends import parallel
from gpuvis.backends.cpu import tsne
from gpuvis.backends.parallel import threads
from measures import clusters
from tsne_graphs import joint, random_start

parallel.LEAST = 64  # so that there are more pieces than threads
X = clusters(1200, 8)
with threads(2):
    graph = joint(X, 10)
for tsne.ALL_PAIRS in (3000, 0):
    for count in (1, 2, 16):
        with threads(count):
            Y, did = tsne.layout(graph, random_start(len(X)))
        print(did["repulsion"], hashlib.sha256(Y.tobytes()).hexdigest())
"""


def test_the_bits_are_the_same_on_any_number_of_threads() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([FAKES, *sys.path])}
    ran = subprocess.run(
        [sys.executable, "-c", MANY_THREADS], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told = [line.split() for line in ran.stdout.splitlines()]
    assert [repulsion for repulsion, _ in told] == ["exact"] * 3 + ["grid"] * 3
    assert len({tuple(line) for line in told}) == 2


def test_the_order_of_vertices_in_memory_is_not_that_of_the_map(monkeypatch) -> None:
    monkeypatch.setattr(tsne, "ALL_PAIRS", 0)
    X = clusters(1200, 8)
    Y, _ = layout(joint(X, 10), random_start(1200))
    assert recall(true_neighbors(Y, 11), true_neighbors(X, 11)) > 0.3


@pytest.mark.parametrize("all_pairs", [3000, 0], ids=["exact", "grid"])
class TestOddGraphs:
    @pytest.fixture(autouse=True)
    def chosen(self, monkeypatch, all_pairs) -> None:
        monkeypatch.setattr(tsne, "ALL_PAIRS", all_pairs)

    def test_equal_rows(self) -> None:
        X = np.repeat(clusters(20, 8), 20, 0)
        Y, did = layout(joint(X, 10), pca_start(X))
        assert np.isfinite(Y).all()
        assert np.isfinite(did["kl"])
        assert np.abs(Y).max() < 1000
        groups = Y.reshape(20, 20, 2)
        assert groups.std(1).max() < groups.mean(1).std(0).min() / 3

    def test_parts_without_an_edge_between_them(self) -> None:
        W, parts = joint(clusters(100, 8), 5), 4
        graph = scipy.sparse.block_diag([W / parts] * parts, "csr", np.float32)
        Y, _ = layout(graph, random_start(400))
        assert np.isfinite(Y).all()
        assert np.abs(Y).max() < 1000

    def test_a_crowd_at_one_place(self) -> None:
        X = clusters(400, 8)
        X[100:] = X[100]
        start = random_start(400)
        start[100:] = start[100]
        Y, _ = layout(joint(X, 10), start)
        assert np.isfinite(Y).all()
        assert np.abs(Y).max() < 1000


@pytest.mark.parametrize("rows", [2, 5])
def test_a_few_rows(rows) -> None:
    X = np.random.default_rng(0).standard_normal((rows, 3)).astype(np.float32)
    Y, _ = layout(joint(X, (rows - 1) / 3), random_start(rows))
    assert np.isfinite(Y).all()
    assert 0 < np.abs(Y).max() < 1e4


def test_no_edges_at_all() -> None:
    Y, _ = layout(joint_of_none(50), random_start(50))
    assert np.isfinite(Y).all()
    assert np.abs(Y).max() < 1e5


def test_one_row_stays_where_it_is() -> None:
    Y, did = layout(joint_of_none(1), random_start(1))
    assert np.array_equal(Y, random_start(1))
    assert did["iterations"] == 0


def test_the_start_is_not_written_to() -> None:
    start = random_start(60)
    layout(joint(clusters(60, 4), 5), start)
    assert np.array_equal(start, random_start(60))
