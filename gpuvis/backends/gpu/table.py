"""Number the labels of large tables with cuDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cudf
import cupy

from gpuvis.io import table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LARGE = 1_000_000  # rows from which the GPU is used; the CPU numbers fewer ones sooner than they are copied


def factorize(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return what `gpuvis.io.table.factorize` does for a column of strings, computed on the GPU if it is long."""
    if len(column) < LARGE:
        return table.factorize(column)
    try:
        codes, values = cudf.DataFrame.from_arrow(table.as_arrow(column))[column.name].factorize()
        return cupy.asnumpy(codes), values.to_arrow().to_pylist()
    except MemoryError:  # the matrix takes precedence on the device, so without room for both the CPU does this
        return table.factorize(column)
