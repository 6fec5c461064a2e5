"""What may be reduced: two dimensions, floating point, enough rows, every value finite."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2
from typing import Any

from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS

SAFE = (1e-12, 1e12)  # 10^8 squares of such values, summed, neither overflow nor vanish
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
        raise DataError(f"has shape {tuple(X.shape)}; a map needs {MIN_ROWS} rows or more, so cache more images")
    if columns < 1:
        raise DataError(f"has shape {tuple(X.shape)}; a map needs a column or more, so write the cache again")


def check_type(X: Any) -> None:
    """Check that an array or tensor holds real numbers.

    Raises
    ------
    DataError
    """
    kind = str(X.dtype).removeprefix("torch.")
    if not kind.startswith(("float", "bfloat", "int", "uint")):
        raise DataError(f"has type {kind}; expected real numbers")


def blocks(X: Any) -> Iterator[tuple[int, Any]]:
    """Give the rows of a matrix in blocks of bounded size, each with the number of its first row."""
    rows, columns = X.shape
    step = max(1, BLOCK_BYTES // (columns * X.itemsize))
    for start in range(0, rows, step):
        yield start, X[start : start + step]


class NonFinite:
    """Count rows that hold NaN or Inf, block by block."""

    def __init__(self) -> None:
        self.count = 0
        self.first = -1

    def look_at(self, start: int, block: Any) -> None:
        """Take in one block of rows, an array or tensor."""
        finite = abs(block) < float("inf")
        if bool(finite.all()):
            return
        bad = ~finite.all(1)
        if self.count == 0:
            self.first = start + int(bad.nonzero()[0][0])
        self.count += int(bad.sum())

    def check(self) -> None:
        """Raise `DataError` if any row was found."""
        if self.count:
            what = "1 row holds" if self.count == 1 else f"{self.count} rows hold"
            raise DataError(
                f"has values that are not finite in float32: {what} NaN or Inf, the first is row {self.first} "
                "(counted from 0); remove such rows from the cache or write it again"
            )


def check_finite(X: Any) -> None:
    """Check every value of an array.

    Raises
    ------
    DataError
        A row holds NaN or Inf.
    """
    seen = NonFinite()
    for start, block in blocks(X):
        seen.look_at(start, block)
    seen.check()


def in_range(X: Any) -> Any:
    """Scale an array, if its values are so small or large that their squares leave the range of float32.

    The scale is a power of two, so that no digit changes; and no map depends on the scale of its input.
    """
    largest = max(float(X.max()), -float(X.min()))
    if largest == 0 or SAFE[0] < largest < SAFE[1]:
        return X
    return X * X.dtype.type(2.0 ** min(126, -round(log2(largest))))
