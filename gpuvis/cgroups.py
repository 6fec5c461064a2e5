"""Limits of control groups, by which containers and job schedulers share out threads and memory.

Linux has them in two versions. Groups lie in groups, and the tightest limit holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
FILE_PAGES = ("active_file", "inactive_file")  # of files that can be read again


def processors() -> float | None:
    """Return how many processors' time the groups of this process may use; None: there is no limit."""
    found = []
    for folder in _folders("cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        quota, period = quota or _read(folder / "cpu.cfs_quota_us"), period or _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory() -> tuple[int, int] | None:
    """Return the limit of bytes that holds, and how many are left below any; None: there is no limit."""
    limits, left = [], []
    for folder in _folders("memory"):
        most = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
        if most.isdigit():
            limits.append(int(most))
        if most.isdigit() and used.isdigit():
            parts = dict(line.split(maxsplit=1) for line in _read(folder / "memory.stat").splitlines())
            pages = sum(int(parts.get(f"total_{name}", parts.get(name, 0))) for name in FILE_PAGES)
            left.append(max(0, int(most) - int(used) + pages))
    return (min(limits), min(left, default=min(limits))) if limits else None


def _folders(controller: str) -> Iterator[Path]:
    """Give the folders of the groups that this process is in, and of those around them.

    In a container its own path may not be seen, and then the outermost folder is that of its group.
    """
    yield from (ROOT, ROOT / controller)
    for line in _read(OWN).splitlines():
        _, names, path = line.split(":", 2)
        if not names or controller in names.split(","):
            top = ROOT / names if names else ROOT
            group = top / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
