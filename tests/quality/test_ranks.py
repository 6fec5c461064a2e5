"""What anchors see of all rows, against definitions and the libraries, on the CPU and in plain steps alike."""

from __future__ import annotations

from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from measures import clusters
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from gpuvis.backends import parallel, tally
from gpuvis.backends.cpu import backend as cpu
from gpuvis.quality import ranks

NAMES = {"manhattan": "cityblock"}
PRODUCTS, DEFINED = ["euclidean", "cosine", "correlation"], ["manhattan", "chebyshev", "canberra", "braycurtis"]
K = 6
kept = {name: getattr(cpu, name) for name in ("xp", "SAFE", "as_array", "to_numpy")}
plain = SimpleNamespace(
    **kept,
    COMPARED=(70, 500),
    in_parts=tally.in_parts,
    tally=partial(tally.tally, xp=np),
    cdist=partial(tally.cdist, xp=np),
)
both = pytest.mark.parametrize("backend", [cpu, plain], ids=["cpu", "plain steps"])


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    monkeypatch.setattr(cpu, "COMPARED", plain.COMPARED)  # several blocks of each
    with parallel.threads(2):
        yield


def distances(X: np.ndarray, anchors: np.ndarray, metric: str) -> np.ndarray:
    """Return the distances that `ranks.compare` takes, in double precision; no anchor is near to itself."""
    wide = X.astype(np.float64)
    D = cdist(wide[anchors], wide, {"euclidean": "sqeuclidean"}.get(metric, NAMES.get(metric, metric)))
    D[np.arange(len(anchors)), anchors] = np.inf
    return np.where(np.isnan(D), 1, D)  # of a row of zeros there is no cosine


def seen(X: np.ndarray, anchors: np.ndarray, metric: str, backend: Any, k: int = K) -> dict[str, Any]:
    """Compare anchors with all rows, and ask for the ranks of some that are drawn; return what was seen, and these."""
    draw = np.random.default_rng(5)
    ids, drawn = (draw.integers(0, len(X) - 1, (len(anchors), count)) for count in (9, 30))
    ids += ids >= anchors[:, None]
    found = {}
    for space in ranks.spaces(X, metric, anchors, 1.0, backend):
        found |= zip(space.metrics, ranks.compare(space, anchors, ids, drawn, k), strict=True)
    return {**found, "ids": ids, "drawn": drawn}


def check(X: np.ndarray, anchors: np.ndarray, metric: str, backend: Any, rtol: float = 1e-4, most: float = 2) -> None:
    """Check what is seen by a metric and by euclidean distances; in single precision ranks may be off by some."""
    found = seen(X, anchors, metric, backend)
    assert list(found) == [*dict.fromkeys(["euclidean", metric]), "ids", "drawn"]
    for name in {"euclidean", metric}:
        D = distances(X, anchors, name)
        one, least = found[name], np.sort(D, 1)[:, :K]
        assert (one.nearest != anchors[:, None]).all()
        assert all(len(set(row)) == K for row in one.nearest.tolist())
        np.testing.assert_allclose(np.take_along_axis(D, one.nearest, 1), least, rtol=rtol, atol=rtol * least.mean())
        closer = rankdata(D, "min", axis=1) - 1
        off = one.closer - np.take_along_axis(closer, found["ids"], 1)
        assert np.abs(off).max() <= (0 if one.distances.dtype == np.float64 else most)
        far, others = np.take_along_axis(D, found["drawn"], 1), found["drawn"] != anchors[:, None]
        np.testing.assert_allclose(one.distances[others], far[others], rtol=rtol, atol=rtol * far[others].mean())


@both
@pytest.mark.parametrize(
    ("metric", "rows", "columns"),
    [*product([*PRODUCTS, *DEFINED], [300], [24]), *product(PRODUCTS, [1_200], [40]), ("euclidean", 900, 2)],
)
def test_all_is_as_by_definition(backend, metric, rows, columns) -> None:
    X = clusters(rows, columns) * np.random.default_rng(1).uniform(0.5, 2, (rows, 1)).astype(np.float32) + 0.2
    for anchors in (np.arange(rows), np.arange(3, rows, 7)):
        check(X, anchors, metric, backend)


