"""Rows in half precision, widened by a table: several times as fast as NumPy, which computes each value."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gpuvis.backends.compiled import part


def widened(X: np.ndarray) -> np.ndarray:
    """Return rows as float32: themselves if they are that, by the table if they are halves."""
    if X.dtype != np.float16 or not X.dtype.isnative:
        return np.asarray(X, np.float32)
    rows = np.empty(X.shape, np.float32)
    _look_up(np.ascontiguousarray(X).reshape(-1).view(np.uint16), _table(), rows.reshape(-1))
    return rows


@cache
def _table() -> np.ndarray:
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


@part
def _look_up(bits: Any, table: Any, values: Any) -> None:
    for i in range(len(bits)):
        values[i] = table[bits[i]]
