"""Choose the backend: once, before work starts, and with a reason that is recorded."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from gpuvis.backends import probe
from gpuvis.backends.base import Backend
from gpuvis.errors import NoGpuError, SettingsError

Name = Literal["auto", "gpu", "cpu"]
NAMES: tuple[Name, ...] = ("auto", "gpu", "cpu")


def choose(name: str = "auto", memory_limit: int | None = None) -> tuple[Backend, str]:
    """Choose where to work.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for. "auto" takes the GPU if it can be used.
    memory_limit : int, optional
        The most bytes of the GPU's memory to use.

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
    lacking = obstacle(name) or probe.what_the_gpu_lacks(memory_limit)
    if lacking is None:
        gpu: Any = import_module("gpuvis.backends.gpu")
        return gpu, "a GPU is there, and did a small fit"
    if name == "gpu":
        raise NoGpuError(f"the GPU backend cannot be used: {lacking}; use --backend cpu or auto to work on the CPU")
    from gpuvis.backends import cpu

    return cpu, lacking if name == "cpu" else f"no GPU can be used: {lacking}"


def obstacle(name: str) -> str | None:
    """Say what keeps from the GPU, as far as it is known without loading the GPU's libraries; None: nothing so far.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for.
    """
    if name not in NAMES:
        raise SettingsError(f"backend has to be one of {', '.join(NAMES)}; found {name!r}")
    return "the CPU was asked for" if name == "cpu" else probe.obstacle()
