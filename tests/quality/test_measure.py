"""How far maps are to be trusted: by plain definitions, by scikit-learn, and on every backend alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measures import clusters, digits, true_neighbors
from rapids_double.fixtures import rapids
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from gpuvis.backends import choose, matrix
from gpuvis.backends.cpu import backend as cpu
from gpuvis.io import pt
from gpuvis.quality import measure
from gpuvis.reduction import reduce
from gpuvis.settings import Settings, Tsne, Umap

__all__ = ["rapids"]
METRICS = ["euclidean", "cosine", "correlation"]


def measured(
    X: Any, coords: np.ndarray, labels: Any = None, metric: str = "euclidean", backend: Any = cpu, principal: Any = None
):
    largest = float(np.abs(np.asarray(X)).max())
    planned = matrix.plan(X, Settings(umap=Umap()), cpu, largest)
    with cpu.working(planned):
        return measure.measure_map(X, coords, labels, metric, backend, (planned, largest), principal)[0]


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
    monkeypatch.setattr(measure, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(measure, "ANCHORS", 700)
    told = measured(X, Y, labels, metric)
    assert (told["anchors"], told["sampled"]) == (700, True)
    for place in ("map", "pca"):
        for name in ("recall", "trustworthiness", "continuity", "label_accuracy", "triplets", "spearman"):
            error = told[metric][place][f"{name}_se"]
            assert 0 < error < 0.03
            near = 3 * np.hypot(error, exact[place][f"{name}_se"])  # of all rows, triplets and pairs are drawn as well
            assert told[metric][place][name] == pytest.approx(exact[place][name], abs=near), name


@pytest.mark.parametrize("pca_dim", [None, 4])
def test_components_that_a_fit_found_are_those_of_the_baseline(pca_dim) -> None:
    X = clusters(400, 24) + 0.2
    plan = matrix.plan(X, Settings(umap=Umap()), cpu, 1.0)
    with cpu.working(plan):
        expected = measure.pca_map(X, cpu, 1.0, plan)
    done = reduce.reduce(X, Settings(umap=Umap(), tsne=Tsne(), pca_dim=pca_dim), "cpu")
    for made in done.values():
        turned = np.sign((made.principal * expected).sum(0))
        np.testing.assert_allclose(made.principal * turned, expected, atol=1e-3 * np.abs(expected).max())


def test_a_map_that_did_not_begin_at_components_knows_none() -> None:
    X = clusters(60, 1)
    assert reduce.reduce(X, Settings(umap=None, tsne=Tsne()), "cpu")["tsne"].principal is None
    asked = Settings(umap=None, tsne=Tsne(init="random"))
    assert reduce.reduce(clusters(60, 5), asked, "cpu")["tsne"].principal is None


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


def test_numbers_do_not_depend_on_threads(monkeypatch) -> None:
    X = np.random.default_rng(0).standard_normal((2_500, 8)) @ np.random.default_rng(1).standard_normal((8, 60))
    X = X.astype(np.float32)
    monkeypatch.setattr(measure, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(measure, "ANCHORS", 400)
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
    assert measure.count_flung(Y) == 0
    Y[[3, 7]] = [[900, 0], [0, -900]]
    assert measure.count_flung(Y) == 2
    assert measure.count_flung(Y[:40]) == 2
    Y[:40] += 10_000  # many are no less far out
    assert measure.count_flung(Y) == 40


@pytest.mark.parametrize("metric", [*METRICS, "canberra"])
def test_the_gpu_backend_gives_the_same(rapids, monkeypatch, metric) -> None:
    X = clusters(900, 24) + 0.2
    Y, labels = noisy(X), np.arange(900) % 5
    gpu, _ = choose("gpu")
    for exact_rows in (5_000, 600):
        monkeypatch.setattr(measure, "EXACT_ROWS", exact_rows)
        monkeypatch.setattr(measure, "ANCHORS", 200)
        planned = matrix.plan(torch.from_numpy(X), Settings(umap=Umap()), gpu, 1.0)
        told = measure.measure_map(torch.from_numpy(X), Y, labels, metric, gpu, (planned, 1.0))[0][metric]
        same = measured(X, Y, labels, metric)[metric]
        for place in told:
            for name, value in told[place].items():
                assert value == pytest.approx(same[place][name], abs=1e-3), name


NAMES = {"manhattan": "cityblock"}


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev", "canberra", "braycurtis"])
def test_other_metrics_are_measured_by_their_definitions(monkeypatch, metric) -> None:
    X = clusters(1_500, 12) + 0.2
    Y, labels, k = noisy(X), np.arange(1_500) % 3, measure.K
    told = measured(X, Y, labels, metric)
    D = cdist(X.astype(np.float64), X.astype(np.float64), NAMES.get(metric, metric))
    np.fill_diagonal(D, -1)
    near = NearestNeighbors(n_neighbors=k).fit(Y).kneighbors(return_distance=False)
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(D.argsort(1)[:, 1 : k + 1], near, strict=True)])
    assert list(told)[-2:] == ["euclidean", metric]
    assert told["metric"] == metric
    assert told[metric]["map"]["recall"] == pytest.approx(recall, abs=1e-9)
    np.fill_diagonal(D, 0)
    exact = trustworthiness(D, Y, n_neighbors=k, metric="precomputed")
    assert told[metric]["map"]["trustworthiness"] == pytest.approx(exact, abs=1e-9)
    assert told[metric] != told["euclidean"]
    monkeypatch.setattr(measure, "WORK", 300 * X.size)  # for a moment's work on 300 rows
    sampled = measured(X, Y, labels, metric)
    assert (sampled["anchors"], sampled["sampled"]) == (300, True)
    for place in ("original", "map", "pca"):
        for name, error in sampled[metric][place].items():
            if name.endswith("_se"):
                value, near = told[metric][place][name[:-3]], 3 * np.hypot(error, told[metric][place][name])
                assert sampled[metric][place][name[:-3]] == pytest.approx(value, abs=near), (place, name)


def test_the_error_of_a_sample_of_nearly_all_rows_is_small(monkeypatch) -> None:
    X = clusters(1_400, 12) + 0.2
    Y, labels, values = noisy(X), np.arange(1_400) % 3, []
    exact = measured(X, Y, labels, "manhattan")["manhattan"]["map"]
    monkeypatch.setattr(measure, "WORK", 1_200 * X.size)
    drawn = np.random.default_rng
    for seed in range(12):
        monkeypatch.setattr(measure.np.random, "default_rng", lambda _, seed=seed: drawn(seed))
        told = measured(X, Y, labels, "manhattan")
        assert told["anchors"] == 1_200
        values.append(told["manhattan"]["map"])
    for name in ("recall", "trustworthiness", "label_accuracy"):
        off = np.sqrt(np.mean([(one[name] - exact[name]) ** 2 for one in values]))
        assert 0.6 < off / np.mean([one[f"{name}_se"] for one in values]) < 1.6, name


def test_rows_that_are_compared_are_as_many_as_a_moment_allows() -> None:
    assert [len(measure.sample(rows, 50, "cosine")) for rows in (5, 5_000, 5_001, 10**6)] == [5, 5_000, 1_000, 1_000]
    assert [len(measure.sample(1_400, columns, "canberra")) for columns in (10, 1_152, 10_000)] == [1_400, 1_400, 178]
    assert [len(measure.sample(70_000, columns, "canberra")) for columns in (10, 512)] == [1_000, 69]
    assert len(measure.sample(10**8, 512, "canberra")) == measure.FEWEST
    some = measure.sample(70_000, 512, "canberra")
    assert (np.diff(some) > 0).all()
    assert 0 <= some.min() <= some.max() < 70_000


@pytest.mark.parametrize("rows", [40, 3_000])
def test_the_recall_of_each_point_is_that_of_all_pairs(rows) -> None:
    X = clusters(rows, 12)
    Y, near = noisy(X), true_neighbors(X, 6)[:, 1:]
    on_map = true_neighbors(Y, 6)[:, 1:]
    expected = [len(set(a) & set(b)) / 5 for a, b in zip(near, on_map, strict=True)]
    np.testing.assert_allclose(measure.recall_of_points(Y, near, cpu), expected, atol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell of single maps")
def test_a_large_file_is_given_back_while_it_is_measured_and_a_small_one_is_not_mapped(monkeypatch, tmp_path) -> None:
    path, held = tmp_path / "embeddings.pt", []
    torch.save(torch.from_numpy(clusters(20_000, 400)), path)
    small = pt.read(path)
    assert str(path) not in Path("/proc/self/maps").read_text()
    monkeypatch.setattr(pt, "LARGE", small.nbytes)
    X = pt.read(path)
    np.testing.assert_array_equal(X, small)

    def bytes_held() -> int:
        maps = Path("/proc/self/smaps").read_text().partition(str(path))[2]
        return 1024 * int(maps.partition("Rss:")[2].split()[0])

    tally = cpu.tally
    monkeypatch.setattr(cpu, "tally", lambda *args: held.append(bytes_held()) or tally(*args))
    monkeypatch.setattr(cpu, "COMPARED", (1_000, 2_000))  # rows of a tenth of the file
    monkeypatch.setattr(cpu, "PARTS", 1)
    Y, known = noisy(X), (matrix.plan(X, Settings(umap=Umap()), cpu, 1.0), 1.0)
    pt.release_pages(X)
    measure.measure_map(X, Y, None, "euclidean", cpu, known, Y)
    assert 0 < max(held) < 0.3 * X.nbytes
