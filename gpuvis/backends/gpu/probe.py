"""Tell whether a GPU can be used, and if not, why."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from importlib.util import find_spec

NEEDED = ("cupy", "cuml", "cudf", "cuvs", "rmm")
OLDEST_DRIVER = {12: 12020, 13: 13000}  # by CUDA's major version, which the libraries are built for
LOWEST_CAPABILITY = {12: 70, 13: 75}


def obstacle() -> str | None:
    """Return what can be known to stand in the way without importing RAPIDS, which takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU"
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        return f"RAPIDS is not installed: no {', '.join(missing)} (with an NVIDIA GPU: make install EXTRAS=cu13)"
    return None


def what_the_gpu_lacks(memory_limit: int | None = None) -> str | None:
    """Try the GPU step by step, where there is no obstacle; return why it cannot be used, if it cannot."""
    found = _device() or _libraries()
    if found:
        return found
    try:
        import_module("gpuvis.backends.gpu.backend").set_up(memory_limit)
    except Exception as error:  # noqa: BLE001  whatever fails here would fail in the middle of the work
        return f"a small fit on the GPU failed: {_in_one_line(error)}"
    return None


def _device() -> str | None:
    """Look at the device through CuPy, which imports in a second; the other libraries take several."""
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
    try:
        count = runtime.getDeviceCount()  # type: ignore[attr-defined]
    except RuntimeError as error:
        return _in_one_line(error)
    return f"the driver counts {count}"


def _libraries() -> str | None:
    for name in NEEDED[1:]:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001
            return f"{name} is installed, but cannot be imported: {_in_one_line(error)}"
    return None


def _installed() -> str:
    for name in ("cuml-cu13", "cuml-cu12", "cuml"):
        try:
            return f"cuML {metadata.version(name)} is installed"
        except metadata.PackageNotFoundError:
            continue
    return "cuML is installed"


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
