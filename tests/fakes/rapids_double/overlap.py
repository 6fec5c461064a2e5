"""Operands that overlap their result: NumPy buffers them, CuPy does not."""

from __future__ import annotations

from typing import Any

import numpy as np


def refuse_overlap(target: np.ndarray, source: Any) -> None:
    """Refuse what NumPy buffers and CuPy does not: reading elements that another thread may have written already."""
    if isinstance(source, np.ndarray) and source.ndim and np.shares_memory(target, source):
        same = (target.ctypes.data, target.shape, target.strides) == (source.ctypes.data, source.shape, source.strides)
        if not same:
            raise AssertionError("in place, with an operand that overlaps the result: on a GPU this is a race")
