"""How far maps are to be trusted: by plain definitions, by scikit-learn, and on every backend alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from measures import clusters, digits
from rapids_double.fixtures import rapids
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import pairwise_distances

from gpuvis import quality, reduction
from gpuvis.backends import choose, compiled, cpu, outline, ranks_anywhere
from gpuvis.backends.base import Findings
from gpuvis.backends.ranks_anywhere import PlainRanks
from gpuvis.settings import Settings, Tsne, Umap
from gpuvis.steps import Steps

__all__ = ["rapids"]
METRICS = ["euclidean", "cosine", "correlation"]


def measured(
    X: Any, coords: np.ndarray, labels: Any = None, metric: str = "euclidean", backend: Any = cpu, findings: Any = None
):
    largest = float(np.abs(np.asarray(X)).max())
    planned = reduction.plan(X, Settings(umap=Umap()), cpu, largest)
    with cpu.working(planned):
        return quality.measure(X, coords, labels, metric, backend, (planned, largest), findings)[0]


def noisy(X: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a map that is neither good nor bad, and has no two points alike."""
    draw = np.random.default_rng(seed)
    return (PCA(2).fit_transform(X) + 0.3 * draw.standard_normal((len(X), 2))).astype(np.float32)


def data(rows: int = 300, columns: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three classes, far from zero, and their classes."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, rows)
    return (5 + labels[:, None] + draw.standard_normal((rows, columns))).astype(np.float32), labels


def ranks_of(D: np.ndarray) -> np.ndarray:
    return D.argsort(1).argsort(1)  # the row itself has rank 0


@pytest.mark.parametrize("metric", METRICS)
def test_small_data_agrees_with_scikit_learn(metric) -> None:
    X, labels = data()
    Y = noisy(X)
    told = measured(X, Y, labels, metric)
    assert (told["k"], told["anchors"], told["sampled"]) == (15, 300, False)
    assert told.keys() >= {"euclidean", metric}
    D, DY = pairwise_distances(X.astype(np.float64), metric=metric), pairwise_distances(Y.astype(np.float64))
    kept = told[metric]["map"]
    assert kept["trustworthiness"] == pytest.approx(
        trustworthiness(D, Y, n_neighbors=15, metric="precomputed"), abs=1e-9
    )
    high, low = ranks_of(D), ranks_of(DY)
    near, near_on_map = D.argsort(1)[:, 1:16], DY.argsort(1)[:, 1:16]
    assert kept["recall"] == pytest.approx(np.mean(np.take_along_axis(high, near_on_map, 1) <= 15), abs=1e-9)
    beyond = np.maximum(np.take_along_axis(low, near, 1) - 15, 0).sum()
    assert kept["continuity"] == pytest.approx(1 - 2 * beyond / (300 * 15 * (600 - 46)), abs=1e-9)
    for place, ids in (("original", near), ("map", near_on_map)):
        chosen = [np.bincount(labels[row]).argmax() for row in ids]
        assert told[metric][place]["label_accuracy"] == pytest.approx(np.mean(chosen == labels))


def test_small_data_agrees_with_zadu() -> None:
    """With what zadu 0.5.4 (pip install zadu) gives for the same data in float64.

    Of zadu.measures: trustworthiness_continuity.measure(X, Y, 15); local_continuity_meta_criteria.measure(X, Y, 15), to
    which 15 / 199 is added for the recall; and spearman_rho.measure(X, Y).
    """
    draw = np.random.default_rng(42)
    X = draw.standard_normal((200, 10))
    Y = (X[:, :2] + 0.5 * draw.standard_normal((200, 2))).astype(np.float32)
    kept = measured(X.astype(np.float32), Y)["euclidean"]["map"]
    assert kept["trustworthiness"] == pytest.approx(0.6215687382297552, abs=1e-9)
    assert kept["continuity"] == pytest.approx(0.6875894538606403, abs=1e-9)
    assert kept["recall"] == pytest.approx(0.14266666666666666, abs=1e-9)
    assert kept["spearman"] == pytest.approx(0.2443113219873001, abs=1e-7)


def test_equal_distances_share_their_rank_in_the_correlation() -> None:
    X = np.random.default_rng(0).integers(0, 3, (64, 2)).astype(np.float32)
    Y = np.random.default_rng(1).integers(0, 3, (64, 2)).astype(np.float32)
    pairs = np.triu_indices(64, 1)  # a mean of 64 whole numbers is exact
    D, DY = (pairwise_distances(values.astype(np.float64))[pairs] for values in (X, Y))
    assert measured(X, Y)["euclidean"]["map"]["spearman"] == pytest.approx(spearmanr(D, DY).statistic, abs=1e-9)


def test_triplets_and_correlation_are_those_of_all_pairs() -> None:
    X, _ = data()
    Y = noisy(X)
    kept = measured(X, Y)["euclidean"]["map"]
    D, DY = pairwise_distances(X.astype(np.float64)), pairwise_distances(Y.astype(np.float64))
    i, j, k = np.random.default_rng(5).integers(0, 300, (3, 400_000))
    apart = j != k
    share = np.mean(((D[i, j] < D[i, k]) == (DY[i, j] < DY[i, k]))[apart])
    assert kept["triplets"] == pytest.approx(share, abs=4 * kept["triplets_se"])
    assert kept["spearman"] == pytest.approx(spearmanr(D.ravel(), DY.ravel()).statistic, abs=0.02)


def test_the_baseline_is_a_plain_pca_map() -> None:
    X, labels = data()
    plain = PCA(2).fit_transform(X.astype(np.float64)).astype(np.float32)
    told = measured(X, plain, labels)["euclidean"]
    for name, value in told["pca"].items():
        assert told["map"][name] == pytest.approx(value, abs=2e-3), name


@pytest.mark.parametrize("columns", [24, 80])
@pytest.mark.parametrize("metric", METRICS)
def test_a_sample_is_within_three_standard_errors(monkeypatch, metric, columns) -> None:
    X = clusters(4_000, columns) + 0.2
    Y, labels = noisy(X), np.arange(4_000) % 7
    exact = measured(X, Y, labels, metric)[metric]
    monkeypatch.setattr(quality, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(quality, "ANCHORS", 600)
    told = measured(X, Y, labels, metric)
    assert (told["anchors"], told["sampled"]) == (600, True)
    for place in ("map", "pca"):
        for name in ("recall", "trustworthiness", "continuity", "label_accuracy", "triplets", "spearman"):
            error = told[metric][place][f"{name}_se"]
            assert 0 < error < 0.03
            near = 3 * np.hypot(error, exact[place][f"{name}_se"])  # of all rows, triplets and pairs are drawn as well
            assert told[metric][place][name] == pytest.approx(exact[place][name], abs=near), name


@pytest.mark.parametrize("pca_dim", [None, 4])
def test_components_that_a_fit_found_are_those_of_the_baseline(pca_dim) -> None:
    X = clusters(400, 24) + 0.2
    plan = reduction.plan(X, Settings(umap=Umap()), cpu, 1.0)
    with cpu.working(plan):
        expected = quality.pca_map(X, cpu, 1.0, plan)
    done = reduction.reduce(X, Settings(umap=Umap(), tsne=Tsne(), pca_dim=pca_dim), "cpu")
    for made in done.values():
        turned = np.sign((made.findings.principal * expected).sum(0))
        np.testing.assert_allclose(made.findings.principal * turned, expected, atol=1e-3 * np.abs(expected).max())


def test_a_map_that_did_not_begin_at_components_knows_none() -> None:
    X = clusters(60, 1)
    assert reduction.reduce(X, Settings(umap=None, tsne=Tsne()), "cpu")["tsne"].findings.principal is None
    asked = Settings(umap=None, tsne=Tsne(init="random"))
    assert reduction.reduce(clusters(60, 5), asked, "cpu")["tsne"].findings.principal is None


def test_a_fit_tells_what_is_near_rows_that_are_asked_for() -> None:
    X, settings, some = clusters(400, 24), Settings(umap=Umap(n_neighbors=9)), np.array([3, 5, 399])
    plan = reduction.plan(X, settings, cpu, 1.0)
    made = reduction.embed(reduction.prepare(X, settings, cpu, Steps(), (plan, 1.0)), "umap", cpu, Steps(), some)
    np.testing.assert_array_equal(made.findings.near, pairwise_distances(X)[some].argsort(1)[:, :9])


@pytest.mark.parametrize("metric", METRICS)
def test_numbers_do_not_depend_on_what_a_fit_took_for_near(monkeypatch, metric) -> None:
    monkeypatch.setattr(quality, "ANCHORS", 300)
    X = clusters(6_000, 40) + 0.2
    Y, anchors = noisy(X), quality.sample(6_000)
    nearest = pairwise_distances(X[anchors], X, metric).argsort(1)
    told = measured(X, Y, metric=metric)
    one, own, far = nearest[:, [0] + 20 * [1]], nearest[:, [0, 0, *range(1, 15)]], nearest[:, [0, *range(-20, 0)]]
    for near in (nearest[:, :16], one, own, far):
        same = measured(X, Y, metric=metric, findings=Findings(near=near))
        for place, values in told[metric].items():
            for name, value in values.items():
                assert same[metric][place][name] == pytest.approx(value, abs=1e-6), (place, name)


def test_rows_far_shorter_than_the_mean_have_neighbours(monkeypatch) -> None:
    """Rounding turns them more than others; what a fit found is the nearest there can be, and no row may be lost."""
    monkeypatch.setattr(quality, "ANCHORS", 300)
    draw = np.random.default_rng(0)
    X, short = draw.normal(1, 0.1, (6_000, 256)), np.arange(6_000) % 2 == 0
    turned = draw.standard_normal((75, 256))
    turned /= np.linalg.norm(turned, axis=1)[:, None]
    X[short] = 0.08 * (turned[draw.integers(0, 75, 3_000)] + 1e-4 * draw.standard_normal((3_000, 256)))
    X = X.astype(np.float32)
    found = []
    monkeypatch.setattr(quality._Judge, "_votes", lambda judge, near: found.append(near) or {})
    anchors = quality.sample(6_000)
    near = pairwise_distances(X[anchors].astype(np.float64), X.astype(np.float64), "cosine").argsort(1)[:, :16]
    measured(X, draw.standard_normal((6_000, 2)).astype(np.float32), None, "cosine", findings=Findings(near=near))
    assert len(found) == 6
    assert min(ids.min() for ids in found) >= 0


def test_digits_and_what_is_better_than_pca() -> None:
    X = digits()
    told = measured(X, noisy(X, 1))["euclidean"]
    assert told["pca"]["recall"] == pytest.approx(0.15, abs=0.01)
    assert told["pca"]["trustworthiness"] == pytest.approx(0.829, abs=0.01)
    assert told["map"]["recall"] < told["pca"]["recall"] + 0.01


@pytest.mark.parametrize("rows", [5, 6, 31])
def test_few_rows(rows) -> None:
    X, labels = data(rows)
    told = measured(X, noisy(X), labels)
    assert told["k"] == min(15, (rows - 1) // 2)
    assert all(np.isfinite(value) for value in told["euclidean"]["map"].values())


@pytest.mark.parametrize(
    "X",
    [np.ones((40, 3)), np.repeat(np.eye(4), 10, 0), np.zeros((40, 1)), np.vstack([np.zeros((20, 3)), np.eye(20, 3)])],
    ids=["all equal", "duplicates", "one column", "rows of zeros"],
)
@pytest.mark.parametrize("metric", METRICS)
def test_degenerate_data_has_numbers(X, metric) -> None:
    Y = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    told = measured(X.astype(np.float32), Y, np.zeros(40, np.int64), metric)
    for place in ("map", "pca"):
        assert all(np.isfinite(value) for value in told[metric][place].values())
    assert "label_accuracy" not in told[metric]["map"]  # one class has nothing to be told from
    if (X == X[0]).all():
        assert told["euclidean"]["map"]["recall"] == 1  # all are as near


@pytest.mark.parametrize("rare", [np.zeros(40), np.full(40, 3.3), None], ids=["zeros", "constant", "all equal"])
@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_as_far_from_all_have_neighbours_in_a_sample(monkeypatch, rare, metric) -> None:
    X = np.random.default_rng(0).standard_normal((600, 40)).astype(np.float32)
    X[:: 1 if rare is None else 9] = 1 if rare is None else rare
    monkeypatch.setattr(quality, "EXACT_ROWS", 100)
    monkeypatch.setattr(quality, "ANCHORS", 300)
    seen = []
    votes = quality._Judge._votes
    monkeypatch.setattr(quality._Judge, "_votes", lambda self, near: seen.append(near) or votes(self, near))
    Y = np.random.default_rng(1).standard_normal((600, 2)).astype(np.float32)
    measured(X, Y, np.arange(600) % 3, metric)
    assert all((near >= 0).all() for near in seen)


def test_numbers_do_not_depend_on_threads(monkeypatch) -> None:
    X = np.random.default_rng(0).standard_normal((2_500, 8)) @ np.random.default_rng(1).standard_normal((8, 60))
    X = X.astype(np.float32)
    monkeypatch.setattr(quality, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(quality, "ANCHORS", 400)
    told = []
    for threads in (1, 2):
        monkeypatch.setattr("gpuvis.machine.cpu_threads", lambda threads=threads: threads)
        told.append(measured(X, noisy(X), np.arange(2_500) % 5, "cosine"))
    assert told[0] == told[1]


def test_rows_without_a_label_neither_vote_nor_count() -> None:
    X, labels = data()
    some = np.where(np.arange(300) % 2, labels, -1)
    told = measured(X, noisy(X), some)["euclidean"]
    D = pairwise_distances(X.astype(np.float64))
    near = D.argsort(1)[:, 1:16]
    chosen = [np.bincount(some[row][some[row] >= 0], minlength=3).argmax() for row in near]
    assert told["original"]["label_accuracy"] == pytest.approx(np.mean((chosen == labels)[1::2]))
    assert "label_accuracy" not in measured(X, noisy(X), np.full(300, -1))["euclidean"]["map"]


def test_points_that_are_flung_away_are_counted() -> None:
    Y = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    assert quality.flung(Y) == 0
    Y[[3, 7]] = [[900, 0], [0, -900]]
    assert quality.flung(Y) == 2
    assert quality.flung(Y[:40]) == 2
    Y[:40] += 10_000  # many are no less far out
    assert quality.flung(Y) == 40


@pytest.mark.parametrize("metric", METRICS)
def test_compiled_kernels_agree_with_plain_steps(monkeypatch, metric) -> None:
    X = clusters(3_000, 24) + 0.2
    Y, labels = noisy(X), np.arange(3_000) % 5
    names = ("xp", "SAFE", "as_array", "to_host", "to_indices", "pca")
    plain = SimpleNamespace(**{name: getattr(cpu, name) for name in names}, ranks=lambda: PlainRanks(np))
    monkeypatch.setattr(compiled, "EVERY", 1)
    for exact_rows in (5_000, 1_000):
        monkeypatch.setattr(quality, "EXACT_ROWS", exact_rows)
        monkeypatch.setattr(ranks_anywhere, "BLOCK", 100_000)
        told, same = (measured(X, Y, labels, metric, backend)[metric] for backend in (cpu, plain))
        for place in told:
            for name, value in told[place].items():
                assert same[place][name] == pytest.approx(value, abs=1e-4), name


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [0.05, 0.3, 5], ids=["few axes", "clusters hide in the rest", "no axes"])
def test_rows_seen_along_a_few_axes_are_judged_as_in_whole(monkeypatch, metric, spread) -> None:
    draw = np.random.default_rng(0)
    X = clusters(6_000, 6) @ draw.standard_normal((6, 80)).astype(np.float32)
    X = (X + spread * draw.standard_normal(X.shape) + 3).astype(np.float32)
    Y, labels = noisy(X), np.arange(6_000) % 5
    assert (outline.axes_of(X[:2_000] - X.mean(0)).shape[1] > 0) == (spread < 5)
    monkeypatch.setattr(quality, "ANCHORS", 500)
    told = measured(X, Y, labels, metric)[metric]
    monkeypatch.setattr(outline, "LEAST", 1_000)
    whole = measured(X, Y, labels, metric)[metric]
    for place in ("original", "map", "pca"):
        for name, value in whole[place].items():
            near = max(1e-4, whole[place].get(f"{name}_se", 0) / 10)
            assert told[place][name] == pytest.approx(value, abs=near), (place, name)


def test_ranks_told_by_every_seventh_row_are_right_on_average_where_a_map_is_good(monkeypatch) -> None:
    """Most ranks are hardly above k there: what is below may not be cut off of an estimate."""
    draw = np.random.default_rng(3)
    plane = draw.standard_normal((6_000, 2))
    X = np.concatenate([plane, 0.05 * draw.standard_normal((6_000, 22))], 1).astype(np.float32)
    Y = (plane + 0.003 * draw.standard_normal(plane.shape)).astype(np.float32)
    told = measured(X, Y)["euclidean"]["map"]
    monkeypatch.setattr(compiled, "EVERY", 1)
    exact = measured(X, Y)["euclidean"]["map"]
    for name in ("trustworthiness", "continuity"):
        assert told[name] != exact[name]
        assert told[name] == pytest.approx(exact[name], abs=1.2 * told[f"{name}_se"])
        assert told[f"{name}_se"] < 1.3 * exact[f"{name}_se"]
    assert told["recall"] == exact["recall"]


@pytest.mark.parametrize("metric", [*METRICS, "canberra"])
def test_the_gpu_backend_gives_the_same(rapids, monkeypatch, metric) -> None:
    X = clusters(1_500, 24) + 0.2
    Y, labels = noisy(X), np.arange(1_500) % 5
    gpu, _ = choose("gpu")
    monkeypatch.setattr(compiled, "EVERY", 1)
    for exact_rows in (5_000, 1_000):
        monkeypatch.setattr(quality, "EXACT_ROWS", exact_rows)
        monkeypatch.setattr(quality, "ANCHORS", 300)
        planned = reduction.plan(torch.from_numpy(X), Settings(umap=Umap()), gpu, 1.0)
        near = gpu.xp.asarray(np.random.default_rng(1).integers(0, 1_500, (300, 20)))  # none are looked at if all are
        how = gpu, (planned, 1.0), Findings(near=near)
        told = quality.measure(torch.from_numpy(X), Y, labels, metric, *how)[0][metric]
        same = measured(X, Y, labels, metric)[metric]
        for place in told:
            for name, value in told[place].items():
                assert value == pytest.approx(same[place][name], abs=1e-3), name
