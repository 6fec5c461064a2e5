"""Rows in half precision, widened to float32."""

from __future__ import annotations

from functools import cache

import numpy as np

from gpuvis.backends.kernels import loops


def widened(X: np.ndarray) -> np.ndarray:
    """Return rows as float32: themselves if they are that."""
    if X.dtype != np.float16:
        return np.asarray(X, np.float32)
    rows, bits = np.empty(X.shape, np.float32), np.ascontiguousarray(X).view(np.uint16)
    loops.widen(bits.reshape(-1), rows.reshape(-1), (0, rows.size))
    return rows


def coded(X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return rows as kernels take them: halves, of which numba knows nothing, as places in a table; others as they are.

    With None for the table, they are the values themselves. They are only to be read, wherever they are from: a kernel
    is loaded for each kind of array.
    """
    rows, table = (X.view(), None) if X.dtype != np.float16 else (np.ascontiguousarray(X).view(np.uint16), _table())
    rows.flags.writeable = False
    return rows, table


@cache
def _table() -> np.ndarray:
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
