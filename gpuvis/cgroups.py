"""Read the limits of Linux control groups, which containers and job schedulers use to share threads and memory.

There are two versions of control groups. Groups are nested, and the tightest limit applies.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
FILE_PAGES = ("active_file", "inactive_file")  # cached file contents, which the kernel can drop at any time


class MemoryLimit(NamedTuple):
    """Memory limit of the control groups of this process.

    Attributes
    ----------
    total : int
        The tightest limit, in bytes.
    available : int
        Bytes that can still be allocated before any limit is reached.
    """

    total: int
    available: int


def processors() -> float | None:
    """Return how many processors' worth of time this process may use; None if there is no limit."""
    limits = []
    for folder in _folders("cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        quota, period = quota or _read(folder / "cpu.cfs_quota_us"), period or _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory() -> MemoryLimit | None:
    """Return the memory limit of this process; None if there is none."""
    totals, available = [], []
    for folder in _folders("memory"):
        limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
        if limit.isdigit():
            totals.append(int(limit))
        if limit.isdigit() and used.isdigit():
            stat = dict(line.split(maxsplit=1) for line in _read(folder / "memory.stat").splitlines())
            file_pages = sum(int(stat.get(f"total_{name}", stat.get(name, 0))) for name in FILE_PAGES)
            available.append(max(0, int(limit) - int(used) + file_pages))
    return MemoryLimit(min(totals), min(available, default=min(totals))) if totals else None


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's groups and of the groups that contain them.

    Inside a container the path of the group may not be visible. The topmost folder then is the container's group.
    """
    yield from (ROOT, ROOT / controller)
    for line in _read(OWN).splitlines():
        _, names, path = line.split(":", 2)
        if not names or controller in names.split(","):
            top = ROOT / names if names else ROOT
            group = top / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _read(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
