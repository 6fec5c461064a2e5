"""`metadata.csv` as a table of strings: "007", "NA" and blanks stay what they are."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from gpuvis.errors import CacheError

BLOCK_BYTES = 16 << 20  # the longest row that can be read


def read(path: Path) -> pd.DataFrame:
    """Read a CSV file, every column as strings.

    Raises
    ------
    CacheError
        The file is missing, empty, ragged, not UTF-8, or names a column twice.
    """
    try:
        names = header(path)
        types = dict.fromkeys(names, pa.string())
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
            # A blank line is a blank value where there is but one column.
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(names) > 1),
            convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, pa.ArrowInvalid, csv.Error) as error:
        raise CacheError(f"{path} {_what_is_wrong(path, str(error))}") from None
    return table.to_pandas()


def decoded(codes: np.ndarray, values: pa.Array) -> pa.Array:
    """Return a column of which the value of each row is known by its place among the different values."""
    return pa.DictionaryArray.from_arrays(codes, values).dictionary_decode()


def of_columns(columns: Mapping[str, pa.Array]) -> pd.DataFrame:
    """Return a table of Arrow's columns as `read` would give it."""
    return pa.table(dict(columns)).to_pandas()


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


def header(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    CacheError
        There are none, or one of them is there twice.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = next(csv.reader(file), [])
    if not names:
        raise CacheError(f"{path} is empty; expected a header and a row for each embedding")
    for name in names:
        if names.count(name) > 1:
            raise CacheError(f"{path} has two columns named {name!r}; rename one of them")
    return names


def _what_is_wrong(path: Path, parser_says: str) -> str:
    """Find the line that the parser stumbled over; it names none itself."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            width = len(next(lines))
            for row in lines:
                if row and len(row) != width:
                    return (
                        f"has {len(row)} fields in line {lines.line_num}, but {width} in its header; "
                        "put quotes around values that hold commas"
                    )
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
    except csv.Error as error:
        return f"is broken in line {lines.line_num}: {error}; write it again"
    return f"is broken: {' '.join(parser_says.split())}; write it again"


def class_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a column of class numbers as int64, None where a value is not a whole number."""
    numbers: np.ndarray = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not np.all(np.isfinite(numbers)) or np.any(numbers % 1):
        return None
    return numbers.astype(np.int64)