@both
@pytest.mark.parametrize("metric", PRODUCTS)
def test_rows_far_from_zero_lose_no_digit_that_they_have(backend, metric) -> None:
    X = clusters(1_200, 40) + np.float32({"euclidean": 1e3, "cosine": 30, "correlation": 30}[metric])
    check(X, np.arange(3, 1_200, 7), metric, backend, 1e-3)


@both
@pytest.mark.parametrize("away", [0, 100])
@pytest.mark.parametrize("row", [17, 18])
def test_a_row_that_is_far_from_all_others_costs_them_no_digit(backend, away, row) -> None:
    """Whether it is an anchor or not."""
    X = clusters(1_200, 40) + np.float32(away)
    X[row] = 1e5
    others = np.setdiff1d(np.arange(3, 1_200, 7), row)
    for anchors in (others, np.union1d(others, row)):
        found, D = seen(X, anchors, "euclidean", backend), distances(X, anchors, "euclidean")
        one, some = found["euclidean"], anchors != row
        least = np.sort(D[some], 1)[:, :K]
        np.testing.assert_allclose(np.take_along_axis(D, one.nearest, 1)[some], least, rtol=1e-3)
        closer = np.take_along_axis(rankdata(D, "min", axis=1) - 1, found["ids"], 1)
        assert np.abs(one.closer - closer)[some].max() <= 4


@both
@pytest.mark.parametrize("metric", PRODUCTS)
@pytest.mark.parametrize("apart", [3, 1_000])
def test_tight_groups_that_are_far_apart_are_seen_in_double_precision(backend, apart, metric) -> None:
    """Where single precision cannot tell the rows of a group."""
    draw = np.random.default_rng(0)
    X = apart * draw.standard_normal((10, 40))[draw.integers(0, 10, 1_200)] + draw.standard_normal((1_200, 40))
    X, anchors = X.astype(np.float32), np.arange(3, 1_200, 7)
    assert (seen(X, anchors, metric, backend)[metric].distances.dtype == np.float64) == (apart == 1_000)
    check(X, anchors, metric, backend)


@both
@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_rows_of_any_type(backend, kind) -> None:
    X = clusters(1_200, 30).astype(kind)
    check(X.astype(np.float32), np.arange(0, 1_200, 5), "cosine", backend)
    one, same = (seen(rows, np.arange(0, 1_200, 5), "cosine", backend) for rows in (X, X.astype(np.float32)))
    for name in ("euclidean", "cosine"):
        for a, b in zip(one[name], same[name], strict=True):
            np.testing.assert_array_equal(a, b)


@both
@pytest.mark.parametrize("precise", [True, False])
@pytest.mark.parametrize("metric", [*PRODUCTS, *DEFINED])
def test_equal_rows_are_equally_near_and_share_the_lowest_rank(backend, precise, metric) -> None:
    different = np.random.default_rng(0).standard_normal((60, 33)).astype(np.float32)
    X = np.tile(different, (20, 1))
    anchors = np.arange(len(X)) if precise else np.arange(0, len(X), 11)
    found = seen(X, anchors, metric, backend)
    far = distances(different, np.arange(60), metric)
    far[np.arange(60), np.arange(60)] = -1
    closer = 20 * (rankdata(far, "min", axis=1) - 1) - 1  # itself is not counted
    expected = np.maximum(closer[anchors[:, None] % 60, found["ids"] % 60], 0)
    np.testing.assert_array_equal(found[metric].closer, expected)
    assert (found[metric].nearest % 60 == anchors[:, None] % 60).all()


@both
@pytest.mark.parametrize("metric", PRODUCTS)
@pytest.mark.parametrize("rare", [0, 3.3, None], ids=["zeros", "constant", "all equal"])
def test_rows_that_are_as_far_from_all_have_neighbours(backend, rare, metric) -> None:
    X = np.random.default_rng(0).standard_normal((600, 40)).astype(np.float32)
    X[:: 1 if rare is None else 9] = 1 if rare is None else rare
    for anchors in (np.arange(600), np.arange(0, 600, 3)):
        found = seen(X, anchors, metric, backend)[metric]
        assert ((found.nearest >= 0) & (found.nearest != anchors[:, None])).all()
        if rare is None:
            assert (found.closer == 0).all()
        elif rare == 0 and metric != "euclidean":
            np.testing.assert_allclose(found.distances[X[anchors].any(1) == 0], 1)


