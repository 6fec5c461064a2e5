"""Rows as whole numbers of 16 bits: their products are those of the whole numbers, and near enough to those of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuvis.backends import codes, compiled, outline, parallel, ranks
from gpuvis.backends.ranks_anywhere import PlainRanks


@compiled.numba.njit  # not kept: what it calls is compiled into it
def coded_rows(X: Any, found: Any, steps: Any) -> None:
    for i in range(len(X)):
        steps[i] = codes.code(X[i], np.dot(X[i], X[i]), i, found)


@compiled.numba.njit  # not kept: what it calls is compiled into it
def all_products(A: Any, B: Any, found: Any) -> None:
    codes.multiplied(A, B, found)


@compiled.numba.njit  # not kept: what it calls is compiled into it
def products_of_pairs(A: Any, B: Any, found: Any) -> None:
    a, b = np.empty((2, A.shape[1]), np.int16)
    for i in range(len(A)):
        own, their = codes.code_alone(A[i], np.dot(A[i], A[i]), a), codes.code_alone(B[i], np.dot(B[i], B[i]), b)
        found[i] = own * codes.product(a, b) * their


def coded(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = codes.room(*X.shape)
    steps = np.zeros(len(found) * codes.TILE, X.dtype)
    coded_rows(X, found, steps)
    return found, steps


def product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    room = [-(-len(A) // codes.ACROSS) * codes.ACROSS, -(-len(B) // codes.TILE) * codes.TILE]
    found = np.full(room, np.nan, A.dtype)
    all_products(coded(A), coded(B), found[: len(A)])
    return found[: len(A), : len(B)]


def whole_numbers(X: np.ndarray) -> np.ndarray:
    tiles = coded(X)[0].astype(np.int64).transpose(0, 2, 1, 3)
    return tiles.reshape(len(tiles) * codes.TILE, -1)[: len(X)]


@pytest.mark.parametrize("columns", [1, 2, 33, 130])
@pytest.mark.parametrize("rows", [(4, 64), (5, 1), (128, 200)])
def test_products_are_those_of_the_whole_numbers(columns, rows) -> None:
    draw = np.random.default_rng(columns)
    A, B = (draw.standard_normal((count, columns)).astype(np.float32) for count in rows)
    steps = coded(A)[1][: len(A), None] * coded(B)[1][: len(B)]
    exact = (whole_numbers(A) @ whole_numbers(B).T).astype(np.float32)
    np.testing.assert_allclose(product(A, B), exact * steps, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-18, 1e-12, 1, 1e12])
@pytest.mark.parametrize("kind", ["all", "one column", "equal values"])
def test_products_are_as_near_as_is_said(kind, size) -> None:
    """Also of rows as long as can be in one column, and where roundings, each of nearly half a step, add up."""
    draw = np.random.default_rng(0)
    A, B = draw.standard_normal((2, 100, 50))
    if kind == "one column":
        A[:, 1:] = B[:, 1:] = 0
    if kind == "equal values":
        A[:], B[:] = A[:, :1], B[:, :1]
    A, B = (np.concatenate([X, np.zeros((1, 50))]) for X in (A, B))
    lengths = np.linalg.norm(A, axis=1)[:, None] * np.linalg.norm(B, axis=1)
    sized = [(size * X).astype(np.float32) for X in (A, B)]
    found = product(*sized) / np.float64(size) ** 2
    off = np.abs(found - A @ B.T)
    assert (off <= (codes.rounding(50) + 1e-6) * lengths).all()
    pairs = np.empty(len(A), np.float32)
    products_of_pairs(*sized, pairs)
    np.testing.assert_allclose(pairs / np.float64(size) ** 2, np.diag(found), rtol=1e-6)


def test_what_rows_are_across_axes_makes_good_what_codes_of_whole_rows_are_off() -> None:
    """Products of these may stand for those along axes, when a second metric of the same products is looked at."""
    X = np.random.default_rng(0).standard_normal((70, 200)).astype(np.float32)
    X[:, 8:] = 0  # the axes hide nothing
    with parallel.threads(2):
        *_, across, whole, steps = outline._coded(X, np.eye(200, 8, dtype=np.float32), np.empty((70, 8), np.float32))
    lengths = np.linalg.norm(X, axis=1)
    off = np.abs((whole * steps[:, None]).astype(np.float64) @ (whole * steps[:, None]).T - X.astype(np.float64) @ X.T)
    assert (off <= codes.rounding(200) * np.outer(lengths, lengths)).all()
    assert (np.outer(across, across) >= codes.rounding(200) * np.outer(lengths, lengths)).all()


def test_rows_nearer_than_codes_can_tell_are_told_apart(monkeypatch) -> None:
    """Axes hide nothing of these rows, and in groups all are as far apart as roundings of the codes."""
    draw, m = np.random.default_rng(0), 200
    X = draw.standard_normal((60, 8))[draw.integers(0, 60, 6_000)] + 2e-3 * draw.standard_normal((6_000, 8))
    axes = np.linalg.qr(draw.standard_normal((64, 8)))[0].astype(np.float32)
    X = np.ascontiguousarray(X @ axes.T, np.float32)
    monkeypatch.setattr(outline, "axes_of", lambda A: axes)
    squares, far = (X * X).sum(1), np.full((1, m, 5), np.inf, np.float32)
    limits, none = np.zeros((1, m, 1), np.float32), (np.arange(0), np.zeros((1, m, 0), np.float32))
    own, blocks = (np.arange(m), np.zeros((1, m), np.float32)), [(0, X, squares[None], 0 * squares[None] - 2)]
    away = (squares - 2 * X[:m] @ X.T)[None]
    away[0, np.arange(m), np.arange(m)] = np.inf
    far[:] = np.partition(away, 4, 2)[:, :, 4:5] + np.float32(1e-4)
    with parallel.threads(2):
        _, near, there = ranks.tally(X[:m], blocks, own, limits, far.copy(), none, None)
    exact = PlainRanks(np).tally(X[:m], blocks, own, limits, far.copy(), none, None)[2]
    np.testing.assert_allclose(there, exact, rtol=2e-6)  # as rounding may be
    assert (near >= 0).all()
    np.testing.assert_allclose(np.take_along_axis(away, near, 2), exact, rtol=2e-6)
