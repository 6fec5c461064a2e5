"""Which values are below a limit, told by bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuvis.backends import compiled, vectors


@compiled.numba.njit  # not kept: what it calls is compiled into it
def found_below(values: Any, limit: Any) -> Any:
    found = []
    for start in range(0, len(values), vectors.BITS):
        bits = vectors.below(values, start, limit)
        while bits != 0:
            found.append(start + vectors.lowest(bits))
            bits &= bits - np.uint64(1)
    return np.array(found)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 127, 128, 200])
def test_values_below_a_limit_are_found(rows, kind) -> None:
    """Each once, in order: also the first and the last of 64, and those where fewer are left."""
    values = np.random.default_rng(rows).permutation(rows).astype(kind)
    values[values == 3] = np.nan
    for limit in (-np.inf, 0, 1, rows // 2, rows - 1, np.inf):
        found = found_below(values, kind(limit)) if (values < limit).any() else []
        np.testing.assert_array_equal(found, np.flatnonzero(values < limit))


def test_none_of_equal_values_is_below_them() -> None:
    assert vectors.below(np.full(100, 0.1, np.float32), 64, np.float32(0.1)) == 0
    assert vectors.below(np.full(100, 0.1, np.float32), 64, np.float32(0.2)) == 2**36 - 1
