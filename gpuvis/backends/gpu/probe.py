"""Find out whether a GPU can be used, and if not, why."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from importlib.util import find_spec

NEEDED = ("cupy", "cuml", "cudf", "cuvs", "rmm")
OLDEST_DRIVER = {12: 12020, 13: 13000}  # keys: the major version of CUDA that the libraries are built for
LOWEST_CAPABILITY = {12: 70, 13: 75}


def obstacle() -> str | None:
    """Return why no GPU can be used; None if nothing prevents it. Does not import RAPIDS, which takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU"
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        return f"RAPIDS is not installed: no {', '.join(missing)} (with an NVIDIA GPU: make install EXTRAS=cu13)"
    return None


def check_gpu(memory_limit: int | None = None) -> str | None:
    """Test the GPU: driver, libraries, a small fit. Return why it cannot be used, or None if it can.

    Call `obstacle` first.

    Parameters
    ----------
    memory_limit : int, optional
        Most bytes of device memory to use.
    """
    reason = _device() or _libraries()
    if reason:
        return reason
    try:
        import_module("gpuvis.backends.gpu.backend").set_up(memory_limit)
    except Exception as error:  # noqa: BLE001  any error here would also occur in the middle of a run
        return f"a small fit on the GPU failed: {_in_one_line(error)}"
    return None


def _device() -> str | None:
    """Return why the device cannot be used, or None. Needs only CuPy, whose import is quick."""
    try:
        cupy = import_module("cupy")
    except Exception as error:  # noqa: BLE001  a broken installation raises anything
        return f"CuPy is installed, but cannot be imported: {_in_one_line(error)}"
    runtime = cupy.cuda.runtime
    if not cupy.is_available():
        return f"{_installed()}, but no CUDA device is visible: {_why_not(runtime)}"
    driver, major = runtime.driverGetVersion(), runtime.runtimeGetVersion() // 1000
    if driver < OLDEST_DRIVER.get(major, 0):
        return (
            f"the NVIDIA driver is for CUDA {driver // 1000}.{driver % 1000 // 10}, but the libraries are built for "
            f"CUDA {major}: install a newer driver"
        )
    capability = int(cupy.cuda.Device(0).compute_capability)
    if capability < LOWEST_CAPABILITY.get(major, 0):
        least = LOWEST_CAPABILITY[major]
        return (
            f"the GPU has compute capability {capability // 10}.{capability % 10}, but RAPIDS for CUDA {major} needs "
            f"{least // 10}.{least % 10} or more"
        )
    return None


def _why_not(runtime: object) -> str:
    """Return why the driver shows no device."""
    try:
        count = runtime.getDeviceCount()  # type: ignore[attr-defined]
    except RuntimeError as error:
        return _in_one_line(error)
    return f"the driver counts {count}"


def _libraries() -> str | None:
    """Return which library cannot be imported, and why; None if all can be imported."""
    for name in NEEDED[1:]:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001
            return f"{name} is installed, but cannot be imported: {_in_one_line(error)}"
    return None


def _installed() -> str:
    """Return the installed version of cuML, as a sentence."""
    for name in ("cuml-cu13", "cuml-cu12", "cuml"):
        try:
            return f"cuML {metadata.version(name)} is installed"
        except metadata.PackageNotFoundError:
            continue
    return "cuML is installed"


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
