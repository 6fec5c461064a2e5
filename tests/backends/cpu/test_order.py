"""The order of points in memory, beside scipy's permutations, and that no map shows it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from measures import clusters, recall, true_neighbors

import gpuvis
from gpuvis import Settings, Umap
from gpuvis.backends.cpu import order, umap

pytestmark = pytest.mark.usefixtures("two_threads")


def test_what_is_near_in_the_plane_is_near_in_memory() -> None:
    points = np.random.default_rng(0).standard_normal((4096, 2)).astype(np.float32)
    found = order.morton_order(points)
    np.testing.assert_array_equal(np.sort(found), np.arange(4096))
    steps = np.linalg.norm(np.diff(points[found], axis=0), axis=1)
    assert steps.mean() < 0.1 * np.linalg.norm(np.diff(points, axis=0), axis=1).mean()


def test_points_in_one_place_keep_their_order() -> None:
    np.testing.assert_array_equal(order.morton_order(np.full((9, 2), 3, np.float32)), np.arange(9))


def test_a_graph_is_permuted_as_by_scipy() -> None:
    rng = np.random.default_rng(0)
    A = scipy.sparse.random(3000, 3000, 0.002, "csr", np.float32, rng)
    new = rng.permutation(3000)
    assert (order.permuted(A, new) != A[new][:, new]).nnz == 0


def test_umap_gives_the_points_back_in_the_order_of_the_rows(monkeypatch) -> None:
    monkeypatch.setattr(umap, "FEW_ROWS", 500)
    X = clusters(1500, 50)
    Y = gpuvis.reduce(X, Settings(umap=Umap(n_neighbors=15)), "cpu")["umap"].coords
    monkeypatch.setattr(umap, "SORTED_AT", 10**9)
    in_order_of_rows = gpuvis.reduce(X, Settings(umap=Umap(n_neighbors=15)), "cpu")["umap"].coords
    true = true_neighbors(X, 16)[:, 1:]
    kept = [recall(true_neighbors(one, 16)[:, 1:], true) for one in (Y, in_order_of_rows)]
    assert not np.array_equal(Y, in_order_of_rows)
    assert kept[0] == pytest.approx(kept[1], abs=0.01)
