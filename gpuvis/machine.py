"""Return the threads and the memory that this process may use, within container limits, and installed versions."""

from __future__ import annotations

import os
import platform
import resource
from functools import cache as once
from importlib import metadata
from math import ceil
from pathlib import Path

from gpuvis import cgroups
from gpuvis.errors import OutOfMemoryError

# Bytes of address space that the CPU libraries reserve, and that each thread adds.
LIBRARY_ADDRESSES, THREAD_ADDRESSES = 3 << 29, 1 << 28

PACKAGES = [
    *("gpuvis", "torch", "numpy", "scipy", "scikit-learn", "umap-learn", "pynndescent", "numba"),
    *("pandas", "pyarrow", "plotly", "pillow", "click", "rich"),
    *("cuml-cu13", "cuml-cu12", "cupy-cuda13x", "cupy-cuda12x", "cudf-cu13", "cudf-cu12", "cuvs-cu13", "cuvs-cu12"),
]


@once
def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that may affect a result."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def cpu_name() -> str:
    """Return the name of the processor as the operating system reports it."""
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_threads() -> int:
    """Return how many threads can run at once: the processors that this process may use, within container limits."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroups.processors()
    return threads if quota is None else min(threads, max(1, ceil(quota)))


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container if that is less, in bytes."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = cgroups.memory()
    return min(total, limit.total) if limit else total


def memory_available() -> int:
    """Return how many bytes can be allocated now without swapping, within container limits."""
    lines = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else memory_bytes()
    limit = cgroups.memory()
    return min(free, limit.available) if limit else free


def memory_room() -> int | None:
    """Return how many more bytes `ulimit -v` and `ulimit -d` let this process map; None if they set no limit."""
    page_counts = [int(count) for count in _read("/proc/self/statm").split()]
    if not page_counts:
        return None
    mapped, _, _, _, _, data, *_ = page_counts
    rooms = []
    for limit, pages in ((resource.RLIMIT_AS, mapped), (resource.RLIMIT_DATA, data)):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            rooms.append(soft - pages * resource.getpagesize())
    return min(rooms, default=None)


def check_room() -> None:
    """Check that the process may map enough memory for the libraries, which otherwise crash or hang.

    Raises
    ------
    OutOfMemoryError
        A limit of this process is too low for the libraries.
    """
    room, needed = memory_room(), LIBRARY_ADDRESSES + THREAD_ADDRESSES * cpu_threads()
    if room is not None and room < needed:
        limits = f"the limits of this process (ulimit -v, -d) let it take {max(room, 0) >> 20} MiB more"
        raise OutOfMemoryError(f"{limits}, and about {needed >> 20} MiB are needed to start; use ulimit -v unlimited")


def _read(path: str) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
