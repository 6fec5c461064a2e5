"""Limits of groups of processes, as containers and job schedulers set them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from gpuvis import cgroups, machine

GIB = 1 << 30


@pytest.fixture
def groups(tmp_path, monkeypatch) -> Callable[..., None]:
    """Lay out files of groups, by their paths below the root, and the process's own groups."""

    def lay(own: str, **files: str) -> None:
        monkeypatch.setattr(cgroups, "ROOT", tmp_path)
        monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return lay


@pytest.fixture
def many_processors(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


STAT = "anon 5\nactive_file 1073741824\ninactive_file 0\n"
V1 = f"cache 1\nactive_file 7\ninactive_file 7\ntotal_active_file {GIB}\ntotal_inactive_file 0\n"


@pytest.mark.parametrize(
    ("own", "files", "threads"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/job/step", {"job/cpu.max": "300000 100000", "job/step/cpu.max": "max 100000"}, 3),
        ("0::/job/step", {"job/cpu.max": "800000 100000", "job/step/cpu.max": "50000 100000"}, 1),
        (
            "4:cpu,cpuacct:/slurm/job",
            {
                "cpu,cpuacct/slurm/job/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/slurm/job/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            },
            4,
        ),
        ("4:cpu:/not/seen", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ("", {}, 64),
    ],
)
def test_threads_are_those_of_the_tightest_group(groups, many_processors, own, files, threads) -> None:
    groups(own, **files)
    assert machine.cpu_threads() == threads


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"memory.max": str(4 * GIB), "memory.current": str(3 * GIB), "memory.stat": STAT}, (4, 2)),
        (
            "0::/job/step",
            {
                "job/memory.max": str(2 * GIB),
                "job/memory.current": str(GIB),
                "job/step/memory.max": "max",
                "job/step/memory.current": str(GIB),
            },
            (2, 1),
        ),
        (
            "9:memory:/slurm/uid_1/job_2",
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/slurm/uid_1/job_2/memory.limit_in_bytes": str(3 * GIB),
                "memory/slurm/uid_1/job_2/memory.usage_in_bytes": str(2 * GIB),
                "memory/slurm/uid_1/job_2/memory.stat": V1,
            },
            (3, 2),
        ),
    ],
)
def test_memory_is_that_of_the_tightest_group(groups, monkeypatch, own, files, expected) -> None:
    groups(own, **files)
    monkeypatch.setattr(os, "sysconf", lambda name: 1 << 20 if name == "SC_PHYS_PAGES" else 1 << 16)  # 64 GiB
    monkeypatch.setattr(machine, "_read", lambda path: f"MemAvailable: {32 * GIB // 1024} kB")
    assert (machine.memory_bytes(), machine.memory_available()) == (expected[0] * GIB, expected[1] * GIB)


def test_without_limits_all_is_there(groups, monkeypatch) -> None:
    groups("0::/", **{"memory.max": "max", "memory.current": "5"})
    monkeypatch.setattr(machine, "_read", lambda path: f"MemAvailable: {32 * GIB // 1024} kB")
    assert cgroups.memory() is None
    assert machine.memory_available() == 32 * GIB
