"""Load the compiled loops for the best instruction set of this processor.

Installing gpuvis builds them from the C++ files in this folder, once for each instruction set. All give the same bits.
Each loop takes arrays in C order, without copying them, and a range of rows to work on, (first, last). It releases
Python's global lock.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

from scipy.linalg import cython_blas

from gpuvis.errors import NotBuiltError

LOWEST = ("_v2", "_base")  # the modules that run on any x86-64, and on any other processor


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{name}")


def _lowest() -> Any:
    """Return the module that runs on every processor of this architecture.

    Raises
    ------
    NotBuiltError
        The loops were not compiled for this Python.
    """
    for name in LOWEST:
        try:
            return _module(name)
        except ModuleNotFoundError:
            continue
    raise NotBuiltError(
        f"the compiled loops are missing: {__path__[0]} has no {' or '.join(LOWEST)}{EXTENSION_SUFFIXES[0]}; "
        "install gpuvis for this Python: make install"
    )


def _with_blas(level: str) -> Any:
    module = _module(f"_{level}")
    module.use_blas(cython_blas.__pyx_capi__["sgemm"])
    return module


def available() -> dict[str, Any]:
    """Return the modules that this processor can run, the best first; all have the functions of `loops`."""
    return {level: _with_blas(level) for level in _lowest().levels()}


loops = _with_blas(_lowest().levels()[0])
