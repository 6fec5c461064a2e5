"""Threads, memory and installed versions that this process has, within the limits of containers."""

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

ROOM, THREAD_ROOM = 3 << 29, 1 << 28  # bytes of addresses that libraries take, on the CPU, and for each thread more

PACKAGES = [
    *("gpuvis", "torch", "numpy", "scipy", "scikit-learn", "umap-learn", "pynndescent", "numba"),
    *("pandas", "pyarrow", "plotly", "pillow", "click", "rich"),
    *("cuml-cu13", "cuml-cu12", "cupy-cuda13x", "cupy-cuda12x", "cudf-cu13", "cudf-cu12", "cuvs-cu13", "cuvs-cu12"),
]


@once
def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that bear on a result."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_threads() -> int:
    """Return how many threads can run at once: the processors this process may use, within a container's quota."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroups.processors()
    return threads if quota is None else min(threads, max(1, ceil(quota)))


def memory_bytes() -> int:
    """Return the memory of the machine in bytes, or of the container if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = cgroups.memory()
    return min(total, limit[0]) if limit else total


def memory_available() -> int:
    """Return how many bytes can be taken now without driving others out, within a container's limit."""
    lines = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else memory_bytes()
    limit = cgroups.memory()
    return min(free, limit[1]) if limit else free


def memory_room() -> int | None:
    """Return how many bytes more this process may map, by the limits of `ulimit -v` and `-d`; None: there are none."""
    pages = [int(count) for count in _read("/proc/self/statm").split()]
    if not pages:
        return None
    limits = (resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])
    soft = [(resource.getrlimit(kind)[0], taken * resource.getpagesize()) for kind, taken in limits]
    return min((most - taken for most, taken in soft if most != resource.RLIM_INFINITY), default=None)


def check_room() -> None:
    """Refuse to begin where libraries would end the process, or wait for ever, for memory that they are not given.

    Raises
    ------
    OutOfMemoryError
        A limit of this process is too low for the libraries.
    """
    room, needed = memory_room(), ROOM + THREAD_ROOM * cpu_threads()
    if room is not None and room < needed:
        limits = f"the limits of this process (ulimit -v, -d) let it take {max(room, 0) >> 20} MiB more"
        raise OutOfMemoryError(f"{limits}, and about {needed >> 20} are needed to begin; use ulimit -v unlimited")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
