"""What may be reduced: two dimensions, floating point, enough rows, every value finite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, log2
from typing import Any

import numpy as np

from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS

BLOCK_BYTES = 32 << 20  # large enough for full memory speed, small enough to stay unnoticed


def check_shape(X: Any) -> None:
    """Check the shape of an array or tensor.

    Raises
    ------
    DataError
        It is not a matrix of at least 5 rows and 1 column.
    """
    if X.ndim != 2:
        raise DataError(f"has {X.ndim} dimensions, shape {tuple(X.shape)}; expected 2; save it as rows × columns")
    rows, columns = X.shape
    if rows < MIN_ROWS:
        raise DataError(f"has shape {tuple(X.shape)}; {MIN_ROWS} rows or more are needed, so cache more images")
    if columns < 1:
        raise DataError(f"has shape {tuple(X.shape)}; a column or more is needed, so write the cache again")


def check_type(X: Any) -> None:
    """Check that an array or tensor holds real numbers.

    Raises
    ------
    DataError
    """
    if not kind(X).startswith(("float", "bfloat", "int", "uint")):
        raise DataError(f"has type {kind(X)}; expected real numbers")


def kind(X: Any) -> str:
    """Return the type of an array's or tensor's values by its usual name, as float32."""
    return str(X.dtype).removeprefix("torch.")


def blocks(X: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, Any]]:
    """Give the rows of a matrix in blocks of bounded size, each with the number of its first row."""
    rows, columns = X.shape
    step = max(1, block_bytes // (columns * X.itemsize))
    for start in range(0, rows, step):
        yield start, X[start : start + step]


def as_float32(block: Any) -> Any:
    """Return an array or tensor in float32; what is too large for it becomes Inf."""
    if hasattr(block, "float"):  # a tensor
        return block.float()
    with np.errstate(over="ignore"):
        return block.astype(np.float32, copy=False)


class Values:
    """Look at all values, block by block: which rows hold NaN or Inf, and how large the largest is in size."""

    def __init__(self) -> None:
        self.count = 0
        self.first = -1
        self.largest = 0.0

    def look_at(self, start: int, block: Any) -> None:
        """Take in one block of rows, an array or tensor of float32."""
        sizes = abs(block)
        largest = float(sizes.max())  # NaN if there is one
        if largest < inf:
            self.largest = max(self.largest, largest)
            return
        bad = ~(sizes < inf).all(1)
        if self.count == 0:
            self.first = start + int(bad.nonzero()[0][0])
        self.count += int(bad.sum())

    def check(self, names: Sequence[str] | None = None) -> float:
        """Return the largest value in size. `names`: of the rows, to tell which is not finite.

        Raises
        ------
        DataError
            A row holds NaN or Inf.
        """
        if self.count:
            name = f", {names[self.first]!r}" if names is not None and names[self.first] else ""
            what = "1 row holds" if self.count == 1 else f"{self.count} rows hold"
            raise DataError(
                f"has values that are not finite in float32: {what} NaN or Inf, the first is row {self.first}{name} "
                "(counted from 0); remove such rows from the cache or write it again"
            )
        return self.largest


def check_finite(X: Any) -> float:
    """Check every value of an array or tensor, in float32; return the largest in size.

    Raises
    ------
    DataError
        A row holds NaN or Inf.
    """
    seen = Values()
    for start, block in blocks(X):
        seen.look_at(start, as_float32(block))
    return seen.check()


def scale(largest: float, safe: tuple[float, float]) -> float:
    """Return what to multiply a matrix by, so that its largest value in size comes into a range.

    It is a power of two, so that no digit changes; and no map depends on the scale of its input.
    """
    if largest == 0 or safe[0] < largest <= safe[1]:
        return 1.0
    return float(2.0 ** min(126, -round(log2(largest)) - 1))
