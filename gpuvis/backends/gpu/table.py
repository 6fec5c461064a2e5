"""Number the labels of large tables by cuDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cudf
import cupy

from gpuvis.io import table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LARGE = 1_000_000  # rows; of fewer the processor is done before they are brought over


def factorize(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Tell apart the values of a column of strings, as `gpuvis.io.table.factorize`: of many rows on the device."""
    if len(column) < LARGE:
        return table.factorize(column)
    try:
        codes, values = cudf.DataFrame.from_arrow(table.as_arrow(column))[column.name].factorize()
        return cupy.asnumpy(codes), values.to_arrow().to_pylist()
    except MemoryError:  # the device is for the matrix: what finds no room beside it is done here
        return table.factorize(column)
