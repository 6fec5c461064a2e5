"""Which samples sit badly with their label: against direct computations, and on whatever labels there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from measures import digits
from rapids_double.fixtures import rapids
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import cosine_distances

from gpuvis.backends import choose, matrix
from gpuvis.backends.cpu import backend as cpu
from gpuvis.errors import DataError
from gpuvis.labels import centroids, classes, duplicates, outliers, votes
from gpuvis.labels import tables as score_tables

ROUNDING = cpu.ROUNDING

__all__ = ["rapids"]


def measured(X: Any, codes: np.ndarray, backend: Any = cpu) -> outliers.Outliers:
    largest = float(np.abs(np.asarray(X)).max())
    plan = matrix.plan(X, outliers.search(), backend, largest)
    with backend.working(plan):
        return outliers.measure(X, codes, backend, (plan, largest))


def data(rows: int = 300, columns: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three classes that overlap, and their classes."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, 3, rows)
    return (np.eye(3, columns)[codes] * 3 + draw.standard_normal((rows, columns)) + 1).astype(np.float32), codes


def tables(X: np.ndarray, codes: np.ndarray, names: list[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables of samples that have a name each, or all the same."""
    files = names or [f"{k:03d}.png" for k in range(len(X))]
    numbers = ["" if code < 0 else str(code) for code in codes]
    table = pd.DataFrame({"file_name": files, "ground_truth_num_label": numbers}, dtype="str")
    found = measured(X, codes)
    return score_tables.of_centroids(table, classes.of(table), found), score_tables.of_neighbors(
        table, classes.of(table), found
    )


def direct(X: np.ndarray, codes: np.ndarray) -> pd.DataFrame:
    """What `scores_centroid.csv` is to hold, computed by its definition."""
    X = X.astype(np.float64)
    U = X / np.where(X.any(1), np.linalg.norm(X, axis=1), 1)[:, None]
    mean = {code: U[codes == code].mean(0) for code in np.unique(codes)}
    sims = [
        u @ mean[code] / np.linalg.norm(mean[code]) if u.any() else np.nan for u, code in zip(U, codes, strict=True)
    ]
    frame = pd.DataFrame({"label": codes, "sim_to_centroid": sims})
    frame["outlier_score"] = 1 - frame["sim_to_centroid"]
    groups = frame.groupby("label")
    frame["class_size"] = groups["label"].transform("size")
    frame["rank_in_class"] = (
        groups["outlier_score"].rank(method="first", ascending=False, na_option="bottom").astype(int)
    )
    frame["pct_rank_in_class"] = frame["rank_in_class"] / frame["class_size"]
    frame["is_bottom_5pct"] = frame["sim_to_centroid"] <= groups["sim_to_centroid"].transform(
        lambda sim: sim.quantile(0.05)
    )
    return frame


def test_centroid_scores_are_those_of_the_contract() -> None:
    X, codes = data()
    X[[4, 9]] = 0  # without a direction
    codes[:2], codes[2] = 7, 8  # a class of two, and a sample alone
    codes[codes == 7] = 3
    codes[2] = 4
    found, _ = tables(X, codes)
    expected = direct(X, codes)
    assert list(found.columns) == [
        *("file_name", "ground_truth_num_label", "ground_truth_word_label", "ground_truth_L2_num_label"),
        *("sim_to_centroid", "outlier_score", "class_size", "rank_in_class", "pct_rank_in_class", "is_bottom_5pct"),
    ]
    back = found.sort_index()
    for name in ("sim_to_centroid", "outlier_score", "pct_rank_in_class"):
        np.testing.assert_allclose(back[name], expected[name], atol=1e-9)
    for name in ("class_size", "rank_in_class"):
        assert back[name].tolist() == expected[name].tolist()
    assert back["is_bottom_5pct"].tolist() == expected["is_bottom_5pct"].map(str).tolist()
    assert found["outlier_score"].isna().tolist() == [False] * 298 + [True] * 2
    assert found["outlier_score"].dropna().is_monotonic_decreasing
    assert back["sim_to_centroid"][2] == pytest.approx(1)


