"""A matrix in blocks of rows: check its shape, type and values, and scale it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, log2
from typing import Any

import numpy as np

from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS

BLOCK_BYTES = 32 << 20  # large enough for full memory speed, small enough to stay unnoticed
NARROWED = {"float64", "int64", "int32", "uint64", "uint32"}  # types of which float32 does not hold every value
LOST = 0.01  # of how rows differ: what rounding to float32 may take
LARGE = 1000  # times the size of most rows: what is no row of the same kind


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
    """A look at all values, block by block: what cannot be reduced, and what is unusual."""

    def __init__(self) -> None:
        self._sizes: list[np.ndarray] = []  # of each row, its largest value in size
        self._first: Any = None
        self._same = True
        self._spread = self._lost = 0.0

    def look_at(self, block: Any) -> None:
        """Take in the next rows, an array or tensor."""
        rows = as_float32(block)
        sizes = abs(rows)
        self._sizes.append(_on_host(sizes.amax(1) if hasattr(sizes, "amax") else sizes.max(1)))
        if self._first is None:
            self._first = block[:1]
        if self._same:
            self._same = bool((block == self._first).all())
        if kind(block) in NARROWED:
            with np.errstate(over="ignore", invalid="ignore"):  # of values that are refused
                self._spread += float(abs(block - self._first).sum())
                self._lost += float(abs(block - rows).sum())

    def check(self, names: Sequence[str] | None = None) -> tuple[float, list[str]]:
        """Return the largest value in size, and notes. `names`: of the rows, to tell which are meant.

        Raises
        ------
        DataError
            A row holds NaN or Inf, or rows differ by less than float32 can tell.
        """
        sizes = np.concatenate(self._sizes)
        bad = np.flatnonzero(~(sizes < inf))
        if len(bad):
            what = "1 row holds" if len(bad) == 1 else f"{len(bad)} rows hold"
            raise DataError(
                f"has values that are not finite in float32: {what} NaN or Inf, the first is {_row(bad[0], names)} "
                "(counted from 0); remove such rows from the cache or write it again"
            )
        if self._lost > LOST * self._spread > 0:
            raise DataError(
                f"has rows that differ by less than float32 can tell: rounding is {self._lost / self._spread:.0%} "
                "of how they differ; subtract the mean of each column, or scale them, and save them again"
            )
        return float(sizes.max()), ["all rows are the same, so a map shows nothing"] if self._same else _unusual(
            sizes, names
        )


def _unusual(sizes: np.ndarray, names: Sequence[str] | None) -> list[str]:
    """Note rows of zeros, and those that are far larger than most."""
    usual, notes = np.median(sizes), []
    zeros, large = np.flatnonzero(sizes == 0), np.flatnonzero(sizes > LARGE * usual)
    if len(zeros):
        notes.append(f"{_counted(zeros, names)} nothing but zeros; were the images read?")
    if len(large) and np.median(sizes) > 0:
        notes.append(
            f"{_counted(large, names)} values {LARGE:,} times as large as most rows, or more; are they damaged?"
        )
    return notes


def _counted(rows: np.ndarray, names: Sequence[str] | None) -> str:
    first = f"{_row(rows[0], names)} (counted from 0)"
    return f"{first} has" if len(rows) == 1 else f"{len(rows):,} rows, the first is {first}, have"


def _row(number: int, names: Sequence[str] | None) -> str:
    return f"row {number}, {names[number]!r}" if names is not None and names[number] else f"row {number}"


def _on_host(values: Any) -> np.ndarray:
    """Return an array or tensor of any device as an array of NumPy."""
    values = values.cpu() if hasattr(values, "cpu") else values.get() if hasattr(values, "get") else values
    return np.asarray(values)


def check_values(X: Any) -> tuple[float, list[str]]:
    """Check every value of an array or tensor; return the largest in size, and notes.

    Raises
    ------
    DataError
        A row holds NaN or Inf, or rows differ by less than float32 can tell.
    """
    seen = Values()
    for _, block in blocks(X):
        seen.look_at(block)
    return seen.check()


def scale(largest: float, safe: tuple[float, float]) -> float:
    """Return what to multiply a matrix by, so that its largest value in size comes into a range.

    It is a power of two, so that no digit changes; and no map depends on the scale of its input.
    """
    if largest == 0 or safe[0] < largest <= safe[1]:
        return 1.0
    return float(2.0 ** min(126, -round(log2(largest)) - 1))
