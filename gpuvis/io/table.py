"""`metadata.csv` as a table of strings: "007", "NA" and blanks stay as they are."""

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
MOST_COLUMNS = 4096  # each takes memory and time of its own
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "pipes"}  # which other programs write between values
WHOLE = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")
LEAST, LARGEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
LINE_ENDS = b"\r\n"
TOO_LONG = "straddles two block boundaries"  # as the parser says that a row is longer than a block


class _Blocks:
    """A file as the parser can take it: in blocks, from its header on, and with a blank row at the end.

    No block ends between the two characters of a line's end: the parser drops the second, also in quotes. Where a quote
    is not closed, the parser takes all that follows for one value, and so the blank row too.
    """

    closed = False

    def __init__(self, file: BufferedReader, width: int) -> None:
        self.file = file
        self.end = (b"," * (width - 1) or b'""') + b"\n"
        file.seek(len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0)
        while (first := file.read(1)) and first in LINE_ENDS:
            pass
        file.seek(-len(first), os.SEEK_CUR)

    def read(self, size: int) -> bytes:
        block = self.file.read(size)
        while block.endswith(b"\r") and (more := self.file.read(1)):
            block += more
        if block and not self.file.peek(1):
            block += b"\n" * (block[-1] not in LINE_ENDS) + self.end
        return block


def read(path: Path) -> pd.DataFrame:
    """Read a CSV file, every column as strings.

    Raises
    ------
    CacheError
        The file is missing, empty, ragged, not UTF-8, not separated by commas, or names a column twice.
    """
    limit = csv.field_size_limit(sys.maxsize)
    try:
        names = _header(path)
        types = dict.fromkeys(names, pa.string())
        alone = len(names) == 1  # then a blank line is a blank value, but for those at the end
        with path.open("rb") as file:
            table = arrow_csv.read_csv(
                _Blocks(file, len(names)),
                read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=not alone),
                convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
            )
            if any(column[-1].as_py() for column in table.columns):
                raise pa.ArrowInvalid("a quote is not closed")
            blank = 1 + (_blank_lines_at_end(file) if alone else 0)
            return table.slice(0, len(table) - blank).to_pandas()
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, pa.ArrowInvalid, csv.Error) as error:
        raise CacheError(f"{path} {_what_is_wrong(path, str(error))}") from None
    finally:
        csv.field_size_limit(limit)


def _blank_lines_at_end(file: BufferedReader) -> int:
    file.seek(-min(BLOCK_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
    end = file.read()
    return max(0, len(re.findall(rb"\r\n|\r|\n", end[len(end.rstrip(LINE_ENDS)) :])) - 1)


def has_values(rows: pd.DataFrame, name: str) -> bool:
    """Tell whether a column is there and not blank in every row."""
    return name in rows and bool((rows[name] != "").any())


def factorize(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Tell apart the values of a column of strings.

    Returns
    -------
    codes : ndarray of shape (N,), int64
        Of each row, the number of its value.
    values : list of str
        The different ones.
    """
    codes, values = column.factorize()
    return codes, values.tolist()


def as_arrow(column: pd.Series) -> pa.Table:
    """Return a column as a table of Arrow's."""
    return pa.table({column.name: pa.array(column)})


def strings(table: pd.DataFrame | Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return a table with every value as `read` would give it: a string, blank where there is none."""
    table = pd.DataFrame(table)
    if len({str(name) for name in table.columns}) < len(table.columns):
        raise CacheError(f"two columns have the same name: {', '.join(map(str, table.columns))}; rename one of them")
    columns = {str(name): ["" if pd.isna(value) else str(value) for value in table[name]] for name in table.columns}
    return pd.DataFrame(columns, dtype="str")


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table of strings so that `read` gives it back."""
    arrow_csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), path)


def _header(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    CacheError
        There are none, one of them is there twice, or something else than commas is between them.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        line = next((line for line in file if line.strip("\r\n")), "")
        names = next(csv.reader(chain([line], file)), [])
    if not names:
        raise CacheError(f"{path} is empty; expected a header and a row for each embedding")
    if len(names) > MOST_COLUMNS:
        raise CacheError(f"{path} has {len(names):,} columns; at most {MOST_COLUMNS:,} can be read; leave some out")
    _check_commas(path, line, len(names))
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise CacheError(f"{path} has two columns named {name!r}; rename one of them")
    return names


def _check_commas(path: Path, line: str, count: int) -> None:
    """Check that a header, of so many names, is of a file that is separated by commas."""
    if "\0" in line:
        raise CacheError(f"{path} looks like UTF-16; save it as UTF-8")
    if re.fullmatch(r"sep=\W\s*", line):
        raise CacheError(f"{path} begins with {line.strip()!r}; put commas between values and remove that line")
    for mark, kind in SEPARATORS.items():
        if len(next(csv.reader([line], delimiter=mark))) > count:
            raise CacheError(f"{path} has {kind} between its values; expected commas, so save it with commas")


def _what_is_wrong(path: Path, parser_says: str) -> str:
    """Find the line that the parser stumbled over; it names none itself."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            otherwise = f"is broken: {' '.join(parser_says.split())}; write it again"
            return _odd_row(lines, TOO_LONG in parser_says) or otherwise
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"


def _odd_row(lines: Any, is_too_long: bool) -> str:
    """Say which row is no CSV, has another number of fields than the header, or is too long; empty: none."""
    begun = 1
    try:
        width = len(next(filter(None, lines)))
        begun = lines.line_num + 1
        for row in lines:
            if is_too_long and sum(len(value.encode()) for value in row) > BLOCK_BYTES - 4 * width:
                most = f"{BLOCK_BYTES >> 20} MiB at most"
                return f"has a row that is too long in line {begun}: {most}; is a quote missing at the end of a value?"
            if row and len(row) != width:
                advice = "write a comma between all values, also of blank ones"
                advice = "put quotes around values that hold commas" if len(row) > width else advice
                return f"has {len(row)} fields in line {lines.line_num}, but {width} in its header; {advice}"
            begun = lines.line_num + 1
    except csv.Error as error:
        return f"is broken in line {begun}: {error}; write it again"
    return ""


def class_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a column of class numbers as int64, exactly; None where a value is not a whole number of 64 bits."""
    codes, texts = factorize(column)
    numbers = [_whole(text) for text in texts]
    return None if None in numbers else np.array(numbers, np.int64)[codes]


def _whole(text: str) -> int | None:
    if not WHOLE.fullmatch(text):
        return None
    number = Decimal(text)
    return int(number) if LEAST <= number <= LARGEST and number == number.to_integral_value() else None
