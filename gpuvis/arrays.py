"""A matrix in blocks of rows: check its shape, type and values, and scale it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, log2
from typing import Any

import numpy as np

from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS

BLOCK_BYTES = 32 << 20  # large enough for full memory speed, small enough not to matter for peak memory
NARROWED = {"float64", "int64", "int32", "uint64", "uint32"}  # types that float32 cannot hold exactly
MAX_ROUNDING = 0.01  # rounding to float32 may remove at most this share of the differences between rows
LARGE = 1000  # a row whose largest value is this many times the median row's is reported


def check_shape(X: Any) -> None:
    """Check the shape of an array or tensor.

    Parameters
    ----------
    X : array or tensor of any shape

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
        It holds anything else, such as complex numbers, booleans or objects.
    """
    if not dtype_name(X).startswith(("float", "bfloat", "int", "uint")):
        raise DataError(f"has type {dtype_name(X)}; expected real numbers")


def dtype_name(X: Any) -> str:
    """Return the data type of an array or tensor as NumPy spells it, for example "float32"."""
    return str(X.dtype).removeprefix("torch.")


def blocks(X: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, Any]]:
    """Iterate over a matrix in blocks of rows.

    Parameters
    ----------
    X : array or tensor of shape (N, D)
    block_bytes : int
        Largest size of a block in bytes; a block has at least one row.

    Yields
    ------
    start : int
        Index of the block's first row.
    block : array or tensor of shape (n, D)
        A view of the rows.
    """
    rows, columns = X.shape
    step = max(1, block_bytes // (columns * X.itemsize))
    for start in range(0, rows, step):
        yield start, X[start : start + step]


def as_float32(block: Any) -> Any:
    """Convert an array or tensor to float32; values too large for it become Inf."""
    if hasattr(block, "float"):  # a tensor
        return block.float()
    with np.errstate(over="ignore"):
        return block.astype(np.float32, copy=False)


class ValueScan:
    """Scan all values of a matrix block by block, for errors and for anything unusual."""

    def __init__(self) -> None:
        self._row_maxima: list[np.ndarray] = []  # the largest absolute value of each row
        self._first_row: Any = None
        self._all_rows_equal = True
        self._spread = self._rounding = 0.0  # sums of absolute differences

    def add(self, block: Any) -> None:
        """Scan the next rows.

        Parameters
        ----------
        block : array or tensor of shape (n, D)
        """
        rounded = as_float32(block)
        magnitudes = abs(rounded)
        self._row_maxima.append(_on_host(magnitudes.amax(1) if hasattr(magnitudes, "amax") else magnitudes.max(1)))
        if self._first_row is None:
            self._first_row = block[:1]
        if self._all_rows_equal:
            self._all_rows_equal = bool((block == self._first_row).all())
        if dtype_name(block) in NARROWED:
            with np.errstate(over="ignore", invalid="ignore"):  # `check` refuses values that overflow
                self._spread += float(abs(block - self._first_row).sum())
                self._rounding += float(abs(block - rounded).sum())

    def check(self, names: Sequence[str] | None = None) -> tuple[float, list[str]]:
        """Check the values scanned so far.

        Parameters
        ----------
        names : sequence of str, optional
            Names of the rows, for the messages.

        Returns
        -------
        largest : float
            The largest absolute value.
        notes : list of str
            Anything unusual that is not an error.

        Raises
        ------
        DataError
            A row holds NaN or Inf, or rows differ by less than float32 can represent.
        """
        maxima = np.concatenate(self._row_maxima)
        bad = np.flatnonzero(~(maxima < inf))
        if len(bad):
            subject = "1 row holds" if len(bad) == 1 else f"{len(bad)} rows hold"
            raise DataError(
                f"has values that are not finite in float32: {subject} NaN or Inf, the first is {_row(bad[0], names)} "
                "(counted from 0); remove such rows from the cache or write it again"
            )
        if self._rounding > MAX_ROUNDING * self._spread > 0:
            raise DataError(
                f"has rows that differ by less than float32 can tell: rounding is {self._rounding / self._spread:.0%} "
                "of how they differ; subtract the mean of each column, or scale them, and save them again"
            )
        if self._all_rows_equal:
            return float(maxima.max()), ["all rows are the same, so a map shows nothing"]
        return float(maxima.max()), _unusual_rows(maxima, names)


def _unusual_rows(maxima: np.ndarray, names: Sequence[str] | None) -> list[str]:
    """Describe rows of zeros, and rows far larger than most, given the largest absolute value of each row."""
    usual, notes = np.median(maxima), []
    zeros, large = np.flatnonzero(maxima == 0), np.flatnonzero(maxima > LARGE * usual)
    if len(zeros):
        notes.append(f"{_subject(zeros, names)} nothing but zeros; were the images read?")
    if len(large) and usual > 0:
        notes.append(
            f"{_subject(large, names)} values {LARGE:,} times as large as most rows, or more; are they damaged?"
        )
    return notes


def _subject(rows: np.ndarray, names: Sequence[str] | None) -> str:
    """Return the start of a sentence about these rows, up to its verb."""
    first = f"{_row(rows[0], names)} (counted from 0)"
    return f"{first} has" if len(rows) == 1 else f"{len(rows):,} rows, the first is {first}, have"


def _row(number: int, names: Sequence[str] | None) -> str:
    return f"row {number}, {names[number]!r}" if names is not None and names[number] else f"row {number}"


def _on_host(values: Any) -> np.ndarray:
    """Copy an array or tensor from any device to a NumPy array."""
    values = values.cpu() if hasattr(values, "cpu") else values.get() if hasattr(values, "get") else values
    return np.asarray(values)


def check_values(X: Any) -> tuple[float, list[str]]:
    """Check every value of a matrix of shape (N, D); returns and raises the same as `ValueScan.check`."""
    scan = ValueScan()
    for _, block in blocks(X):
        scan.add(block)
    return scan.check()


def scale(largest: float, safe: tuple[float, float]) -> float:
    """Return the factor that brings a matrix into a safe range.

    It is a power of two, so no digit of a value changes. Maps do not depend on the scale of their input.

    Parameters
    ----------
    largest : float
        The largest absolute value of the matrix.
    safe : tuple of two floats
        Range in which no scaling is needed.
    """
    low, high = safe
    if largest == 0 or low < largest <= high:
        return 1.0
    return float(2.0 ** min(126, -round(log2(largest)) - 1))
