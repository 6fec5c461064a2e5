"""Rows as whole numbers of 16 bits, and their products: more than twice as fast as those of floats.

A processor multiplies twice as many of these at a time, and adds them in pairs by the same instruction; numba writes it
only for sums over a row, so the loop is given to its compiler as such. Sums are not rounded, whatever their order. What
is off is known (`rounding`).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from gpuvis.backends.compiled import intrinsic, part, types
from gpuvis.backends.vectors import I16, I32, I64, ir, load, spread

TILE = 64  # rows that lie together: of a pair of their columns after the other
LANES, ACROSS = 16, 4  # rows of a vector, and rows of the other side that are taken with a tile: what registers hold
LENGTH = 32_000  # of a row in its steps: then no sum of 32 bits overflows

PAIRS = ir.VectorType(I32, LANES)
FIRST, SECOND = (ir.Constant(PAIRS, [*range(start, 2 * LANES, 2)]) for start in (0, 1))


def rounding(columns: int) -> float:
    """Return how far a product is off at most: this share of the product of both lengths."""
    return 1.05 * sqrt(columns) / LENGTH  # half a step in each column, on both sides, and a bit more


def room(rows: int, columns: int) -> np.ndarray:
    """Return room for so many rows, (tiles, pairs of columns, TILE, 2), zeros where none is."""
    return np.zeros((-(-rows // TILE), -(-columns // 2), TILE, 2), np.int16)


@part
def _step(square: Any) -> Any:
    """Return the step of a row, of which it is whole multiples, and how many are in one."""
    step = type(square)(np.sqrt(square) / LENGTH)
    return step, type(square)(1) / step if step > 0 else step


@part
def code(row: Any, square: Any, i: int, codes: Any) -> Any:
    """Put a row into the room for row i; return its step."""
    step, times = _step(square)
    for j in range(len(row)):
        codes[i // TILE, j // 2, i % TILE, j % 2] = np.int16(np.rint(row[j] * times))
    return step


@part
def code_alone(row: Any, square: Any, codes: Any) -> Any:
    """Put a row into a room of its own, (columns,); return its step."""
    step, times = _step(square)
    for j in range(len(row)):
        codes[j] = np.int16(np.rint(row[j] * times))
    return step


@part
def product(a: Any, b: Any) -> Any:
    """Return the product of two rows, each in a room of its own, in steps of both."""
    total = np.int32(0)
    for j in range(len(a)):
        total = np.int32(total + np.int32(a[j]) * np.int32(b[j]))
    return total


@part
def multiplied(A: Any, B: Any, found: Any) -> None:
    """Multiply rows of A by those of B, both codes and their steps; the room is for multiples of ACROSS and TILE."""
    (own, own_steps), (their, their_steps) = A, B
    for j in range(len(their)):
        rows = slice(j * TILE, (j + 1) * TILE)
        for i in range(0, len(found), ACROSS):
            _multiplied(own[i // TILE], i % TILE, their[j], own_steps[i:], their_steps[rows], found[i:, rows])


@intrinsic  # type: ignore[untyped-decorator]
def _multiplied(typing: Any, A: Any, start: Any, B: Any, own: Any, their: Any, found: Any) -> Any:
    """Multiply a few rows of a tile, from one of them on, by all of another."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def array(at: int) -> Any:
            return context.make_array(signature.args[at])(context, builder, args[at])

        a, b = (builder.bitcast(array(at).data, I32.as_pointer()) for at in (0, 2))
        pairs = builder.extract_value(array(0).shape, 0)
        sums = _sums(builder, builder.gep(a, [args[1]]), b, pairs)
        own_steps, their_steps, place = array(3).data, array(4).data, array(5)
        vector = ir.VectorType(context.get_value_type(found.dtype), LANES)
        width = builder.sdiv(builder.extract_value(place.strides, 0), place.itemsize)
        for (r, c), total in np.ndenumerate(sums):
            first = I64(c * LANES)
            step = spread(builder, builder.load(builder.gep(own_steps, [I64(r)])), LANES)
            steps = load(builder, builder.gep(their_steps, [first]), vector)
            at = builder.gep(place.data, [builder.add(builder.mul(width, I64(r)), first)])
            product = builder.fmul(builder.fmul(builder.sitofp(total, vector), step), steps)
            builder.store(product, builder.bitcast(at, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(A, start, B, own, their, found), emit


def _sums(builder: Any, a: Any, b: Any, pairs: Any) -> Any:
    """Sum products of pairs of columns, for each row of `a` and vector of rows of `b`, in a loop over the pairs."""
    before, loop, after = builder.block, *(builder.append_basic_block(name) for name in ("pairs", "summed"))
    builder.branch(loop)
    builder.position_at_end(loop)
    pair = builder.phi(I64)
    sums: Any = np.empty((ACROSS, TILE // LANES), object)
    more = np.empty_like(sums)
    for place in np.ndindex(sums.shape):
        sums[place] = builder.phi(PAIRS)
        sums[place].add_incoming(PAIRS(None), before)
    at = builder.mul(pair, I64(TILE))
    columns = [load(builder, builder.gep(b, [builder.add(at, I64(c * LANES))]), PAIRS) for c in range(sums.shape[1])]
    for r in range(ACROSS):
        row = spread(builder, builder.load(builder.gep(a, [builder.add(at, I64(r))])), LANES)
        for c, column in enumerate(columns):
            more[r, c] = builder.add(sums[r, c], _products(builder, row, column))
            sums[r, c].add_incoming(more[r, c], loop)
    following = builder.add(pair, I64(1))
    pair.add_incoming(I64(0), before)
    pair.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
    builder.position_at_end(after)
    return more


def _products(builder: Any, a: Any, b: Any) -> Any:
    """Multiply vectors of pairs and add each pair: in this form the compiler finds an instruction for it."""
    wide = ir.VectorType(I32, 2 * LANES)
    a, b = (builder.sext(builder.bitcast(side, ir.VectorType(I16, 2 * LANES)), wide) for side in (a, b))
    both = builder.mul(a, b)
    return builder.add(*(builder.shuffle_vector(both, wide(ir.Undefined), which) for which in (FIRST, SECOND)))
