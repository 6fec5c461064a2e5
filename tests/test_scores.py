"""What measuring takes from a PCA of the fit: rows along its axes, which may cost no row and no digit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measures import clusters
from scipy.spatial.distance import cdist
from test_quality import METRICS, measured, noisy

from gpuvis import distances, quality, reduction, tensors
from gpuvis.backends import cpu, outline
from gpuvis.backends.base import Findings
from gpuvis.settings import Settings, Tsne, Umap
from gpuvis.steps import Steps

ROWS = 6_000


def scores_of(X: np.ndarray, count: int) -> np.ndarray:
    plan = cpu.plan(*X.shape, X.itemsize, Settings())
    with cpu.working(plan):
        return cpu.pca(X, count, 0, 1.0, plan)[0]


def along_few_axes(spread: float) -> np.ndarray:
    draw = np.random.default_rng(0)
    X = clusters(ROWS, 6) @ draw.standard_normal((6, 80)).astype(np.float32)
    return (X + spread * draw.standard_normal(X.shape)).astype(np.float32)


@pytest.fixture
def views(monkeypatch) -> list[tuple[bool, str]]:
    """Tell whether scores were known, and by which axes rows were seen, each time that all rows were looked at."""
    told: list[tuple[bool, str]] = []
    view = outline.view

    def noted(*asked: Any) -> Any:
        found = view(*asked)
        told.append((asked[2] is not None, found.func.__name__))
        return found

    monkeypatch.setattr(outline, "view", noted)
    monkeypatch.setattr(quality, "ANCHORS", 500)
    return told


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("away", [0, 30], ids=["near zero", "far from zero"])
@pytest.mark.parametrize("spread", [0.05, 0.3], ids=["few axes", "clusters hide in the rest"])
def test_rows_along_axes_of_a_fit_are_judged_as_in_whole(monkeypatch, views, spread, away, metric) -> None:
    X = along_few_axes(spread) + np.float32(away)
    Y, labels, scores = noisy(X), np.arange(ROWS) % 5, scores_of(X, 12)
    told = measured(X, Y, labels, metric, findings=Findings(scores=scores))
    assert views[0] == (True, "_by_scores")
    assert ((False, "_by_axes") in views) == (metric == "correlation")  # of rows less their means it knows nothing
    monkeypatch.setattr(outline, "LEAST", 1_000)
    whole = measured(X, Y, labels, metric)
    for by in {"euclidean", metric}:
        for place, values in whole[by].items():
            for name, value in values.items():
                near = max(1e-4, values.get(f"{name}_se", 0) / 10)
                assert told[by][place][name] == pytest.approx(value, abs=near), (by, place, name)


def test_axes_of_a_fit_that_tell_too_little_are_not_used(views) -> None:
    X = along_few_axes(0.3)
    Y = noisy(X)
    told = measured(X, Y, findings=Findings(scores=scores_of(X, 2)))
    assert views == [(True, "_by_axes")]
    assert told == measured(X, Y)


def test_more_scores_than_are_of_use_are_left_out(monkeypatch, views) -> None:
    X = along_few_axes(0.3)
    widths, room = [], outline.codes.room
    monkeypatch.setattr(outline.codes, "room", lambda rows, columns: widths.append(columns) or room(rows, columns))
    measured(X, noisy(X), findings=Findings(scores=scores_of(X, 60)))
    assert set(widths) == {80 // outline.MOST}
    assert views == [(True, "_by_scores")]


def test_no_neighbour_is_lost_where_rows_are_far_from_zero(monkeypatch) -> None:
    """There the middle of the rows is rounded, and so the scores are not quite about it."""
    monkeypatch.setattr(quality, "ANCHORS", 500)
    found: list[np.ndarray] = []
    monkeypatch.setattr(quality._Judge, "_votes", lambda judge, near: found.append(near) or {})
    draw = np.random.default_rng(0)
    axes = np.linalg.qr(draw.standard_normal((80, 10)))[0]
    along = draw.standard_normal((60, 10))[draw.integers(0, 60, ROWS)] + 3e-2 * draw.standard_normal((ROWS, 10))
    X = (along @ axes.T + 1e5).astype(np.float32)
    exact, anchors = X.astype(np.float64), quality.sample(ROWS)
    scores = ((exact - exact.mean(0)) @ axes).astype(np.float32)
    measured(X, noisy(X - X[0]), findings=Findings(scores=scores))
    away = cdist(exact[anchors], exact)
    away[np.arange(500), anchors] = np.inf
    farthest = np.take_along_axis(away, found[0], 1).max(1)
    np.testing.assert_allclose(farthest, np.sort(away, 1)[:, 14], rtol=1e-3)


@pytest.mark.parametrize("pca_dim", [None, 8])
def test_a_fit_keeps_the_scores_of_its_pca_for_those_who_measure(pca_dim) -> None:
    X, settings, some = clusters(400, 24), Settings(umap=Umap(), tsne=Tsne(), pca_dim=pca_dim), np.arange(20)
    known = reduction.plan(X, settings, cpu, 1.0), 1.0
    for asked in (some, None):
        prepared = reduction.prepare(X, settings, cpu, Steps(), known)
        for method in settings.methods:
            scores = reduction.embed(prepared, method, cpu, Steps(), asked).findings.scores
            if pca_dim is None or asked is None:
                assert scores is None
            else:
                np.testing.assert_allclose(np.abs(scores), np.abs(scores_of(X, 8)), atol=1e-5)


def test_scores_that_are_many_or_the_librarys_are_not_kept(monkeypatch) -> None:
    scores = np.zeros((300, 50), np.float32)
    assert cpu.keeps_scores(scores, cpu.WIDEST)
    assert not cpu.keeps_scores(scores, cpu.WIDEST + 1)
    monkeypatch.setattr(cpu, "SCORES_BYTES", scores.nbytes - 1)
    assert not cpu.keeps_scores(scores, 500)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell of single maps")
@pytest.mark.parametrize("large", [True, False])
def test_a_large_file_is_given_back_while_it_is_measured_and_a_small_one_stays(monkeypatch, tmp_path, large) -> None:
    path = tmp_path / "embeddings.pt"
    torch.save(torch.from_numpy(along_few_axes(0.3)), path)
    X, held = tensors.read(path), []

    def bytes_held() -> int:
        maps = Path("/proc/self/smaps").read_text().partition(str(path))[2]
        return 1024 * int(maps.partition("Rss:")[2].split()[0])

    moved = distances.Distances._moved
    monkeypatch.setattr(distances.Distances, "_moved", lambda *args: held.append(bytes_held()) or moved(*args))
    monkeypatch.setattr(distances, "BLOCK_BYTES", X.nbytes // 10)
    monkeypatch.setattr(tensors, "LARGE", 0 if large else X.nbytes * 2)
    tensors.let_go(X)
    measured(X, noisy(X))
    assert (max(held[-9:]) == 0) == large
    assert (held[-1] >= X.nbytes) == (not large)
