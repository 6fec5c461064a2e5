"""What processors do with many values at a time and numba does not write of itself: given to its compiler as such."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir as ir  # noqa: PLC0414

from gpuvis.backends.compiled import intrinsic, part, types

BITS = 64  # values that are compared at a time: a bit for each
LINE = 64  # bytes
I1, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))


@part
def aligned(count: int, kind: Any) -> Any:
    """Return room for so many values, from the start of a cache line on: vectors that cross one take longer."""
    room = np.empty(count + LINE, kind)  # more than a line
    start = -room.ctypes.data % LINE // room.itemsize
    return room[start : start + count]


@part
def below(values: Any, start: int, limit: Any) -> Any:
    """Tell which of some values, `BITS` from one on or as many as there are, are below a limit.

    Most often none is, and they are passed over by one comparison with 0; the others are found by `lowest`.

    Parameters
    ----------
    values : array of shape (n,), contiguous
    start : int
    limit : float

    Returns
    -------
    uint64
        A bit for each, the lowest for the first; 0 where there is no value.
    """
    if len(values) >= BITS:
        first = min(start, len(values) - BITS)  # the last ones with some of those before, whose bits are dropped
        return _below(values, first, limit) >> np.uint64(start - first)
    bits = np.uint64(0)
    for j in range(start, len(values)):
        bits |= np.uint64(values[j] < limit) << np.uint64(j - start)
    return bits


@intrinsic  # type: ignore[untyped-decorator]
def _below(typing: Any, values: Any, start: Any, limit: Any) -> Any:
    if values.layout != "C":
        return None  # refused where it is compiled

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(values.dtype), BITS)
        place = builder.gep(context.make_array(values)(context, builder, args[0]).data, [args[1]])
        some, limits = load(builder, place, vector), spread(builder, args[2], BITS)
        return builder.bitcast(builder.fcmp_ordered("<", some, limits), I64)

    return types.uint64(values, types.int64, values.dtype), emit


@intrinsic  # type: ignore[untyped-decorator]
def lowest(typing: Any, bits: Any) -> Any:
    """Return which bit is the lowest of those that are set; at least one is."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], I1(1))

    return types.int64(types.uint64), emit


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector of one value."""
    vector = ir.VectorType(value.type, lanes)
    one = builder.insert_element(vector(ir.Undefined), value, I32(0))
    return builder.shuffle_vector(one, vector(ir.Undefined), ir.VectorType(I32, lanes)(None))


def load(builder: Any, place: Any, vector: Any) -> Any:
    """Load a vector from where its first value is."""
    loaded = builder.load(builder.bitcast(place, vector.as_pointer()))
    loaded.align = 4
    return loaded
