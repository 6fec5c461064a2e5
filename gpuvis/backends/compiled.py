"""The door to numba, for the loops that judge maps: compiled as they are first called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange as prange  # noqa: PLC0414
from numba.core import types as types  # noqa: PLC0414
from numba.extending import intrinsic as intrinsic  # noqa: PLC0414

EVERY, SELDOM = 7, 17  # of so many rows one is counted for an anchor, others for others; little repeats by these
MANY = 20_000  # rows from which fewer tell as much: ranks grow with the rows, and errors by their root


def _kept(function: Any) -> bool:
    """Tell whether numba finds a place to keep what it compiles of a function."""
    try:
        numba.njit(cache=True)(function)
    except RuntimeError:
        return False
    return True


KEPT = _kept(_kept)

kernel: Callable[..., Any] = numba.njit(parallel=True, nogil=True, cache=KEPT)
part: Callable[..., Any] = numba.njit(nogil=True, cache=KEPT)


def on_threads(count: int) -> None:
    """Let kernels run on so many threads, if numba allows as many."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def blocks(count: int, size: int) -> np.ndarray:
    """Return the bounds of blocks of about so many, as many as there are blocks and one: int64."""
    return np.linspace(0, count, max(1, -(-count // size)) + 1).astype(np.int64)


@part
def insert(value: Any, j: int, far: Any, ids: Any) -> None:
    """Put a row among the nearest so far; the farthest of them goes."""
    at = len(far) - 1
    while at > 0 and far[at - 1] > value:
        far[at], ids[at] = far[at - 1], ids[at - 1]
        at -= 1
    far[at], ids[at] = value, j


@part
def count_below(values: Any, limit: Any) -> Any:
    """Count values below a limit."""
    count = np.int32(0)  # of the width of a float32, which the vector units can follow
    for j in range(len(values)):
        count = np.int32(count + np.int32(values[j] < limit))
    return count


def dealt(own: np.ndarray, exact: bool) -> tuple[int, np.ndarray]:
    """Return of how many rows one is counted, and which it is for each anchor: each row for as many of them.

    `own`: which rows the anchors are, which tells about how many there are.
    """
    every = 1 if exact else SELDOM if own.max(initial=0) >= MANY else EVERY
    return every, np.random.default_rng(0).permutation(len(own)) % every
