"""The double of cudf (see rapids_double): it works with Arrow on the host."""

from rapids_double.device import device as _device

_device.import_of("cudf")

import cupy as _cupy  # noqa: E402
from rapids_double.cudf_table import DataFrame, Index, Series  # noqa: E402
from rmm.allocators.cupy import rmm_cupy_allocator as _rmm_cupy_allocator  # noqa: E402

_cupy.cuda.set_allocator(_rmm_cupy_allocator)  # as the real one does
__version__ = "26.10.02"
__all__ = ["DataFrame", "Index", "Series"]
