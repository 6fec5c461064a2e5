"""How sure random comparisons of distances are, by drawing them again and again."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from measures import clusters
from scipy.stats import spearmanr
from sklearn.metrics import pairwise_distances

from gpuvis.quality import triplets

X = clusters(3_000, 12)
Y = X[:, :2] + 0.2 * np.random.default_rng(0).standard_normal((3_000, 2))


@cache
def distances() -> tuple[np.ndarray, np.ndarray]:
    """Return all distances, and those on the map."""
    return pairwise_distances(X), pairwise_distances(Y)


def drawn(monkeypatch, seed: int, anchors: int) -> dict[str, float]:
    """Compare distances from some rows to others, all drawn anew."""
    draw = np.random.default_rng(seed)
    monkeypatch.setattr(triplets.np.random, "default_rng", lambda _: draw)
    some = np.sort(draw.choice(len(X), anchors, replace=False))
    others = triplets.draw(anchors, len(X))
    far, on_map = (np.take_along_axis(every[some], others, 1) for every in distances())
    return triplets.scores(far, on_map, others, some, len(X))


def far_ones_kept(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances of which the large are kept and the small are not."""
    before = draw.random((count, 2 * triplets.TRIPLETS + 40))
    return before, np.where(before > 0.5, before, draw.uniform(0, 0.5, before.shape))


def test_the_error_of_a_correlation_counts_what_a_pair_does_to_the_ranks_of_others() -> None:
    draw, found, anchors = np.random.default_rng(0), [], np.arange(25)
    for _ in range(150):
        before, after = far_ones_kept(draw, 25)
        others = draw.integers(25, 10**6, before.shape)
        found.append(triplets.scores(before, after, others, anchors, 10**6))
    spread = np.std([one["spearman"] for one in found], ddof=1)
    assert 0.85 < np.mean([one["spearman_se"] for one in found]) / spread < 1.15


@pytest.mark.parametrize("anchors", [60, 1_000])
def test_standard_errors_are_those_of_drawing_again(monkeypatch, anchors) -> None:
    with monkeypatch.context() as patched:
        found = [drawn(patched, seed, anchors) for seed in range(60)]
    for name in ("triplets", "spearman"):
        values, errors = (np.array([one[key] for one in found]) for key in (name, f"{name}_se"))
        assert 0.75 < errors.mean() / values.std(ddof=1) < 1.35, name
        if name == "triplets" and anchors == 60:  # as if all were independent
            assert errors.mean() > 1.3 * (values.mean() * (1 - values.mean()) / anchors / triplets.TRIPLETS) ** 0.5


def test_of_all_rows_only_the_draw_of_distances_is_unsure(monkeypatch) -> None:
    with monkeypatch.context() as patched:
        found = [drawn(patched, seed, len(X)) for seed in range(12)]
    D, DY = (every[np.triu_indices(len(X), 1)] for every in distances())
    true = spearmanr(D, DY).statistic
    errors = np.array([one["spearman_se"] for one in found])
    assert np.abs([one["spearman"] - true for one in found] / errors).max() < 3
    assert errors.max() < 0.006
    assert max(one["triplets_se"] for one in found) < 0.0015
