"""Number the labels of large tables with cuDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cudf
import cupy

from gpuvis.io import table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LARGE = 1_000_000  # fewest rows for which the GPU is used; the CPU numbers fewer sooner than they are copied


def factorize(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the same as `gpuvis.io.table.factorize` for a column of strings; a long one is numbered on the GPU."""
    if len(column) < LARGE:
        return table.factorize(column)
    try:
        codes, values = cudf.DataFrame.from_arrow(table.as_arrow(column))[column.name].factorize()
        return cupy.asnumpy(codes), values.to_arrow().to_pylist()
    except MemoryError:  # the matrix has priority on the device, so without room for both the CPU does this
        return table.factorize(column)
