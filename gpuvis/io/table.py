"""Read and write `metadata.csv` as a table of strings: "007", "NA" and blank values are kept unchanged."""

from __future__ import annotations

import csv
import os
import re
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from gpuvis.errors import CacheError

BLOCK_BYTES = 16 << 20  # the longest row that can be read
MAX_COLUMNS = 4096  # each column takes memory and time
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "pipes"}  # separators that other programs use instead of commas
WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")
INT64 = np.iinfo(np.int64)
LINE_ENDS = b"\r\n"
TOO_LONG = "straddles two block boundaries"  # part of the parser's message if a row is longer than a block


class _Blocks:
    """A CSV file that the parser reads in blocks, from the header on, with a blank row added at the end.

    A block never ends between the two characters of a line end, since the parser would drop the second, even inside
    quotes. The blank row reveals a quote that is not closed: the parser then takes everything after it as one value,
    and the last row is not blank.
    """

    closed = False

    def __init__(self, file: BufferedReader, width: int) -> None:
        self.file = file
        self.blank_row = (b"," * (width - 1) or b'""') + b"\n"
        file.seek(len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0)
        while (first := file.read(1)) and first in LINE_ENDS:
            pass
        file.seek(-len(first), os.SEEK_CUR)

    def read(self, size: int) -> bytes:
        block = self.file.read(size)
        while block.endswith(b"\r") and (character := self.file.read(1)):
            block += character
        if block and not self.file.peek(1):
            block += b"\n" * (block[-1] not in LINE_ENDS) + self.blank_row
        return block


def read(path: Path) -> pd.DataFrame:
    """Read a CSV file, every column as strings.

    Returns
    -------
    pandas.DataFrame with N rows
        Values that are missing or blank are empty strings.

    Raises
    ------
    CacheError
        The file is missing, empty, ragged, not UTF-8, not separated by commas, or has two columns of the same name.
    """
    limit = csv.field_size_limit(sys.maxsize)
    try:
        names = _header(path)
        types = dict.fromkeys(names, pa.string())
        single = len(names) == 1  # then a blank line is a blank value, except at the end of the file
        with path.open("rb") as file:
            table = arrow_csv.read_csv(
                _Blocks(file, len(names)),
                read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=not single),
                convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
            )
            if any(column[-1].as_py() for column in table.columns):
                raise pa.ArrowInvalid("a quote is not closed")
            blank_rows = 1 + (_blank_lines_at_end(file) if single else 0)
            return table.slice(0, len(table) - blank_rows).to_pandas()
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, pa.ArrowInvalid, csv.Error) as error:
        raise CacheError(f"{path} {_explain(path, str(error))}") from None
    finally:
        csv.field_size_limit(limit)


def _blank_lines_at_end(file: BufferedReader) -> int:
    file.seek(-min(BLOCK_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
    end = file.read()
    return max(0, len(re.findall(rb"\r\n|\r|\n", end[len(end.rstrip(LINE_ENDS)) :])) - 1)


def has_values(rows: pd.DataFrame, name: str) -> bool:
    """Return whether a table has a column that is not blank in every row."""
    return name in rows and bool((rows[name] != "").any())


def factorize(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Encode a column of strings as integers.

    Returns
    -------
    codes : ndarray of shape (N,), int64
        For each row, the index of its value in `values`.
    values : list of str
        The distinct values.
    """
    codes, values = column.factorize()
    return codes, values.tolist()


def as_arrow(column: pd.Series) -> pa.Table:
    """Return a column as an Arrow table."""
    return pa.table({column.name: pa.array(column)})


def strings(table: pd.DataFrame | Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Convert every value to a string as `read` returns it; missing values become blank.

    Raises
    ------
    CacheError
        Two columns have the same name.
    """
    table = pd.DataFrame(table)
    if len({str(name) for name in table.columns}) < len(table.columns):
        raise CacheError(f"two columns have the same name: {', '.join(map(str, table.columns))}; rename one of them")
    columns = {str(name): ["" if pd.isna(value) else str(value) for value in table[name]] for name in table.columns}
    return pd.DataFrame(columns, dtype="str")


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table of strings so that `read` returns the same table."""
    arrow_csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), path)


def _header(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    CacheError
        There are none or too many, two are the same, or they are not separated by commas.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        line = next((line for line in file if line.strip("\r\n")), "")
        names = next(csv.reader(chain([line], file)), [])
    if not names:
        raise CacheError(f"{path} is empty; expected a header and a row for each embedding")
    if len(names) > MAX_COLUMNS:
        raise CacheError(f"{path} has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read; leave some out")
    _check_commas(path, line, len(names))
    ((name, count),) = Counter(names).most_common(1)
    if count > 1:
        raise CacheError(f"{path} has two columns named {name!r}; rename one of them")
    return names


def _check_commas(path: Path, line: str, count: int) -> None:
    """Check that the header, which has `count` names if read with commas, was not written with other separators."""
    if "\0" in line:
        raise CacheError(f"{path} looks like UTF-16; save it as UTF-8")
    if re.fullmatch(r"sep=\W\s*", line):
        raise CacheError(f"{path} begins with {line.strip()!r}; put commas between values and remove that line")
    for separator, plural in SEPARATORS.items():
        if len(next(csv.reader([line], delimiter=separator))) > count:
            raise CacheError(f"{path} has {plural} between its values; expected commas, so save it with commas")


def _explain(path: Path, parser_message: str) -> str:
    """Describe why the parser refused a file. Its own message does not name the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            otherwise = f"is broken: {' '.join(parser_message.split())}; write it again"
            return _describe_bad_row(rows, TOO_LONG in parser_message) or otherwise
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"


def _describe_bad_row(rows: Any, is_too_long: bool) -> str:
    """Describe the first row that is invalid, too long, or of another length than the header; empty if there is none.

    `rows` is a `csv.reader`; `is_too_long` says whether the parser complained of a row that is too long.
    """
    line = 1  # in which the current row starts
    try:
        width = len(next(filter(None, rows)))
        line = rows.line_num + 1
        for row in rows:
            if is_too_long and sum(len(value.encode()) for value in row) > BLOCK_BYTES - 4 * width:
                limit = f"{BLOCK_BYTES >> 20} MiB at most"
                return f"has a row that is too long in line {line}: {limit}; is a quote missing at the end of a value?"
            if row and len(row) != width:
                advice = "write a comma between all values, also of blank ones"
                advice = "put quotes around values that hold commas" if len(row) > width else advice
                return f"has {len(row)} fields in line {rows.line_num}, but {width} in its header; {advice}"
            line = rows.line_num + 1
    except csv.Error as error:
        return f"is broken in line {line}: {error}; write it again"
    return ""


def class_numbers(column: pd.Series) -> np.ndarray | None:
    """Convert a column of class numbers to integers without rounding.

    Returns
    -------
    ndarray of shape (N,), int64, or None
        None if a value is not a whole number of 64 bits.
    """
    codes, texts = factorize(column)
    numbers = [_whole_number(text) for text in texts]
    return None if None in numbers else np.array(numbers, np.int64)[codes]


def _whole_number(text: str) -> int | None:
    if not WHOLE_NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return int(number) if INT64.min <= number <= INT64.max and number == number.to_integral_value() else None
