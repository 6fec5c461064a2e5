"""Choose the backend: once, before work starts, and with a reason that is recorded."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from gpuvis.backends.base import Backend
from gpuvis.errors import NoGpuError, SettingsError

Name = Literal["auto", "gpu", "cpu"]
NAMES: tuple[Name, ...] = ("auto", "gpu", "cpu")


def choose(name: str = "auto") -> tuple[Backend, str]:
    """Choose where to work.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for. "auto" takes the GPU if it can be used.

    Returns
    -------
    backend : Backend
    reason : str
        Why this one, in one sentence.

    Raises
    ------
    NoGpuError
        "gpu" was asked for, and this machine has none that can be used.
    """
    missing = obstacle(name) or _what_the_gpu_lacks()
    if name == "cpu":
        return _cpu(), missing
    if name == "gpu":
        raise NoGpuError(f"the GPU backend cannot be used: {missing}; use --backend cpu or auto to work on the CPU")
    return _cpu(), f"no GPU can be used: {missing}"


def obstacle(name: str) -> str | None:
    """Say what keeps from the GPU, as far as it is known without loading the GPU's libraries; None: nothing so far.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for.
    """
    if name not in NAMES:
        raise SettingsError(f"backend has to be one of {', '.join(NAMES)}; found {name!r}")
    if name == "cpu":
        return "the CPU was asked for"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in {"", "-1"}:
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    missing = [library for library in ("cuml", "cupy") if find_spec(library) is None]
    return f"{' and '.join(missing)} not installed (make install EXTRAS=cu13)" if missing else None


def _cpu() -> Backend:
    from gpuvis.backends import cpu

    return cpu


def _what_the_gpu_lacks() -> str:
    if not Path("/proc/driver/nvidia/version").exists() and not Path("/dev/dxg").exists():
        return "no NVIDIA driver is loaded on this machine"
    return "this version of gpuvis works on the CPU only"
