"""Large tables by cuDF, as the CPU's reader gives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cudf
import cupy

from gpuvis import table
from gpuvis.folders import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

LARGE = 100 << 20  # bytes; a smaller file is read sooner than it is brought over
LABELS = COLUMNS[1:]  # few values, many times
BEYOND = "\0"  # no column's name: takes what a row has beyond the header


def read(path: Path) -> pd.DataFrame:
    """Read a CSV file, every column as strings: a large one on the device.

    cuDF takes files that are not valid (rows with too many fields, or too few), so the CPU's reader is the judge: it
    has seen the file before any work began, and it reads the file wherever cuDF finds such a row.

    Raises
    ------
    CacheError
        As `gpuvis.table.read`.
    """
    return _on_device(path) if path.stat().st_size > LARGE else table.read(path)


def _on_device(path: Path) -> pd.DataFrame:
    try:
        columns = _columns(path, table.header(path))
    except Exception:  # noqa: BLE001  whatever cuDF cannot read, the CPU's reader reads or refuses
        columns = None
    return table.read(path) if columns is None else table.of_columns(columns)


def _columns(path: Path, header: list[str]) -> dict[str, Any] | None:
    """Return the columns as Arrow's, or None if a row has too many fields or too few."""
    names = [*header, BEYOND]
    frame = cudf.read_csv(path, names=names, header=0, dtype="str", keep_default_na=False, na_filter=False)
    if bool(frame[BEYOND].notnull().any()) or any(bool(frame[name].isnull().any()) for name in header):
        return None
    columns = {}
    for name in header:
        if name in LABELS:
            codes, values = frame[name].factorize()
            columns[name] = table.decoded(cupy.asnumpy(codes), values.to_arrow())
        else:
            columns[name] = frame[name].to_arrow()
    return columns
