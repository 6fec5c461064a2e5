"""The double of cuvs (see rapids_double): it computes with scikit-learn on the host."""

from rapids_double.device import device as _device

_device.import_of("cuvs")

__version__ = "26.10.00"
