"""The double of rmm (see rapids_double)."""

from rapids_double.device import device as _device

_device.import_of("rmm")

from rapids_double import signatures as _signatures  # noqa: E402

from rmm import mr, statistics  # noqa: E402, F401

__version__ = "26.10.00"
assert __version__.startswith(_signatures.VERSIONS["rmm-cu13"][:5])
