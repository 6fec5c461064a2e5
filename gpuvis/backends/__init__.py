"""Choose the backend: the GPU or the CPU, once, with the reason that the record keeps."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, NamedTuple

from gpuvis import machine
from gpuvis.backends.base import Backend
from gpuvis.backends.gpu import probe
from gpuvis.errors import NoGpuError, SettingsError

Name = Literal["auto", "gpu", "cpu"]
NAMES: tuple[Name, ...] = ("auto", "gpu", "cpu")


# Rows in all from which loading RAPIDS pays. A guess until a GPU has been timed: torch, CuPy, cuDF, cuML and cuVS take
# some ten seconds to load, in which two cores draw the UMAP map of MNIST twice, or its t-SNE map nearly once.
WORTH = 50_000
NO_GPU = "no GPU can be used: "


class Chosen(NamedTuple):
    """A backend.

    Attributes
    ----------
    backend : Backend
    reason : str
        Why this one, in one sentence.
    """

    backend: Backend
    reason: str


def choose(name: str = "auto", memory_limit: int | None = None, rows: int | None = None) -> Chosen:
    """Choose where to work.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for. "auto" takes the GPU if it can be used, and the rows are worth it.
    memory_limit : int, optional
        The most bytes of the GPU's memory to use.
    rows : int, optional
        How many there are in all; None: it is not known, or is not to be weighed.

    Returns
    -------
    Chosen
        The backend, and why this one.

    Raises
    ------
    NoGpuError
        "gpu" was asked for, and this machine has none that can be used.
    OutOfMemoryError
        A limit of this process is too low for the libraries.
    """
    lacking, few = obstacle(name), too_few(name, rows)
    if lacking is None and few is None:
        lacking = probe.what_the_gpu_lacks(memory_limit)
        if lacking is None:
            gpu: Any = import_module("gpuvis.backends.gpu.backend")
            return Chosen(gpu, "a GPU is there, and did a small fit")
    if name == "gpu":
        raise NoGpuError(f"the GPU backend cannot be used: {lacking}; use --backend cpu or auto to work on the CPU")
    from gpuvis.backends.cpu import backend as cpu

    machine.check_room()
    if lacking is None:
        return Chosen(cpu, str(few))
    return Chosen(cpu, lacking if name == "cpu" else f"{NO_GPU}{lacking}")


def too_few(name: str, rows: int | None) -> str | None:
    """Say why so many rows are not worth a GPU, if "auto" was asked for and they are not."""
    if name != "auto" or rows is None or rows >= WORTH:
        return None
    return (
        f"{rows:,} rows in all are done sooner on the CPU than RAPIDS is loaded: auto takes the GPU from {WORTH:,} "
        "rows on, --backend gpu for any"
    )


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
