"""What maps are judged by, against the libraries and plain steps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from gpuvis.backends import boxes, compiled, cpu, halves, outline, parallel, products, ranks
from gpuvis.backends.ranks_anywhere import PlainRanks

PLAIN = PlainRanks(np)


def maps(rows: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    blob = draw.standard_normal((rows, 2))
    islands = blob / 50 + draw.integers(0, 9, (rows, 1)) * [3.0, -1.0]
    line, grid = np.stack([np.arange(rows), np.zeros(rows)], 1), np.round(blob * 3)
    named = {"blob": blob, "islands": islands, "line": line, "grid": grid, "one place": np.ones((rows, 2))}
    return {name: np.ascontiguousarray(Y, np.float32) for name, Y in named.items()}


@pytest.fixture(autouse=True)
def threads():
    with parallel.threads(2):
        yield


@pytest.mark.parametrize("name", maps(5))
@pytest.mark.parametrize("rows", [17, 64, 65, 9_000])
def test_points_near_on_a_map_are_those_of_a_tree(rows, name) -> None:
    Y, k = maps(rows)[name], 7
    anchors = np.unique(np.random.default_rng(1).integers(0, rows, 200))
    near = boxes.nearest_on_map(boxes.boxed(Y), anchors, k)
    far = np.linalg.norm(Y[near] - Y[anchors][:, None], axis=2)
    np.testing.assert_allclose(far, cKDTree(Y).query(Y[anchors], k + 1)[0][:, 1:], rtol=1e-5, atol=1e-6)
    assert (near != anchors[:, None]).all()
    assert all(len(set(row)) == k for row in near)


@pytest.mark.parametrize("name", maps(5))
def test_points_closer_on_a_map_are_counted_as_one_by_one(monkeypatch, name) -> None:
    monkeypatch.setattr(compiled, "EVERY", 1)
    Y, anchors = maps(9_000)[name], np.arange(0, 9_000, 90)
    limits = np.random.default_rng(1).uniform(0, 40, (100, 6)).astype(np.float32) ** 2 / 20
    limits[:, 0] = 0
    found = boxes.closer_on_map(boxes.boxed(Y), anchors, limits)
    np.testing.assert_array_equal(found, PLAIN.closer_on_map(Y, anchors, limits))


@pytest.mark.parametrize("name", maps(5))
@pytest.mark.parametrize("rows", [3, 9_000])
def test_points_closer_on_a_map_are_told_by_every_seventh(rows, name) -> None:
    """By all of them, where all are anchors."""
    Y, draw = maps(rows)[name], np.random.default_rng(1)
    anchors, limits = np.arange(0, rows, 1 + rows // 700), draw.uniform(0, 40, (rows, 6)).astype(np.float32) ** 2 / 20
    limits[:, 0] = 0
    found = boxes.closer_on_map(boxes.boxed(Y), anchors, limits[anchors])
    exact = PLAIN.closer_on_map(Y, anchors, limits[anchors])
    off, most = np.abs(found - exact), 3 * np.sqrt(compiled.EVERY * exact)
    assert (off <= (most if rows > 3 else 0)).mean() > 0.99
    assert (off.mean(0) > 0).any() == (rows > 3)
    assert (np.abs((found - exact).mean(0)) <= most.mean(0) / len(anchors) ** 0.5).all()


@pytest.mark.parametrize("stored", [np.float32, np.float16])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("centred", [False, True])
def test_rows_are_moved_and_multiplied_as_in_plain_steps(stored, kind, centred) -> None:
    draw = np.random.default_rng(0)
    X, A = draw.standard_normal((300, 50)).astype(stored), draw.standard_normal((300, 50)).astype(np.float32)
    middle, (which, ids), near = X.mean(0).astype(kind), draw.integers(0, 300, (2, 200)), {"rtol": 2e-5, "atol": 2e-5}
    for found, plain in (
        (products.moved(X, middle, centred), PLAIN.moved(X, middle, centred)),
        (
            products.paired(A.astype(kind), which, X, ids, middle, centred),
            PLAIN.paired(A.astype(kind), which, X, ids, middle, centred),
        ),
        ([products.products(A, A)], [PLAIN.products(A, A)]),
    ):
        for one, other in zip(found, plain, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, **near)


def test_every_value_of_half_precision_is_widened_as_by_numpy() -> None:
    X = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    for some in (X, X[::2, 3:], X.astype(">f2")):
        np.testing.assert_array_equal(cpu.as_array(some), some.astype(np.float32))
        assert cpu.as_array(some).flags.c_contiguous
    whole = X.astype(np.float32)
    assert halves.widened(whole) is whole


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_rows_that_lie_in_a_file_need_no_kernels_of_their_own(kind) -> None:
    rows = np.ones((3, 4), kind)
    in_a_file = rows.copy()
    in_a_file.flags.writeable = False
    one, other = halves.coded(rows)[0], halves.coded(in_a_file)[0]
    assert compiled.numba.typeof(one) == compiled.numba.typeof(other)
    assert rows.flags.writeable


def tallied(X: np.ndarray, limits: np.ndarray, which: object, k: int = 5, known: int = 1_000):
    """Count, from the first rows, those below limits, by euclidean distances; `known`: of how many all is known."""
    squares, m = (X * X).sum(1), limits.shape[1]
    pool = np.arange(0, len(X), 6)
    away = squares[pool] - 2 * X[:m] @ X[pool].T
    away[pool[None] == np.arange(m)[:, None]] = np.inf
    pieces = ((s, X[s : s + 700], squares[None, s : s + 700]) for s in range(0, len(X), 700))
    blocks = ((start, rows, shift, 0 * shift - 2) for start, rows, shift in pieces)
    own, far = (np.arange(m), np.zeros((1, m), np.float32)), np.sort(away, 1)[None, :, k - 1, None] + np.float32(1e-3)
    return which.tally(X[:m], blocks, own, limits, np.repeat(far, k, 2), (pool[:known], away[None, :, :known]), None)


@pytest.mark.parametrize("size", [1e-12, 1, 1e12])  # as far as values go, whose squares would overflow
@pytest.mark.parametrize("shape", [(300, 64), (200, 600)])
def test_axes_are_at_right_angles(shape, size) -> None:
    draw = np.random.default_rng(0)
    A = draw.standard_normal((5, shape[1]))[draw.integers(0, 5, shape[0])] + 1e-3 * draw.standard_normal(shape)
    axes = outline.axes_of((size * A).astype(np.float32)).astype(np.float64)
    assert 5 <= axes.shape[1] <= max(5, min(shape) // outline.FEWEST)
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=4e-6)


def test_axes_of_rows_that_tell_nothing() -> None:
    """Where all rows are the mean any axes will do; where all directions tell as much, none do."""
    assert np.isfinite(outline.axes_of(np.zeros((300, 64), np.float32))).all()
    assert outline.axes_of(np.eye(64, dtype=np.float32)).shape == (64, 0)


def test_what_axes_hide_is_known_of_a_sample_and_made_good(monkeypatch) -> None:
    """Classes far from each other fill the axes, and ranks in a class are by what is not seen along them."""
    draw, m, sizes = np.random.default_rng(0), 400, 1 / np.arange(1, 257)
    X = 3 * draw.standard_normal((10, 256))[draw.integers(0, 10, 6_000)] + draw.standard_normal((6_000, 256))
    X = (sizes * (X - X.mean(0))).astype(np.float32)
    monkeypatch.setattr(outline, "FEWEST", 100)  # more of them would see it
    monkeypatch.setattr(compiled, "EVERY", 1)
    assert 0 < outline.axes_of(X[:m]).shape[1] <= 10
    away = np.sort((X * X).sum(1) - 2 * X[:m] @ X.T, axis=1)  # the first is the row itself
    limits = away[None, :, [4, 41, 121, 301]] - np.float32(1e-4)  # as rounding may be
    closer, near, _ = tallied(X, limits, ranks)
    exact, same, _ = tallied(X, limits, PLAIN)
    blind = tallied(X, limits, ranks, known=0)[0]
    assert (near == same).mean() > 0.99  # some are as near as others but for rounding
    assert (closer[:, :, 0] == exact[:, :, 0]).mean() > 0.99
    assert closer.mean((0, 1)) == pytest.approx(exact.mean((0, 1)), rel=0.02)
    assert blind[:, :, 2].mean() < 0.9 * exact[:, :, 2].mean()


@pytest.mark.parametrize("every", [compiled.EVERY, compiled.SELDOM])
@pytest.mark.parametrize("order", ["as drawn", "by class", "by distance", "alike"])
def test_one_row_in_every_few_tells_how_many_there_are(monkeypatch, order, every) -> None:
    """In whatever order they are; of one anchor about, of all together closely."""
    monkeypatch.setattr(compiled, "EVERY", every)
    draw, m, rows = np.random.default_rng(0), 400, 400 + every * (20_400 // every)
    labels = draw.integers(0, 10, rows)
    X = (3 * draw.standard_normal((10, 16))[labels] + draw.standard_normal((rows, 16))).astype(np.float32)
    by = {"as drawn": labels * 0, "by distance": (X * X).sum(1)}.get(order, labels)
    after = m + np.argsort(by[m:], kind="stable")
    if order == "alike":  # those that are counted together
        after = after.reshape(every, -1).T.ravel()
    X = np.concatenate([X[:m], X[after]])
    away = np.sort((X * X).sum(1) - 2 * X[:m] @ X.T, axis=1)
    limits = away[None, :, [101, 1_001, 5_001]] + np.float32(1e-3)
    closer, exact = (tallied(X, limits, which)[0][0] for which in (ranks, PLAIN))
    off, spread = closer - exact, np.sqrt((every - 1) * exact)  # if each row were counted or not by itself
    uneven = order == "alike"
    assert (off != 0).mean() > 0.9
    assert (np.abs(off) < 6 * spread).all() or uneven
    assert (np.abs(off.mean(0)) < (6 if uneven else 3) * spread.mean(0) / m**0.5).all()
    precise = tallied(X.astype(np.float64), limits.astype(np.float64), ranks)[0][0]
    np.testing.assert_allclose(precise, exact, atol=1)  # rounding may move a row across a limit


def test_fewer_rows_are_counted_where_there_are_many() -> None:
    few, many = np.arange(0, compiled.MANY, 50), np.arange(0, compiled.MANY + 1, 50)
    assert [compiled.dealt(own, False)[0] for own in (few, many)] == [compiled.EVERY, compiled.SELDOM]
    assert compiled.dealt(many, True)[0] == 1
    turns = np.bincount(compiled.dealt(many, False)[1])
    assert len(turns) == compiled.SELDOM
    assert np.ptp(turns) <= 1