def test_short_rows_beside_long_ones_have_neighbours() -> None:
    """Rounding turns them more than others."""
    draw = np.random.default_rng(0)
    X, turned = draw.normal(1, 0.1, (6_000, 256)), draw.standard_normal((75, 256))
    turned /= np.linalg.norm(turned, axis=1)[:, None]
    X[::2] = 0.08 * (turned[draw.integers(0, 75, 3_000)] + 1e-4 * draw.standard_normal((3_000, 256)))
    X, anchors = X.astype(np.float32), np.arange(0, 6_000, 13)
    near, D = seen(X, anchors, "cosine", cpu)["cosine"].nearest, distances(X, anchors, "cosine")
    np.testing.assert_allclose(np.take_along_axis(D, near, 1), np.sort(D, 1)[:, :K], atol=1e-6)


@both
def test_fewer_rows_than_a_block_and_no_neighbours_asked_for(backend) -> None:
    X, none = clusters(5, 3), np.empty((5, 0), np.int64)
    space = ranks.Space(X, ("euclidean",), backend, 1.0, precise=True)
    (found,) = ranks.compare(space, np.arange(5), none, none, 4)
    np.testing.assert_array_equal(found.nearest, distances(X, np.arange(5), "euclidean").argsort(1)[:, :4])
    (found,) = ranks.compare(space, np.arange(5), found.nearest, none, 0)
    np.testing.assert_array_equal(found.closer, np.tile(np.arange(4), (5, 1)))


def test_nothing_depends_on_threads() -> None:
    X, found = clusters(2_500, 40) + 0.2, []
    for count in (1, 2, 5):
        with parallel.threads(count):
            found.append(seen(X, np.arange(0, 2_500, 3), "cosine", cpu))
    for name in ("euclidean", "cosine"):
        for one, *others in zip(*(of[name] for of in found), strict=True):
            for other in others:
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("limits", [0, 1, 4, 9])
@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("rows", [1, 3, 700])
def test_the_loop_takes_distances_in_as_plain_steps_do(kind, limits, k, rows) -> None:
    draw, told = np.random.default_rng(0), []
    least = draw.random((90, limits)).astype(kind)
    for take in (cpu.tally, plain.tally):
        found = np.zeros((90, limits), np.int64), np.full((90, k), np.inf, kind), np.full((90, k), -1, np.int32)
        for base, seed in ((0, 1), (rows, 2), (2 * rows, 3)):
            values = np.random.default_rng(seed).random((90, rows)).astype(kind)
            values[:, rows // 2] = np.inf
            take(values, base, least, *found)
        told.append(found)
    for one, same in zip(*told, strict=True):
        np.testing.assert_array_equal(one, same)
    assert limits == 0 or rows < 700 or told[0][0].any()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["sqeuclidean", *DEFINED])
def test_distances_in_plain_steps_are_those_of_scipy(monkeypatch, metric, kind) -> None:
    monkeypatch.setattr(tally, "MAX_DIFFERENCES", 100_000)
    draw = np.random.default_rng(0)
    A, B = draw.standard_normal((7, 300)).astype(kind), draw.standard_normal((601, 300)).astype(kind)
    found = tally.cdist(A, B, metric, np)
    assert found.dtype == kind
    for one in (found, cpu.cdist(A, B, metric)):
        np.testing.assert_allclose(one, cdist(A, B, NAMES.get(metric, metric)), rtol=64 * np.finfo(kind).eps)
    pair, zeros = np.ones((2, 4), kind) * np.array([[1], [-1]], kind), np.zeros((3, 4), kind)
    for by in (cpu.cdist, plain.cdist):
        assert (by(zeros, zeros, metric) == 0).all()
        assert np.isfinite(by(pair, pair, metric)).all()
