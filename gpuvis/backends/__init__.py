"""Choose the backend, GPU or CPU, and give the reason for the run record."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, NamedTuple

from gpuvis import machine
from gpuvis.backends.base import Backend
from gpuvis.backends.gpu import probe
from gpuvis.errors import NoGpuError, SettingsError

Name = Literal["auto", "gpu", "cpu"]
NAMES: tuple[Name, ...] = ("auto", "gpu", "cpu")


# Fewest rows for which loading RAPIDS pays off. This is a guess until a GPU has been timed: torch, CuPy, cuDF, cuML and
# cuVS take about ten seconds to load. In that time two cores compute the UMAP map of MNIST twice, or its t-SNE map
# nearly once.
MIN_GPU_ROWS = 50_000
NO_GPU = "no GPU can be used: "


class Selection(NamedTuple):
    """The selected backend.

    Attributes
    ----------
    backend : Backend
    reason : str
        Why it was selected, in one sentence.
    """

    backend: Backend
    reason: str


def choose(name: str = "auto", memory_limit: int | None = None, rows: int | None = None) -> Selection:
    """Choose the backend.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        The user's setting. "auto" selects the GPU if it can be used and there are at least `MIN_GPU_ROWS` rows.
    memory_limit : int, optional
        Most bytes of device memory to use.
    rows : int, optional
        Number of rows of all matrices. None: "auto" ignores the number of rows.

    Returns
    -------
    Selection

    Raises
    ------
    NoGpuError
        The name is "gpu", and this machine has no GPU that can be used.
    SettingsError
        The name is unknown.
    OutOfMemoryError
        A memory limit of this process is too low for the libraries.
    """
    why_not, few_rows = obstacle(name), too_few(name, rows)
    if why_not is None and few_rows is None:
        why_not = probe.check_gpu(memory_limit)
        if why_not is None:
            gpu: Any = import_module("gpuvis.backends.gpu.backend")
            return Selection(gpu, "a GPU is there, and did a small fit")
    if name == "gpu":
        raise NoGpuError(f"the GPU backend cannot be used: {why_not}; use --backend cpu or auto to work on the CPU")
    from gpuvis.backends.cpu import backend as cpu

    machine.check_room()
    if why_not is None:
        return Selection(cpu, str(few_rows))
    return Selection(cpu, why_not if name == "cpu" else f"{NO_GPU}{why_not}")


def too_few(name: str, rows: int | None) -> str | None:
    """Return why there are too few rows for the GPU; None if there are enough, or if the user named the backend.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        The user's setting.
    rows : int or None
        Number of rows of all matrices; None if unknown.
    """
    if name != "auto" or rows is None or rows >= MIN_GPU_ROWS:
        return None
    return (
        f"{rows:,} rows in all are done sooner on the CPU than RAPIDS is loaded: "
        f"auto takes the GPU from {MIN_GPU_ROWS:,} rows on, --backend gpu for any"
    )


def obstacle(name: str) -> str | None:
    """Return why the GPU will not be used; None if nothing prevents it. Does not load the GPU's libraries.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        The user's setting.

    Raises
    ------
    SettingsError
        The name is unknown.
    """
    if name not in NAMES:
        raise SettingsError(f"backend has to be one of {', '.join(NAMES)}; found {name!r}")
    return "the CPU was asked for" if name == "cpu" else probe.obstacle()
