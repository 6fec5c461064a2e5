"""The compiled loops beside their twins in NumPy; and that levels, threads and splits into ranges change no bit."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import kernel_twins as twins
import numpy as np
import pytest

from gpuvis.backends import parallel
from gpuvis.backends.cpu import kernels
from gpuvis.backends.cpu.kernels import available, loops
from gpuvis.backends.cpu.neighbors import nearest_centers
from gpuvis.errors import NotBuiltError

F = np.float32
LEVELS = available()
Ranges = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Call:
    """A loop, how many rows it works on, and its arguments but the range; those at `fills` are what it fills."""

    loop: str
    rows: int
    arguments: tuple[Any, ...]
    fills: slice

    def copied(self) -> list[Any]:
        return [one.copy() if isinstance(one, np.ndarray) else one for one in self.arguments]

    def done(self, module: Any = loops, ranges: Ranges | None = None) -> list[np.ndarray]:
        """Return what the loop fills."""
        arguments = self.copied()
        for part in ranges or [(0, self.rows)]:
            getattr(module, self.loop)(*arguments, part)
        return arguments[self.fills]


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def whole_numbers(rows: int, columns: int, most: int, seed: int = 0) -> np.ndarray:
    """Rows whose products and squares float32 has exactly."""
    return random(seed).integers(-most, most + 1, (rows, columns)).astype(F)


def squares_of(X: np.ndarray) -> np.ndarray:
    return np.square(X).sum(1)


def blank(*shape: int, of: Any = F) -> np.ndarray:
    """Return what no loop writes."""
    return np.full(shape, -1, of)


def normal(rows: int, columns: int, scale: float, seed: int = 0) -> np.ndarray:
    return (random(seed).standard_normal((rows, columns)) * scale).astype(F)


def widen() -> Call:
    return Call("widen", 1 << 16, (np.arange(1 << 16, dtype=np.uint16), blank(1 << 16)), slice(1, 2))


def ranked(X: np.ndarray, centers: np.ndarray, count: int) -> Call:
    """No query is one of the rows."""
    own = np.full(len(X), -1, np.int32)
    return Call(
        "search_all", len(X), (X, own, centers, squares_of(centers), blank(len(X), count, of=np.int32)), slice(4, 5)
    )


def squared_distances(of: Any) -> Call:
    X, others = random(1).standard_normal((101, 3)).astype(of), random(2).standard_normal((3, 700)).astype(of)
    return Call("squared_distances", 101, (X, others, blank(101, 700, of=of)), slice(2, 3))


def tally(of: Any, limits: int, k: int) -> Call:
    values, least = random(1).random((101, 700)).astype(of), random(2).random((101, limits)).astype(of)
    found = np.zeros((101, limits), np.int64), np.full((101, k), 0.1, of), np.full((101, k), 70, np.int32)
    return Call("tally", 101, (values, 100, least, *found), slice(3, 6))


def search_all(X: np.ndarray, own: np.ndarray, k: int) -> Call:
    arguments = X[own], own.astype(np.int32), X, squares_of(X), blank(len(own), k, of=np.int32)
    return Call("search_all", len(own), arguments, slice(4, 5))


def search_lists(X: np.ndarray, sizes: list[int], count: int, k: int) -> Call:
    """Each row looks into some of the lists, in any order."""
    lists = random(1).permuted(np.tile(np.arange(len(sizes), dtype=np.int32), (len(X), 1)), axis=1)[:, :count].copy()
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Call("search_lists", len(X), (lists, X, squares_of(X), starts, blank(len(X), k, of=np.int32)), slice(4, 5))


def measure(X: np.ndarray, k: int, scaled: bool) -> Call:
    rows, draw = len(X), random(2)
    found, order = draw.integers(0, rows, (rows, k)).astype(np.int32), draw.permutation(rows).astype(np.int32)
    arguments = X, X.any(1).view(np.uint8), scaled, order, found, blank(rows, k + 1, of=np.int32), blank(rows, k + 1)
    return Call("measure", rows, arguments, slice(5, 7))


def distances(rows: int, k: int, kind: str = "", scale: float = 1) -> np.ndarray:
    """Return rising distances to neighbours, the row itself first."""
    far = np.sort(random().gamma(8, 1, (rows, k)).astype(F) * F(scale), 1)
    far[:, 0] = 0
    if kind == "ties":
        far[:, 1 : k // 2] = far[:, 1:2]
    if kind == "equal rows":
        far[:, : k // 3] = 0
    if kind == "all alike":
        far[:, 1:] = far[:, 1:2]
    if kind == "all in one place":
        far[:] = 0
    return far


def memberships(far: np.ndarray) -> Call:
    return Call("memberships", len(far), (far, blank(len(far), far.shape[1] - 1)), slice(1, 2))


def probabilities(far: np.ndarray, perplexity: float) -> Call:
    arguments = far, float(np.log(perplexity)), blank(len(far), far.shape[1] - 1)
    return Call("probabilities", len(far), arguments, slice(2, 3))


def graph_of(rows: int, most: int) -> twins.Graph:
    """Return a graph whose rows have none up to so many neighbours."""
    indptr = np.concatenate([[0], np.cumsum(random(3).integers(0, most + 1, rows))])
    indices = random(4).integers(0, rows, indptr[-1])
    return indptr, indices.astype(np.int32), random(5).uniform(0, 1, indptr[-1]).astype(F)


ADAM = 0.7, 1.3, 0.5, 0.9, 0.1


def umap_epoch(graph: twins.Graph, points: np.ndarray, curve: tuple[float, float] = (1.577, 0.895)) -> Call:
    rows = len(points)
    shuffled = np.resize(points[random(6).permutation(rows)], (rows + loops.DRAWN, 2))
    state = points, blank(rows, 2), normal(rows, 2, 1, 7), np.abs(normal(rows, 2, 1, 8))
    return Call("umap_epoch", rows, (graph, *state, shuffled, *curve, 2**64 - 12345, ADAM), slice(2, 5))


def tsne_step(graph: twins.Graph, points: np.ndarray) -> Call:
    """Every other point has not moved before."""
    rows = len(points)
    memory = normal(rows, 2, 1, 7), np.abs(normal(rows, 2, 1, 8)), blank(rows, 2)
    memory[0][::2] = 0
    return Call("tsne_step", rows, (graph, points, normal(rows, 2, 1, 9), (48, -0.01), (50, 0.8), *memory), slice(5, 8))


def tsne_pairs(points: np.ndarray) -> Call:
    arguments = np.ascontiguousarray(points.T), blank(len(points), 2), blank(len(points))
    return Call("tsne_pairs", len(points), arguments, slice(1, 3))


SIZE = 5 * loops.STRIP + 3  # of a grid: the last strip has 3 rows
FRAME = -8.4, -7.9, 2.5


def on_grid(rows: int) -> np.ndarray:
    """Return points on a grid, of which the first two are as far out as points may be."""
    nodes = random(10).uniform(1.001, SIZE - 2.001, (rows, 2))
    nodes[:2] = [[1.001, SIZE - 2.001], [SIZE - 2.001, 1.001]][:rows]
    return (nodes / FRAME[2] + FRAME[:2]).astype(F)


def ordered(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ends, order = blank(SIZE + 1, of=np.int64), blank(len(points), of=np.int32)
    loops.grid_order(points, FRAME, ends, order)
    return ends, order


def grid_spread(points: np.ndarray, charge: np.ndarray, odd: int) -> Call:
    return Call("grid_spread", 3, (points, FRAME, *ordered(points), charge, odd), slice(4, 5))


def grid_overlap(rows: int, columns: int) -> Call:
    arguments = normal(rows, columns, 1), normal(rows, columns, 1, 1), blank(rows, of=np.float64)
    return Call("grid_overlap", rows, arguments, slice(2, 3))


def grid_gather(points: np.ndarray) -> Call:
    return Call("grid_gather", len(points), (points, FRAME, normal(SIZE, SIZE, 1), blank(len(points), 2)), slice(3, 4))


def exponentials() -> Call:
    """Ask for e^x from -100 to 0: neighbours so many of which are nearest that the width is the least one.

    Their sum is exact, and the first 16 are at 1.
    """
    far = 1 + np.sort(random().integers(0, 110_000, (20, 4096)), 1).astype(F) * F(2**-20)
    far[:, 0], far[:, 1:17] = 0, 1
    return memberships(far)


def powers(exponent: float) -> Call:
    """Ask for powers of 1e-12 to 1e12: points in the middle are pulled by one point each, and pushed by none."""
    points, zeros = np.zeros((4000, 2), F), np.zeros((4000, 2), F)
    points[2000:, 0] = 10 ** random().uniform(-6, 6, 2000)
    graph = np.minimum(np.arange(4001), 2000), np.arange(2000, 4000, dtype=np.int32), np.ones(2000, F)
    state, shuffled = (points, blank(4000, 2), zeros, zeros), np.zeros((4000 + loops.DRAWN, 2), F)
    return Call("umap_epoch", 4000, (graph, *state, shuffled, 2**-40, exponent, 1, (1, 1, 0, 0, 1)), slice(2, 5))


RANDOM = normal(2100, 20, 1)
APART = whole_numbers(2200, 8, 700, 16)  # none of these rows has two neighbours at the same distance
LISTS = [5, 0, 2049, 1, 31, 32, 64, 18]
GRAPH = graph_of(101, 40)
SPLIT = {
    "halves": widen(),
    "lists": ranked(APART[:101], APART[:37], 5),
    "all pairs": search_all(APART, np.arange(0, 2200, 31), 5),
    "searched lists": search_lists(APART, LISTS, 3, 5),
    "squared distances": squared_distances(F),
    "squared distances of double precision": squared_distances(np.float64),
    "distances taken in": tally(F, 30, 15),
    "distances of double precision taken in": tally(np.float64, 7, 15),
    "distances": measure(normal(101, 100, 1), 9, False),
    "cosines": measure(normal(101, 100, 1), 9, True),
    "memberships": memberships(distances(101, 15)),
    "exponentials": exponentials(),
    "probabilities": probabilities(distances(101, 31), 10),
    "UMAP": umap_epoch(GRAPH, normal(101, 2, 1)),
    "narrow UMAP": umap_epoch(GRAPH, normal(101, 2, 1e-3)),
    "powers": powers(0.9),
    "t-SNE": tsne_step(GRAPH, normal(101, 2, 1)),
    "pairs": tsne_pairs(normal(101, 2, 1)),
    "wide pairs": tsne_pairs(normal(101, 2, 1e6)),
    "even strips": grid_spread(on_grid(500), np.zeros((SIZE, SIZE), F), 0),
    "odd strips": grid_spread(on_grid(500), normal(SIZE, SIZE, 1), 1),
    "overlap": grid_overlap(43, 50),
    "slopes": grid_gather(on_grid(101)),
}
# Products of random numbers are rounded, and may be otherwise for other ranges; so may who comes first of equals.
WHOLE = {
    "lists of random rows": ranked(RANDOM[:101], RANDOM[:37], 5),
    "all pairs of random rows": search_all(RANDOM, np.arange(0, 2100, 31), 5),
    "searched lists of random rows": search_lists(normal(2200, 20, 1), LISTS, 3, 5),
    "searched lists of ties": search_lists(whole_numbers(2200, 6, 1), LISTS, 3, 5),
}


def assert_same_bits(found: list[np.ndarray], told: list[np.ndarray]) -> None:
    for one, other in zip(found, told, strict=True):
        np.testing.assert_array_equal(one.view(f"u{one.itemsize}"), other.view(f"u{other.itemsize}"))


def test_all_halves_are_widened_as_numpy_does() -> None:
    call = widen()
    assert_same_bits(call.done(), [twins.widen(call.arguments[0])])


@pytest.mark.parametrize("most", [1, 300])
@pytest.mark.parametrize(
    ("rows", "columns", "lists", "count"), [(101, 13, 37, 5), (1, 1, 1, 1), (33, 8, 70, 70), (7, 3, 2100, 9)]
)
def test_lists_are_ranked_by_their_centres(rows, columns, lists, count, most) -> None:
    X, centers = whole_numbers(rows, columns, most), whole_numbers(lists, columns, most, 1)
    expected = twins.nearest_of(centers, squares_of(centers), X, count)
    np.testing.assert_array_equal(ranked(X, centers, count).done()[0], expected)
    np.testing.assert_array_equal(nearest_centers(X, centers, count), expected)


EXACT = {
    "ties": whole_numbers(101, 6, 1),
    "few ties": whole_numbers(101, 6, 300),
    "several chunks": whole_numbers(4097, 3, 20),
    "one row": whole_numbers(1, 5, 9),
    "fewer rows than neighbours": whole_numbers(5, 4, 9),
    "equal rows": np.ones((70, 3), F),
    "rows of zeros": np.concatenate([np.zeros((40, 5), F), whole_numbers(40, 5, 3)]),
}


@pytest.mark.parametrize("k", [1, 7])
@pytest.mark.parametrize("name", EXACT)
def test_all_rows_are_searched(name, k) -> None:
    X = EXACT[name]
    call = search_all(X, np.arange(0, len(X), max(1, len(X) // 40)), k)
    np.testing.assert_array_equal(call.done()[0], twins.search_all(*call.arguments[:4], k))


def test_a_query_that_is_no_row_may_have_any_for_a_neighbour() -> None:
    X, queries, own = EXACT["ties"], whole_numbers(33, 6, 1, 1), np.array([-1, 5, -1] * 11, np.int32)
    found = blank(33, 4, of=np.int32)
    loops.search_all(queries, own, X, squares_of(X), found, (0, 33))
    np.testing.assert_array_equal(found, twins.search_all(queries, own, X, squares_of(X), 4))


@pytest.mark.parametrize("part", [(0, 40), (17, 18), (60, 120), (2150, 2200)])
@pytest.mark.parametrize("most", [1, 700])
@pytest.mark.parametrize(("count", "k"), [(1, 9), (3, 5), (8, 2)])
def test_rows_are_searched_in_their_lists(part, most, count, k) -> None:
    call = search_lists(whole_numbers(2200, 8, most), LISTS, count, k)
    told = twins.search_lists(*call.arguments[:4], k, *part)
    np.testing.assert_array_equal(call.done(ranges=[part])[0][slice(*part)], told)


@pytest.mark.parametrize("scale", [1e-12, 1, 1e6, 1e12])
@pytest.mark.parametrize("name", ["search_all", "search_lists"])
def test_what_is_found_is_as_near_as_the_nearest(name, scale) -> None:
    """But for rounding of squares and products, whose order is that of BLAS."""
    X = normal(2200, 20, 1) * F(scale)
    call = search_all(X, np.arange(60), 9) if name == "search_all" else search_lists(X, LISTS, 3, 9)
    given = call.arguments[:4]
    told = twins.search_all(*given, 9) if name == "search_all" else twins.search_lists(*given, 9, 0, 60)
    found = call.done(ranges=[(0, 60)])[0][:60]
    far, near = (np.square(twins.wide(X)[:60, None] - twins.wide(X)[rows]).sum(2) for rows in (found, told))
    np.testing.assert_allclose(far, near, rtol=0, atol=4e-7 * squares_of(X).max())
    assert (found == told).mean() > 0.99


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_distances_of_whole_numbers_are_exact_and_equals_keep_their_order(name, scaled) -> None:
    call = measure(EXACT[name], 9, scaled)
    indices, far = twins.measure(*call.arguments[:5])
    found = call.done()
    np.testing.assert_array_equal(found[0], indices)
    np.testing.assert_array_equal(found[1], far.astype(F))


@pytest.mark.parametrize("scale", [1e-12, 1, 1e6, 1e12])
@pytest.mark.parametrize("scaled", [False, True])
def test_distances_are_measured_from_differences(scaled, scale) -> None:
    for columns in (1, 7, 8, 31, 32, 33, 100, 1152):
        call = measure(normal(33, columns, scale), 9, scaled)
        np.testing.assert_allclose(call.done()[1], twins.measure(*call.arguments[:5])[1], rtol=4e-7)


KINDS = ["", "ties", "equal rows", "all alike", "all in one place"]


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1, 1e6, 1e12])
@pytest.mark.parametrize("kind", KINDS)
def test_memberships_are_their_twins(kind, scale) -> None:
    """A sum may be 1e-5 off, so each of its parts too."""
    for k in (2, 3, 5, 9, 10, 31, 200):
        call = memberships(distances(17, k, kind, scale))
        np.testing.assert_allclose(call.done()[0], twins.memberships(*call.arguments[:1]), rtol=0, atol=1.01e-5)


def test_a_row_in_one_place_with_all_its_neighbours_is_joined_with_each() -> None:
    far = distances(5, 10)
    far[2] = 0
    values = memberships(far).done()[0]
    assert (values[2] == 1).all()
    assert (values[[0, 1, 3, 4], -1] < 0.9).all()


@pytest.mark.parametrize("perplexity", [1.5, 5, 30])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_their_twins(kind, scale, perplexity) -> None:
    """An entropy may be 1e-5 off."""
    for k in (2, 3, 5, 9, 10, 32, 90, 200):
        call = probabilities(distances(17, k, kind, scale), perplexity)
        np.testing.assert_allclose(call.done()[0], twins.probabilities(*call.arguments[:2]), rtol=0, atol=1e-5)


def test_probabilities_of_rows_far_away_are_their_twins_nearly() -> None:
    """After a hundred halvings, most of which find how large the distances are."""
    call = probabilities(distances(17, 31, scale=1e12), 5)
    np.testing.assert_allclose(call.done()[0], twins.probabilities(*call.arguments[:2]), rtol=0, atol=2e-5)


def test_as_many_neighbours_as_the_perplexity_have_the_same_probabilities() -> None:
    """The entropy then is the largest one, and its slope 0."""
    values = probabilities(distances(17, 31), 30).done()[0]
    np.testing.assert_allclose(values, 1 / 30, rtol=0.03)
    np.testing.assert_allclose(values.sum(1), 1, rtol=2e-7)


def test_exponentials_are_off_by_two_units_in_the_last_place_at_most() -> None:
    call = exponentials()
    far = call.arguments[0]
    width = (F(1e-3) * far.sum(1, keepdims=True, dtype=np.float64) / 4096).astype(F)
    x = ((1 - far[:, 1:]) / width).astype(np.float64)
    told = np.where(x < -87, 0, np.exp(x))
    assert (x.min(), x.max()) == (pytest.approx(-100, abs=3), 0)
    assert (np.abs(call.done()[0] - told) <= 2 * np.spacing(told.astype(F))).all()


@pytest.mark.parametrize(("exponent", "off"), [(0.3, 1e-5), (0.79, 2e-5), (0.9, 2e-5), (1.2, 2e-5), (1.93, 3e-5)])
def test_powers_are_off_by_few_parts_in_100_000(exponent, off) -> None:
    """A pull is 4 a b d^(2b - 1), over 1 + a d^2b, which is about 1; the new mean is the pull."""
    call = powers(exponent)
    (a, b), d = twins.wide(2**-40, exponent), twins.wide(call.arguments[1])[2000:, 0]
    square = twins.wide(F(d) * F(d) + F(1e-12))
    powered = call.done()[1][:2000, 0] / (4 * a * b * d) * square * (1 + a * square**b)
    np.testing.assert_allclose(powered, square**b, rtol=off)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 100, 1448, 3000])
def test_logarithms_have_14_digits(count) -> None:
    """An entropy is log(count) for so many at the same distance, and is good enough if it is off by less than 1e-5.

    A neighbour so far away that it adds nothing tells whether the first width was good enough.
    """
    far = np.zeros((1, count + 2), F)
    far[0, -1] = 7
    for off in (1e-5, -1e-5):
        for share, enough in ((1 - 1e-9, True), (1 + 1e-9, False)):
            values = blank(1, count + 1)
            loops.probabilities(far, np.log(count) + off * share, values, (0, 1))
            assert (values[0, -1] == pytest.approx(np.exp(-49) / count, rel=3e-7, abs=0)) == enough


def assert_near(found: np.ndarray, told: np.ndarray, share: float) -> None:
    """Compare with a share of the largest."""
    np.testing.assert_allclose(found, told, rtol=0, atol=share * np.abs(told).max())


SCALES = [0, 1e-12, 1e-3, 1, 15, 1e6, 1e12]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("curve", [(1.577, 0.895), (0.115, 1.929)])
@pytest.mark.parametrize(("rows", "most"), [(1, 2), (2, 9), (101, 40)])
def test_an_epoch_of_umap_is_its_twins(rows, most, curve, scale) -> None:
    """But for the powers, which are 2e-5 off."""
    call = umap_epoch(graph_of(rows, most), normal(rows, 2, scale), curve)
    graph, points, _, means, squares, shuffled, a, b, number, adam = call.arguments
    after, found_means, found_squares = call.done()
    told, told_means, told_squares = twins.umap_epoch(graph, (points, means, squares), shuffled, (a, b), number, adam)
    assert_near(found_means, told_means, 1e-5)
    assert_near(found_squares, told_squares, 2e-5)
    assert_near(after, told, 2e-5)


def test_a_point_without_neighbours_stays() -> None:
    points = normal(3, 2, 1)
    graph = np.zeros(4, np.int64), np.empty(0, np.int32), np.empty(0, F)
    still = np.zeros_like(points)
    arguments = graph, points, blank(3, 2), still, still, np.resize(points, (3 + loops.DRAWN, 2)), 1.5, 0.9, 1, ADAM
    assert_same_bits(Call("umap_epoch", 3, arguments, slice(2, 5)).done(), [points, still, still])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("rows", "most"), [(1, 2), (2, 9), (101, 40)])
def test_a_step_of_tsne_is_its_twins(rows, most, scale) -> None:
    call = tsne_step(graph_of(rows, most), normal(rows, 2, scale))
    for found, told in zip(call.done(), twins.tsne_step(*call.arguments[:-1]), strict=True):
        assert_near(found, told, 4e-7)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 16, 17, 101])
def test_pairs_repel_as_their_twins(rows, scale) -> None:
    """But for what is so small that float32 hardly has it: K² of points far away."""
    call = tsne_pairs(normal(rows, 2, scale))
    (force, totals), (told, told_totals) = call.done(), twins.tsne_pairs(call.arguments[0])
    atol = 1e-6 * np.abs(told).max() + rows * scale * np.finfo(F).smallest_subnormal
    np.testing.assert_allclose(force, told, rtol=0, atol=atol)
    np.testing.assert_allclose(totals, told_totals, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_points_are_ordered_by_their_row_of_the_grid(rows) -> None:
    points = on_grid(rows)
    for found, told in zip(ordered(points), twins.grid_order(points, FRAME, SIZE), strict=True):
        np.testing.assert_array_equal(found, told)


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_charges_are_spread_over_the_grid(rows) -> None:
    points, charge = on_grid(rows), np.zeros((SIZE, SIZE), F)
    for odd in (0, 1):
        charge = grid_spread(points, charge, odd).done()[0]
    assert_near(charge, twins.grid_spread(points, FRAME, SIZE), 2e-7)
    assert charge.sum(dtype=np.float64) == pytest.approx(rows, rel=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (43, 50)])
def test_overlaps_are_summed_by_row(rows, columns) -> None:
    call = grid_overlap(rows, columns)
    np.testing.assert_allclose(call.done()[0], twins.grid_overlap(*call.arguments[:2]), rtol=1e-13)


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_slopes_are_gathered_from_the_grid(rows) -> None:
    call = grid_gather(on_grid(rows))
    assert_near(call.done()[0], twins.grid_gather(*call.arguments[:3]), 4e-7)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SPLIT | WHOLE)
def test_each_level_gives_the_same_bits(name, level) -> None:
    call = (SPLIT | WHOLE)[name]
    *_, lowest = LEVELS.values()
    assert_same_bits(call.done(LEVELS[level]), call.done(lowest))
    assert np.longdouble(1) + 2 == 3  # no loop leaves the old floating-point unit in another state


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_orders_points_alike(level) -> None:
    points, (told_ends, told_order) = on_grid(500), ordered(on_grid(500))
    ends, order = np.empty_like(told_ends), np.empty_like(told_order)
    LEVELS[level].grid_order(points, FRAME, ends, order)
    assert_same_bits([ends, order], [told_ends, told_order])


def parts(rows: int, size: int) -> Ranges:
    return [(first, min(first + size, rows)) for first in range(0, rows, size)]


@pytest.mark.parametrize("name", SPLIT)
def test_no_split_into_ranges_changes_a_bit(name) -> None:
    call = SPLIT[name]
    whole = call.done()
    for size in (1, 2, 7, 33):
        assert_same_bits(call.done(ranges=parts(call.rows, size)[::-1]), whole)


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("name", SPLIT)
def test_no_number_of_threads_changes_a_bit(name, threads, monkeypatch) -> None:
    monkeypatch.setattr(parallel, "LEAST", 1)  # so that there are several pieces, and others for each
    call = SPLIT[name]
    arguments = call.copied()
    with parallel.threads(threads):
        parallel.in_ranges(getattr(loops, call.loop), call.rows, *arguments)
    assert_same_bits(arguments[call.fills], call.done())


@pytest.mark.parametrize("name", WHOLE)
def test_ranges_of_one_size_give_the_same_bits_on_any_number_of_threads(name) -> None:
    call, found = WHOLE[name], []
    for threads in (1, 2, 16):
        arguments = call.copied()
        with parallel.threads(threads):
            parallel.in_ranges(getattr(loops, call.loop), call.rows, *arguments, size=17)
        found.append(arguments[call.fills])
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


@pytest.mark.parametrize("name", [name for name in SPLIT if not name.endswith("strips")])
def test_a_range_fills_its_own_rows(name) -> None:
    call = SPLIT[name]
    own = np.arange(1, call.rows - 2)
    if call.loop == "measure":
        own = call.arguments[3][own]
    before, after = call.arguments[call.fills], call.done(ranges=[(1, call.rows - 2)])
    for old, whole, found in zip(before, call.done(), after, strict=True):
        told = old.copy()
        told[own] = whole[own]
        assert_same_bits([found], [told])


def wrong(array: np.ndarray, filled: bool) -> Iterator[Any]:
    """Yield an array as no loop takes it, with the same values."""
    yield array.astype(np.float64 if array.dtype == F else np.float32)
    yield array.astype(f"i{array.itemsize}" if array.dtype.kind == "u" else f"u{array.itemsize}")
    if array.itemsize > 1:
        yield array.astype(array.dtype.newbyteorder())
    yield np.repeat(array, 2, axis=-1)[..., ::2]
    yield array[None]
    yield None
    if array.ndim == 2:
        yield np.asfortranarray(array)
        yield array[0]
    if filled:
        read_only = array.copy()
        read_only.flags.writeable = False
        yield read_only


def with_one_wrong(call: Call) -> Iterator[list[Any]]:
    """Yield the arguments of a call, each array of them wrong in turn."""
    filled = range(len(call.arguments))[call.fills]
    for at, one in enumerate(call.arguments):
        if isinstance(one, np.ndarray):
            ways = wrong(one, at in filled)
        elif at == 0:  # a graph
            ways = ((*one[:i], other, *one[i + 1 :]) for i in range(3) for other in wrong(one[i], False))
        else:
            continue
        for way in ways:
            yield [*call.copied()[:at], way, *call.copied()[at + 1 :]]


REFUSED = {call.loop: call for call in [*SPLIT.values()][::-1]}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arrays_are_refused_and_none_is_filled(name) -> None:
    call, count = REFUSED[name], 0
    for arguments in with_one_wrong(call):
        count += 1
        filled = arguments[call.fills]
        before = deepcopy(filled)
        with pytest.raises(TypeError):
            getattr(loops, name)(*arguments, (0, call.rows))
        np.testing.assert_equal(filled, before)
    assert count > 10


def test_the_order_on_a_grid_refuses_wrong_arrays_as_well() -> None:
    points, (ends, order) = on_grid(101), ordered(on_grid(101))
    call = Call("grid_order", 101, (points, FRAME, ends, order), slice(2, 4))
    for arguments in with_one_wrong(call):
        with pytest.raises(TypeError):
            loops.grid_order(*arguments)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("part", [(0,), (0, 1, 2), (0.5, 1.0), ("0", "1"), 1, None])
def test_wrong_ranges_are_refused(name, part) -> None:
    call = REFUSED[name]
    with pytest.raises(TypeError):
        call.done(ranges=[part])


def test_loops_that_are_missing_are_told_in_one_line(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "LOWEST", ("_none",))
    with pytest.raises(
        NotBuiltError, match=r"^the compiled loops are missing: .*kernels has no _none\..*: make install$"
    ):
        kernels.available()
