"""The suite for a GPU, tests/gpu, is in order: its quick part passes on the double of RAPIDS.

That is no evidence of what a GPU does; only `make test-gpu` on a machine with one is. What needs one, or too long on
the double, carries the marker real_gpu or long and is left out here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import rapids_double
from rapids_double.fixtures import rapids

__all__ = ["rapids"]
ROOT = Path(__file__).parents[2]
HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
BESIDE = {"PYTHONSAFEPATH": ""}  # a program imports the files beside it, though make test sets this
RAPIDS = ("cuml", "cudf", "cuvs", "rmm")


def suite(markers: str, env: dict[str, str] | None = None, *more: str) -> subprocess.CompletedProcess[str]:
    """Run tests/gpu in a process of its own, on this machine or on the double."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", markers, "tests/gpu", *more]
    around = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    around |= {"OMP_NUM_THREADS": "1"}  # threads that wait for each other cost most of the time of such small data
    return subprocess.run(
        command, cwd=ROOT, env=around | (env or {}), capture_output=True, text=True, timeout=600, check=False
    )


def results(last: str) -> set[str]:
    """Return the kinds of results in pytest's last line."""
    return set(re.findall(r"\d+ ([a-z]+)", last.partition(" in ")[0])) - {"deselected"}


def test_the_suite_is_in_order_on_the_double() -> None:
    """No test is skipped, and each file has tests for the double."""
    done = suite("gpu and not real_gpu and not long", rapids_double.environment(), "-rp")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert f"device: {rapids_double.NAME}" in done.stdout
    assert results(done.stdout.strip().splitlines()[-1]) == {"passed"}
    passed = set(re.findall(r"^PASSED tests/gpu/(\w+\.py)::", done.stdout, re.MULTILINE))
    assert passed == {path.name for path in (ROOT / "tests" / "gpu").glob("test_*.py")} - {"test_core.py"}


def core(env: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    """Run the checks for a box without RAPIDS in a process of their own."""
    around = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | BESIDE
    command = [sys.executable, str(ROOT / "tests" / "gpu" / "core.py"), *args]
    around |= {"OMP_NUM_THREADS": "1"} | env
    return subprocess.run(command, env=around, capture_output=True, text=True, timeout=600, check=False)


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]


def test_its_core_is_in_order_where_there_is_no_rapids() -> None:
    """Each check passes on the double, but for the bits of NaN, which are the host's: so it never passes for a GPU."""
    done = core(rapids_double.environment(missing=RAPIDS))
    head, _, *rows = rows_of(done.stdout)
    assert head == ["what", "measured", "expected", "ok"]
    told = {row[0]: row[3] for row in rows}
    assert [name for name, ok in told.items() if ok == "NO"] == ["bits of 0 / 0"], done.stdout + done.stderr[-3000:]
    assert done.returncode == 1
    assert [results(row[1]) for row in rows if row[0] == "tests marked gpu_core"] == [{"passed"}]
    kinds = ("DLPack", "streamed PCA", "neighbours of", "ranks of", "graph of", "distances for", "exact neighbours")
    assert all(any(name.startswith(kind) and ok == "yes" for name, ok in told.items()) for kind in kinds)
    for line in (done.stdout.splitlines()[0], done.stdout.splitlines()[-1]):
        assert line.endswith(rapids_double.NAME)


def test_without_a_gpu_nothing_is_checked() -> None:
    done = core(HIDDEN)
    told = "nothing was checked, because no GPU can be used: CUDA_VISIBLE_DEVICES is '-1', which hides every GPU"
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", told)


def test_a_check_that_fails_is_told_and_costs_no_other(rapids, monkeypatch) -> None:
    import cupy
    from gpu import core as checks

    from gpuvis.backends import neighbor_graph

    whole = neighbor_graph.repaired

    def forgetful(indices, distances, xp):
        found = whole(indices, distances, xp)
        if xp is cupy:
            found.indices[3] = 3
        return found

    monkeypatch.setattr(neighbor_graph, "repaired", forgetful)
    monkeypatch.setattr(checks.pca, "fit", lambda *args: (_ for _ in ()).throw(MemoryError("no room")))
    rows = {row.what: row for row in checks.run(cupy, ["pca", "graphs", "dlpack"], checks.FEW)}
    assert rows["pca"][1:] == ("MemoryError: no room", "no error", False)
    assert rows["graph of 500 × 12 repaired as by NumPy"].ok is False
    assert rows["graph of 2,000 × 12: rows alone, or not first"].measured == "1"
    assert rows["DLPack, 20 rounds"].ok
    assert " NO " in checks.table(list(rows.values()))


HIDES = "nothing was tested, because no GPU can be used: CUDA_VISIBLE_DEVICES is '-1', which hides every GPU"


def test_without_a_gpu_it_fails_and_says_why() -> None:
    done = suite("gpu", HIDDEN)
    assert done.returncode not in {0, 5}
    assert done.stderr.strip() == f"ERROR: {HIDES}"
    assert "passed" not in done.stdout
    assert "skipped" not in done.stdout


def begin(marker: str) -> None:
    """Do what the suite does before its first test, in this process, where one test was collected."""
    from gpu import conftest

    marked = SimpleNamespace(get_closest_marker=lambda name: name == marker)
    conftest.pytest_collection_finish(
        SimpleNamespace(config=SimpleNamespace(option=SimpleNamespace(collectonly=False)), items=[marked])
    )


def test_without_a_gpu_its_core_says_why(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(pytest.UsageError, match=f"^{re.escape(HIDES)}$"):
        begin("gpu_core")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"present": False}, "no CUDA device is visible: cudaErrorInsufficientDriver"),
        ({"compute_capability": (6, 1)}, "the GPU has compute capability 6.1"),
        ({"fails": {"cuml.PCA": "cudaErrorIllegalAddress"}}, "a small fit on the GPU failed: "),
    ],
)
def test_a_gpu_that_cannot_be_used_is_a_failure(monkeypatch, options, told) -> None:
    rapids_double.install(monkeypatch, **options)
    with pytest.raises(pytest.UsageError, match="nothing was tested, because no GPU can be used: ") as refused:
        begin("gpu")
    assert told in str(refused.value)


def test_an_empty_run_is_a_failure() -> None:
    assert suite("gpu and gpu_core", rapids_double.environment()).returncode == 5


def test_without_a_gpu_nothing_is_timed() -> None:
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "bench_gpu.py")]
    around = os.environ | BESIDE | HIDDEN
    done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("nothing was timed: the GPU backend cannot be used: ")
    assert done.stdout == ""


def test_the_benchmark_prints_its_table(tmp_path) -> None:
    """On the double: the table is in order, its numbers are of no machine, and it says so."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "bench_gpu.py"), "--sizes", "60x16"]
    command += ["--warm-up", "30x12", "--methods", "tsne", "--runs", "1"]  # UMAP on the CPU takes long to compile
    around = os.environ | BESIDE | rapids_double.environment() | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"GPU: {rapids_double.NAME}")
    table = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    assert [len(line) for line in table] == [len(table[0])] * 3
    assert [line[2].strip() for line in table[2:]] == ["tsne"]
    assert list(tmp_path.iterdir()) == []