def test_ties_are_ranked_by_row_and_sorted_by_label_and_name() -> None:
    X = np.repeat(np.float32([[1, 0, 0], [0, 1, 0]]), 4, 0)
    codes = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    found, _ = tables(X, codes, list("hgfedcba"))
    assert found["file_name"].tolist() == list("bdfhaceg")
    assert found.sort_index()["rank_in_class"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert found["outlier_score"].nunique() == 1


def test_labels_sort_as_numbers() -> None:
    table = pd.DataFrame({"ground_truth_num_label": ["10", "9", "", "-1", "10"]}, dtype="str")
    found = classes.of(table)
    assert found.names == ["-1", "9", "10"]
    assert found.codes.tolist() == [2, 1, -1, 0, 2]


def test_labels_of_19_digits_sort_exactly() -> None:
    names = ["-1000000000000000002", "-1000000000000000001", "1000000000000000001", "1000000000000000002", "inf", "nan"]
    found = classes.of(pd.DataFrame({"ground_truth_num_label": names[::-1]}, dtype="str"))
    assert found.names == names
    assert found.codes.tolist() == [5, 4, 3, 2, 1, 0]


def test_without_numbers_labels_are_those_of_the_file_or_words() -> None:
    table = pd.DataFrame({"ground_truth_num_label": ["", ""], "ground_truth_word_label": ["bog", ""]}, dtype="str")
    assert classes.of(table).names == ["bog"]
    assert classes.of(table).codes.tolist() == [0, -1]
    assert classes.of(table, torch.tensor([7, 12])).names == ["7", "12"]
    assert classes.of(table, torch.tensor([7, 12])).words == ["bog", ""]
    assert classes.of(table, torch.tensor([7, 12])).numbers == ["7", "12"]
    assert classes.of(table).numbers == [""]
    assert classes.of(table.assign(ground_truth_word_label="")).codes.tolist() == [-1, -1]


def test_similarities_without_the_row_itself_and_to_other_classes() -> None:
    X, codes = data()
    codes[5] = -1
    found = centroids.measure(X, codes, 1.0, cpu)
    X = X.astype(np.float64)
    U = X / np.linalg.norm(X, axis=1, keepdims=True)
    for i in (0, 17, 299):
        others = (codes == codes[i]) & (np.arange(300) != i)
        mean = U[others].mean(0)
        assert found.without[i] == pytest.approx(U[i] @ mean / np.linalg.norm(mean), abs=1e-9)
        rest = {c: U[codes == c].mean(0) for c in range(3) if c != codes[i]}
        sims = {c: U[i] @ m / np.linalg.norm(m) for c, m in rest.items()}
        assert found.nearest[i] == max(sims, key=lambda c: sims[c])
        assert found.other[i] == pytest.approx(max(sims.values()), abs=1e-6)
    assert np.isnan(found.own[5])
    assert found.nearest[5] >= 0


def test_centroids_do_not_depend_on_the_blocks(monkeypatch) -> None:
    X, codes = data(3_000)
    whole = centroids.measure(X, codes, 1.0, cpu)
    monkeypatch.setattr(centroids, "PRODUCTS", 100)
    pieces = centroids.measure(X, codes, 1.0, cpu)
    np.testing.assert_allclose(pieces.own, whole.own, atol=1e-12)
    np.testing.assert_allclose(pieces.other, whole.other, atol=1e-6)
    assert pieces.nearest.tolist() == whole.nearest.tolist()


def plainly(near: np.ndarray, far: np.ndarray, codes: np.ndarray) -> list[tuple[float, int, bool, float]]:
    """The votes of each row, by their definition."""
    told = []
    for i, own in enumerate(codes):
        d = [float(value) if value > ROUNDING else 0.0 for value in far[i]]
        by: dict[int, list[float]] = {}
        for j, row in enumerate(near[i]):
            if row != i and codes[row] >= 0 and d[-1] - d[j] > 1e-6 * d[-1] + ROUNDING:
                by.setdefault(int(codes[row]), []).append(d[j])
        size = int((codes == own).sum()) if own >= 0 else 0

        def distance(code: int, voters: int, by: Any = by, d: Any = d) -> float:
            return float(np.mean([*by.get(code, []), *[d[-1]] * voters][:voters]))

        to_own = distance(own, int(np.clip(round((max(size, 1) - 1) ** 0.5), 1, 5)))
        others = {code: distance(code, 5) for code in by if code != own}
        best = min(others, key=lambda code: (round(others[code], 9), code), default=-1)
        to_other = others.get(best, d[-1])
        known = size > 1
        voted = sum(map(len, by.values()))
        differs = sum(len(values) for code, values in by.items() if code != own)
        told.append(
            (
                (to_own / (to_own + to_other) if to_own + to_other else 0.5) if known else np.nan,
                best,
                known and best >= 0 and len(by[best]) >= 3 and to_own > (to_other + d[-1]) / 2,
                differs / voted if own >= 0 and voted else np.nan,
            )
        )
    return told


@pytest.mark.parametrize("kind", ["plain", "some without label", "small classes", "equal rows"])
def test_votes_are_those_of_their_definition(kind, monkeypatch) -> None:
    monkeypatch.setattr(votes, "BLOCK", 37)
    X, codes = data(200, seed=3)
    if kind == "some without label":
        codes[::3] = -1
    elif kind == "small classes":
        codes[:6] = [5, 6, 6, 7, 7, 7]
    elif kind == "equal rows":
        X = np.repeat(X[:20], 10, 0)
        codes = np.repeat(codes[:20], 10)
        codes[::10] = 1
    D = cosine_distances(X.astype(np.float64))
    np.fill_diagonal(D, np.inf)
    near = D.argsort(1, kind="stable")[:, :20]
    far = np.take_along_axis(D, near, 1)
    found = votes.of(near, far, codes, ROUNDING)
    suspicion, suggested, suspect, disagreement = map(list, zip(*plainly(near, far, codes), strict=True))
    np.testing.assert_allclose(found.suspicion, suspicion, atol=1e-9)
    assert found.suggested.tolist() == suggested
    assert found.suspect.tolist() == suspect
    np.testing.assert_allclose(found.disagreement, disagreement)


def test_the_order_of_rows_says_nothing_of_labels() -> None:
    draw = np.random.default_rng(0)
    X, codes = data(200, seed=5)
    X[:60] = np.repeat(X[:2], 30, 0)  # more equal rows than neighbours are looked at
    X[60:100] = np.repeat(X[60:64], 10, 0)
    X[100:103] = 0
    codes[::9] = -1
    X[103:115], codes[103:115] = X[103], [2] * 5 + [1] * 6 + [0]  # to the last, two classes are as near
    first, order = measured(X, codes).votes, draw.permutation(200)
    again = measured(X[order], codes[order]).votes
    np.testing.assert_allclose(again.suspicion, first.suspicion[order], atol=1e-9)
    np.testing.assert_allclose(again.disagreement, first.disagreement[order], atol=1e-9)
    assert first.suggested[114] == 1
    assert again.suggested.tolist() == first.suggested[order].tolist()
    assert again.suspect.tolist() == first.suspect[order].tolist()


@pytest.mark.parametrize("codes", [np.arange(40) % 2, np.arange(40) // 20], ids=["mixed", "sorted"])
@pytest.mark.parametrize("scales", [np.ones(40), np.linspace(0.3, 3, 40)], ids=["equal", "of one direction"])
def test_of_equal_rows_no_label_is_suspicious(scales, codes) -> None:
    X = (np.random.default_rng(0).standard_normal(37) * scales[:, None]).astype(np.float32)
    _, found = tables(X, codes)
    assert set(found["suspicion"]) == {0.5}
    assert set(found["suggested_num_label"]) == set(found["suspect"]) == {""}
    assert found["disagreement"].isna().all()
    assert score_tables.worst(found, 20) == []


def test_a_row_of_zeros_is_near_to_nothing() -> None:
    X, codes = data()
    X[[7, 8]], codes[7], codes[8] = 0, 2, 1
    found = tables(X, codes)[1].set_index("row").loc[7]
    known = {"file_name", "ground_truth_num_label", "duplicates", "duplicates_other_label"}
    told = {name for name, value in found.items() if not pd.isna(value) and value != ""}
    assert told == known
    assert found["duplicates_other_label"] == 1


def test_what_depends_on_a_label_is_blank_without_one() -> None:
    X, codes = data()
    X[1], X[2] = X[0], X[0] * 1.001
    codes[:4] = [-1, -1, 0, 3]  # the last is alone in its class
    _, found = tables(X, codes)
    back = found.set_index("row")
    of_labels = ["disagreement", "near_duplicates_other_label", "duplicates_other_label"]
    assert back.loc[[0, 1, 3], "suspicion"].isna().all()
    assert back.loc[[0, 1], of_labels].isna().all(axis=None)
    assert back.loc[[2, 3], of_labels].notna().all(axis=None)
    assert back.loc[[0, 1], ["near_duplicates", "duplicates"]].to_numpy().tolist() == [[2, 1], [2, 1]]
    assert not {0, 1, 3} & {one["row"] for one in score_tables.worst(found, 300)}


def test_flipped_labels_of_digits_are_found() -> None:
    X, labels = digits(), load_digits().target.astype(np.int64)
    draw = np.random.default_rng(0)
    flipped = draw.choice(len(X), 90, replace=False)
    codes = labels.copy()
    codes[flipped] = (codes[flipped] + draw.integers(1, 10, 90)) % 10
    found = measured(X, codes)
    worst = np.argsort(-found.votes.suspicion)[:90]
    assert len(np.intersect1d(worst, flipped)) >= 86
    assert np.mean(found.votes.suggested[flipped] == labels[flipped]) > 0.95
    assert np.intersect1d(np.flatnonzero(found.votes.suspect), flipped).size >= 86
    assert found.votes.suspect.sum() < 110


def test_duplicates_and_near_duplicates_are_counted_by_label() -> None:
    X, codes = data()
    X[10], codes[10], codes[3] = X[3], 1, 0  # equal, with another label
    X[11], codes[11], codes[4] = X[4] * 1.001, codes[4], 2  # as good as equal: of the same direction
    codes[11] = 2
    found = measured(X, codes)
    assert (found.duplicates[[3, 10]].tolist(), found.duplicates_other_label[[3, 10]].tolist()) == ([1, 1], [1, 1])
    assert found.duplicates.sum() == 2
    assert found.near_duplicate_row[[3, 10, 4, 11]].tolist() == [10, 3, 11, 4]
    assert found.near_duplicates_other_label[[3, 10, 4, 11]].tolist() == [1, 1, 0, 0]
    assert found.near_duplicates.sum() == 4
    assert found.counts() == {
        "suspects": int(found.votes.suspect.sum()),
        "near_duplicates": 4,
        "near_duplicates_other_label": 2,
        "duplicates": 2,
        "duplicates_other_label": 2,
    }


@pytest.mark.parametrize("copied", [0, 100, 170])
def test_near_duplicates_are_found_however_many_rows_are_copies(copied) -> None:
    X, codes = data(340)
    X[170 : 170 + copied], codes[170 : 170 + copied] = X[:copied], codes[:copied]
    pairs, near = np.arange(150, 170), X[150:170] + np.float32(1e-3) * data(20, seed=1)[0]
    X, codes = np.vstack([X, near]), np.concatenate([codes, (codes[pairs] + 1) % 3])
    found = measured(X, codes)
    assert (found.near_duplicates_other_label[pairs] > 0).all()
    assert (found.near_duplicates_other_label[340:] > 0).all()
    assert found.counts()["near_duplicates"] == 2 * copied + 20 + 20 * (copied < 170)


def test_a_label_among_many_near_duplicates_is_told_to_all_of_them() -> None:
    draw, (X, codes) = np.random.default_rng(0), data()
    X[:60] = X[0] + 1e-3 * draw.standard_normal((60, 20))
    codes[:60], codes[41] = 0, 1
    found = measured(X, codes)
    assert set(found.near_duplicates[:60]) == {59}
    assert found.near_duplicates_other_label[:60].tolist() == [1] * 41 + [59] + [1] * 18
    assert set(np.delete(found.near_duplicate_row[:60], 41)) == {41}
    D = cosine_distances(X[41:42].astype(np.float64), X.astype(np.float64))[0]
    assert found.near_duplicate_row[41] == D.argsort()[1]  # the first is the row itself
    assert found.near_duplicates[60:].sum() == 0


def test_groups_are_what_close_rows_hold_together() -> None:
    near = np.array([[1, 5], [2, 4], [0, 3], [4, 5], [3, 5], [3, 4], [0, 1]])
    close = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 0]], bool)
    groups = duplicates.joined(np.array([7, 8, 9, 10, 11, 12, 8]), near, close)
    assert [set(np.flatnonzero(groups == one)) for one in groups[[0, 3, 4]]] == [{0, 1, 2, 6}, {3}, {4, 5}]
    codes = np.array([0, -1, 1, 2, 2, 2, 1])
    many, unlike = duplicates.counts(groups, codes)
    assert (many.tolist(), unlike.tolist()) == ([3, 3, 3, 0, 1, 1, 3], [2, -1, 1, 0, 0, 0, 1])
    assert duplicates.another(groups, codes).tolist() == [2, -1, 0, -1, -1, -1, 0]
    assert duplicates.another(groups, np.arange(7)).tolist() == [1, 0, 0, -1, 5, 4, 0]


