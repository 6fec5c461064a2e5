"""Choose the backend, the GPU or the CPU, and give the reason, which the run record keeps."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, NamedTuple

from gpuvis import machine
from gpuvis.backends.base import Backend
from gpuvis.backends.gpu import probe
from gpuvis.errors import NoGpuError, SettingsError

Name = Literal["auto", "gpu", "cpu"]
NAMES: tuple[Name, ...] = ("auto", "gpu", "cpu")


# The number of rows from which loading RAPIDS pays off. A guess until a GPU has been timed: torch, CuPy, cuDF, cuML and
# cuVS take some ten seconds to load. In that time two cores draw the UMAP map of MNIST twice, or its t-SNE map nearly
# once.
WORTH = 50_000
NO_GPU = "no GPU can be used: "


class Chosen(NamedTuple):
    """The backend that was chosen.

    Attributes
    ----------
    backend : Backend
    reason : str
        Why, in one sentence.
    """

    backend: Backend
    reason: str


def choose(name: str = "auto", memory_limit: int | None = None, rows: int | None = None) -> Chosen:
    """Choose the backend to work on.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for. "auto" takes the GPU if it can be used and there are at least `WORTH` rows.
    memory_limit : int, optional
        The most bytes of the GPU's memory to use.
    rows : int, optional
        How many rows there are in all. None: "auto" takes the GPU for any number of rows.

    Returns
    -------
    Chosen

    Raises
    ------
    NoGpuError
        "gpu" was asked for, and this machine has no GPU that can be used.
    SettingsError
        The name is not one of these.
    OutOfMemoryError
        A limit of this process is too low for the libraries.
    """
    why_not, few = obstacle(name), too_few(name, rows)
    if why_not is None and few is None:
        why_not = probe.what_the_gpu_lacks(memory_limit)
        if why_not is None:
            gpu: Any = import_module("gpuvis.backends.gpu.backend")
            return Chosen(gpu, "a GPU is there, and did a small fit")
    if name == "gpu":
        raise NoGpuError(f"the GPU backend cannot be used: {why_not}; use --backend cpu or auto to work on the CPU")
    from gpuvis.backends.cpu import backend as cpu

    machine.check_room()
    if why_not is None:
        return Chosen(cpu, str(few))
    return Chosen(cpu, why_not if name == "cpu" else f"{NO_GPU}{why_not}")


def too_few(name: str, rows: int | None) -> str | None:
    """Return why the rows are too few for a GPU; None if they are not, or the backend was named by the user.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for.
    rows : int or None
        How many rows there are in all, if that is known.
    """
    if name != "auto" or rows is None or rows >= WORTH:
        return None
    return (
        f"{rows:,} rows in all are done sooner on the CPU than RAPIDS is loaded: auto takes the GPU from {WORTH:,} "
        "rows on, --backend gpu for any"
    )


def obstacle(name: str) -> str | None:
    """Return why the GPU will not be used, as far as that is known without loading its libraries; None if it may be.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for.

    Raises
    ------
    SettingsError
        The name is not one of these.
    """
    if name not in NAMES:
        raise SettingsError(f"backend has to be one of {', '.join(NAMES)}; found {name!r}")
    return "the CPU was asked for" if name == "cpu" else probe.obstacle()
