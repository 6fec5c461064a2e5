"""How sure random comparisons of distances are, by drawing them again and again."""

from __future__ import annotations

import numpy as np
import pytest
from measures import clusters
from scipy.stats import spearmanr
from sklearn.metrics import pairwise_distances

from gpuvis import comparisons

X = clusters(3_000, 12)
Y = X[:, :2] + 0.2 * np.random.default_rng(0).standard_normal((3_000, 2))


def drawn(monkeypatch, seed: int, anchors: int) -> dict[str, float]:
    """Compare distances from some rows to others, all drawn anew."""
    draw = np.random.default_rng(seed)
    monkeypatch.setattr(comparisons.np.random, "default_rng", lambda _: draw)
    some = np.sort(draw.choice(len(X), anchors, replace=False))
    others = comparisons.draw(anchors, len(X))
    far, on_map = (np.take_along_axis(pairwise_distances(values[some], values), others, 1) for values in (X, Y))
    return comparisons.kept(far, on_map, others, some, len(X))


@pytest.mark.parametrize("anchors", [60, 1_000])
def test_standard_errors_are_those_of_drawing_again(monkeypatch, anchors) -> None:
    with monkeypatch.context() as patched:
        found = [drawn(patched, seed, anchors) for seed in range(60)]
    for name in ("triplets", "spearman"):
        values, errors = (np.array([one[key] for one in found]) for key in (name, f"{name}_se"))
        assert 0.75 < errors.mean() / values.std(ddof=1) < 1.35, name
        if name == "triplets" and anchors == 60:  # as if all were independent
            assert errors.mean() > 1.3 * (values.mean() * (1 - values.mean()) / anchors / comparisons.TRIPLETS) ** 0.5


def test_of_all_rows_only_the_draw_of_distances_is_unsure(monkeypatch) -> None:
    with monkeypatch.context() as patched:
        found = [drawn(patched, seed, len(X)) for seed in range(12)]
    D, DY = (pairwise_distances(values)[np.triu_indices(len(X), 1)] for values in (X, Y))
    true = spearmanr(D, DY).statistic
    errors = np.array([one["spearman_se"] for one in found])
    assert np.abs([one["spearman"] - true for one in found] / errors).max() < 3
    assert errors.max() < 0.006
    assert max(one["triplets_se"] for one in found) < 0.0015
