"""Memberships by their properties; probabilities compared with those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from measures import digits
from scipy.sparse import csr_matrix

from gpuvis.backends.cpu import affinities, neighbors
from gpuvis.backends.neighbor_graph import Graph

pytestmark = pytest.mark.usefixtures("two_threads")

DATA = {"digits": digits(), "few": digits(40), "rows ten times each": np.repeat(digits(30), 10, axis=0)}


def test_small_weights_are_left_out_of_both_rows() -> None:
    graph = neighbors.search(digits(300), 30, "euclidean", 1)
    whole, trimmed = (affinities.memberships(graph, 30, least) for least in (0, 0.1))
    assert trimmed.data.min() >= 0.1
    assert trimmed.nnz == (whole.data >= 0.1).sum()
    assert abs(trimmed - trimmed.T).max() < 1e-6


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("perplexity", [3, 10])
def test_probabilities_are_those_of_scikit_learn(name, perplexity) -> None:
    from sklearn.manifold._t_sne import _joint_probabilities_nn

    X, k = DATA[name], 3 * perplexity + 2
    graph = neighbors.search(X, k, "euclidean", 1)
    rows = len(X)
    starts = np.arange(0, rows * (k - 1) + 1, k - 1)
    square = graph.distances[:, 1:].ravel().astype(np.float64) ** 2
    told = _joint_probabilities_nn(csr_matrix((square, graph.indices[:, 1:].ravel(), starts)), perplexity, 0)
    found = affinities.probabilities(graph, k, perplexity)
    assert found.data.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert abs(found - told).max() < 2e-3 * told.max()
    assert abs(found - found.T).max() < 1e-9


def test_far_away_rows_have_probabilities_all_the_same() -> None:
    """Distances at which exp(-d²) would vanish in float32."""
    indices = np.array([[0, 1, 2], [1, 2, 0], [2, 1, 0]], np.int32)
    distances = np.array([[0, 1e6, 1.1e6], [0, 1e6, 1.1e6], [0, 1e6, 1.1e6]], np.float32)
    found = affinities.probabilities(Graph(indices, distances, np), 3, 1.5)
    assert np.isfinite(found.data).all()
    assert found.sum() == pytest.approx(1)
