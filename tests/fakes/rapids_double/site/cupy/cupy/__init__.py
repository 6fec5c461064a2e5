"""The double of cupy (see rapids_double): it computes with NumPy on the host."""

import numpy as _np
from rapids_double.device import device as _device

_device.import_of("cupy")

from rapids_double import elementwise as _elementwise  # noqa: E402
from rapids_double import signatures as _signatures  # noqa: E402
from rapids_double.array import ndarray  # noqa: E402, F401
from rapids_double.functions import *  # noqa: E402, F403

from cupy import cuda, linalg  # noqa: E402, F401

globals().update(_elementwise.MADE)
__version__ = _signatures.VERSIONS["cupy-cuda13x"]
float16, float32, float64 = _np.float16, _np.float32, _np.float64
int8, int32, int64, uint8, bool_ = _np.int8, _np.int32, _np.int64, _np.uint8, _np.bool_
newaxis, inf, nan = None, _np.inf, _np.nan
is_available = cuda.is_available


class _MemoryPool:
    def free_all_blocks(self, stream=None):
        from rapids_double.ledger import ledger

        _device.require()
        ledger.pools["cupy"].kept = 0

    def used_bytes(self):
        from rapids_double.ledger import ledger

        return ledger.pools["cupy"].live

    def total_bytes(self):
        from rapids_double.ledger import ledger

        return ledger.pools["cupy"].live + ledger.pools["cupy"].kept


_pool = _MemoryPool()


def get_default_memory_pool():
    return _pool