def test_equal_sums_are_not_taken_for_equal_rows(monkeypatch) -> None:
    X, _ = data()
    X[[5, 200]] = X[100]
    X[[7, 8]] = 0
    X[8, 0] = -0.0
    expected = np.unique(X + 0, axis=0, return_inverse=True)[1].ravel()
    same = expected[:, None] == expected[None]
    for factors in (None, np.zeros(20, np.uint64)):
        if factors is not None:
            monkeypatch.setattr(duplicates, "_factors", lambda columns: np.zeros(columns, np.uint64))
        found = duplicates.groups(X)
        if factors is None:
            assert ((found[:, None] == found[None]) == same).all()
        else:
            assert not ((found[:, None] == found[None]) & ~same).any()


@pytest.mark.parametrize(
    ("X", "codes"),
    [
        (np.ones((40, 3)), np.arange(40) % 2),
        (np.ones((40, 3)), np.zeros(40, int)),
        (np.zeros((40, 3)), np.arange(40) % 2),
        (np.random.default_rng(0).standard_normal((40, 3)), np.full(40, -1)),
        (np.random.default_rng(0).standard_normal((40, 3)), np.arange(40)),
        (np.random.default_rng(0).standard_normal((40, 3)), np.arange(40) // 2),
        (np.random.default_rng(0).standard_normal((5, 1)), np.array([0, 0, 1, 1, -1])),
        (np.vstack([np.eye(20, 3), -np.eye(20, 3)]), np.arange(40) % 20),
    ],
    ids=["equal", "one class", "zeros", "no labels", "classes of one", "classes of two", "few", "opposite"],
)
def test_whatever_the_labels_only_what_is_not_known_is_blank(X, codes) -> None:
    X = X.astype(np.float32)
    centroid, neighbors = tables(X, codes)
    assert len(centroid) == len(neighbors) == len(X)
    known = X.any(1) & (codes >= 0)
    assert centroid.sort_index()["sim_to_centroid"].notna().tolist() == known.tolist()
    counts = np.bincount(codes[known], minlength=1)
    alone = np.array([not k or counts[code] < 2 for k, code in zip(known, codes, strict=True)])
    back = neighbors.sort_index()
    assert back["sim_to_centroid_without"].isna().tolist() == alone.tolist()
    others = X.any(1) & np.array([len(set(codes[codes >= 0]) - {code}) > 0 for code in codes])
    assert back["sim_to_nearest_other"].notna().tolist() == others.tolist()
    assert back["suspicion"].notna().tolist() == [not one for one in alone]
    assert back["suspicion"].dropna().between(0, 1).all()
    assert back["isolation"].notna().tolist() == X.any(1).tolist()
    assert not (back["suspect"][alone] != "").any()


def test_labels_that_are_no_classes_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(outliers, "MOST_CLASSES", 30)
    X, _ = data(40)
    with pytest.raises(DataError, match="40 different labels in 40 rows; expected classes, 30 at most"):
        measured(X, np.arange(40))


def test_neither_scale_nor_type_matters() -> None:
    X, codes = data()
    first = measured(X, codes)
    for other in (X * np.float32(1e-20), X * np.float32(1e20), torch.from_numpy(X), torch.from_numpy(X).double()):
        again = measured(other, codes)
        np.testing.assert_allclose(again.similarities.own, first.similarities.own, atol=1e-6)
        np.testing.assert_allclose(again.votes.suspicion, first.votes.suspicion, atol=1e-5)


def test_the_gpu_backend_gives_the_same(rapids) -> None:
    X, codes = data(600)
    codes[::7] = -1
    X[3] = 0
    gpu, _ = choose("gpu")
    found, same = measured(torch.from_numpy(X), codes, gpu), measured(X, codes)
    for name in ("own", "without", "other"):
        np.testing.assert_allclose(getattr(found.similarities, name), getattr(same.similarities, name), atol=1e-6)
    assert found.similarities.nearest.tolist() == same.similarities.nearest.tolist()
    np.testing.assert_allclose(found.votes.suspicion, same.votes.suspicion, atol=1e-4)
    np.testing.assert_allclose(found.isolation, same.isolation, atol=1e-5)
    assert found.duplicates.tolist() == same.duplicates.tolist()
