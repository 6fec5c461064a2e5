"""Work in a child process that crashes, hangs, is stopped or orphaned: it costs one folder, and nothing is left."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import doubles_in_child
import pytest
from doubles import Log, results
from doubles_in_child import make_trouble
from examples import ENDS
from process import FAKES

from gpuvis.errors import (
    CacheError,
    DataError,
    GpuvisError,
    NoGpuError,
    OutOfMemoryError,
    OutputError,
    OutputExistsError,
    SettingsError,
)
from gpuvis.io.fingerprint import of_file
from gpuvis.jobs import batch, worker
from gpuvis.jobs.batch import Request
from gpuvis.jobs.job import Job
from gpuvis.jobs.outcome import Outcome
from gpuvis.page.options import Page
from gpuvis.settings import Settings, Tsne

BOTH = Settings(tsne=Tsne())


@pytest.fixture(autouse=True)
def possible(monkeypatch) -> None:
    """Nothing is known to keep from the GPU, which is the double in the child."""
    monkeypatch.setattr("gpuvis.jobs.place.obstacle", lambda name: None)
    monkeypatch.setattr("gpuvis.jobs.place.choose", doubles_in_child.choose)
    monkeypatch.setattr("gpuvis.backends.MIN_GPU_ROWS", 0)


@pytest.fixture
def three(make_cache, tmp_path):
    """Three folders, with trouble in the second."""

    def make(trouble: str | None = None) -> Path:
        for name in "abc":
            make_cache(f"t/{name}")
        if trouble:
            make_trouble(tmp_path / "t/b", trouble)
        return tmp_path / "t"

    return make


def ask(*roots: Path, settings: Settings | None = None, **changes: object) -> Request:
    return Request(roots, settings or Settings(), **{"page": None, **changes})


def told(folder: Path, method: str = "umap") -> dict:
    return json.loads((folder / f"vis_{method}_run.json").read_text())["backend"]


def process_of(folder: Path, method: str = "umap") -> int:
    return int(told(folder, method)["device"]["name"].removeprefix("process "))


def assert_nothing_is_left(root: Path) -> None:
    assert not list(root.rglob(".*"))
    assert multiprocessing.active_children() == []


def test_one_child_does_all_healthy_folders(three, caplog) -> None:
    caplog.set_level(logging.INFO, "gpuvis")
    root, log = three(), Log()
    report = batch.run(Request((root,), BOTH), log)
    assert results(report) == [(name, method, "written") for name in "abc" for method in ("umap", "tsne")]
    assert (report.backend, report.exit_code, log.outcomes) == ("gpu", 0, report.outcomes)
    assert [folder.name for folder in log.folders] == ["a", "b", "c"]
    assert (
        log.steps
        == ["read", "load", "umap", "save", "nearest", "quality", "draw", "tsne", "save", "nearest", "quality", "draw"]
        * 3
    )
    processes = {process_of(root / name, method) for name in "abc" for method in ("umap", "tsne")}
    assert len(processes) == 1
    assert os.getpid() not in processes
    assert told(root / "a")["reason"] == "auto was asked for"
    assert "backend: gpu, because auto was asked for" in caplog.messages
    assert_nothing_is_left(root)


# What happens; the results; the end of the first message; exit code.
CUT = "step umap was cut short: its process "
LOST = {
    "segfault": ([(None, "failed")], f"{CUT}died of SIGSEGV; run it again, or elsewhere .*", 1),
    "killed": ([(None, "failed")], f"{CUT}was killed .SIGKILL., probably by the kernel because memory ran out; .*", 4),
    "exit": ([(None, "failed")], f"{CUT}ended with code 7; run it again, or elsewhere .*", 1),
    "sticky": ([("umap", "failed"), ("tsne", "failed")], "unexpected RuntimeError: cudaErrorIllegalAddress", 1),
    "tsne segfault": ([("umap", "written"), ("tsne", "failed")], "step tsne was cut short: its process died of .*", 1),
    "error": ([("umap", "failed"), ("tsne", "written")], "unexpected ValueError: no good", 1),
}
FINE = [("umap", "written"), ("tsne", "written")]


def test_trouble_costs_one_folder_each_time(make_cache, tmp_path) -> None:
    """Each trouble lies between two healthy folders, which share a process only where it could go on."""
    root, troubles = tmp_path / "t", dict(enumerate(LOST))
    for number, trouble in troubles.items():
        make_cache(f"t/{number}")
        make_trouble(make_cache(f"t/{number} {trouble}"), trouble)
    make_cache(f"t/{len(LOST)}")
    report = batch.run(ask(root, settings=BOTH), Log())
    for number, trouble in troubles.items():
        expected, message, code = LOST[trouble]
        folder = root / f"{number} {trouble}"
        mine = [outcome for outcome in report.outcomes if outcome.folder == folder]
        assert [(outcome.method, outcome.result) for outcome in mine] == expected
        first = next(outcome for outcome in mine if outcome.error)
        assert re.fullmatch(f"{re.escape(str(folder))}: {message}", str(first.error))
        assert first.exit_code == code
        before, after = (process_of(root / str(k)) for k in (number, number + 1))
        assert (before == after) is (trouble == "error")
        assert len(list(folder.glob("vis*"))) == 3 * expected.count(("umap", "written")) + 3 * (trouble == "error")
    fine = [(method, result) for name, method, result in results(report) if name.isdigit()]
    assert fine == FINE * (len(LOST) + 1)
    assert {told(root / str(number))["reason"] for number in troubles} == {"auto was asked for"}
    assert (report.exit_code, report.backend) == (4, "gpu")
    assert_nothing_is_left(root)


def test_what_a_crash_leaves_is_swept_up(three) -> None:
    root = three("pca segfault")
    (root / "b/.vis_umap_coords.npy.0a1b2c3d.part").touch()
    (root / "b/.others").touch()
    report = batch.run(ask(root / "b", settings=Settings(tsne=Tsne(), pca_dim=4)), Log())
    assert results(report) == [("b", None, "failed")]
    assert "step pca was cut short" in str(report.outcomes[0].error)
    assert [path.name for path in root.rglob(".*")] == [".others"]


def test_a_hang_costs_one_folder(three, caplog) -> None:
    root = three("hang")
    make_trouble(root / "c", "deaf")
    report = batch.run(ask(root, timeout=1.5), Log())
    assert [outcome.result for outcome in report.outcomes] == ["written", "failed", "failed"]
    for name, outcome in zip("bc", report.outcomes[1:], strict=True):
        assert str(outcome.error) == (
            f"{root}/{name}: step umap was cut short: its process said nothing for 1.5 s and was ended; "
            "give it longer with --timeout"
        )
    hung = [int(message.split()[-1]) for message in caplog.messages if "hanging" in message]
    assert hung[0] == process_of(root / "a") != hung[1]
    assert_nothing_is_left(root)


def test_a_slow_step_that_speaks_is_no_hang(three, caplog) -> None:
    caplog.set_level(logging.INFO, "gpuvis")
    report = batch.run(ask(three("slow") / "b", timeout=1.2), Log())
    assert [outcome.result for outcome in report.outcomes] == ["written"]


def test_a_timeout_brings_the_cpu_into_a_child_as_well(three, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.jobs.place.obstacle", lambda name: "the CPU was asked for")
    reported = []
    start = worker.Worker._start
    monkeypatch.setattr(worker.Worker, "_start", lambda self: (reported.append(self._name), start(self)))
    root = three()
    report = batch.run(ask(root, backend="cpu", timeout=60), Log())
    assert ([outcome.result for outcome in report.outcomes], report.backend) == (["written"] * 3, "cpu")
    assert reported == ["cpu"]
    batch.run(ask(root, backend="cpu", overwrite=True), Log())
    assert reported == ["cpu"]


def test_large_files_are_read_in_a_child_where_there_are_several(three, monkeypatch) -> None:
    """One that is cut while it is mapped ends the process."""
    root = three("bus")
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "trouble on the CPU")
    monkeypatch.setattr("gpuvis.jobs.place.obstacle", lambda name: "the CPU was asked for")
    monkeypatch.setattr("gpuvis.io.pt.LARGE", (root / "a/embeddings.pt").stat().st_size)
    report = batch.run(ask(root, backend="auto"), Log())
    assert [outcome.result for outcome in report.outcomes] == ["written", "failed", "written"]
    assert "died of SIGBUS: a file was cut, or could not be read on; write the cache again" in str(
        report.outcomes[1].error
    )
    assert os.getpid() != process_of(root / "a") != process_of(root / "c")
    assert_nothing_is_left(root)


# What the child makes of the choice, and the reason that the record then gives.
FALLS_BACK = {
    "cpu": "no GPU can be used: it is too old",
    "segfault": "no GPU can be used: the GPU was tried in a process of its own, which died of SIGSEGV",
    "bug": "no GPU can be used: the GPU was tried and failed: AttributeError: module 'cuml' has no attribute 'UMAP'",
}


@pytest.mark.parametrize(("how", "timeout"), [("cpu", None), ("segfault", None), ("segfault", 60), ("bug", None)])
def test_a_gpu_that_cannot_be_used(three, monkeypatch, how, timeout) -> None:
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", how)
    made_here = []
    monkeypatch.setattr(batch.Pipeline, "run", lambda self, jobs, *how: made_here.extend(jobs) or run(self, jobs, *how))
    root = three()
    report = batch.run(ask(root, timeout=timeout), Log())
    assert [outcome.result for outcome in report.outcomes] == ["written"] * 3
    assert (report.backend, told(root / "a")["name"], told(root / "a")["reason"]) == ("cpu", "cpu", FALLS_BACK[how])
    assert len(made_here) == (0 if timeout else 3)
    with pytest.raises(
        NoGpuError, match=f"{re.escape(FALLS_BACK[how][len('no GPU can be used: ') :])}.*; use --backend cpu or auto"
    ):
        batch.run(ask(root, backend="gpu", overwrite=True), Log())
    assert_nothing_is_left(root)


run = batch.Pipeline.run


def test_a_gpu_that_is_lost_is_no_reason_to_use_the_cpu(three, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "once")
    monkeypatch.setenv("GPUVIS_TEST_MARK", str(tmp_path / "mark"))
    root = three("segfault")
    report = batch.run(ask(root), Log())
    assert [outcome.exit_code for outcome in report.outcomes] == [0, 1, 3]
    assert str(report.outcomes[2].error) == f"{root}/c: the GPU backend cannot be used: it fell off the bus"


def test_a_child_that_dies_between_two_folders_costs_nothing(three) -> None:
    class Killing(Log):
        def folder(self, number: int, folder: Path) -> None:
            for child in multiprocessing.active_children() if number == 2 else []:
                child.kill()
                child.join()
            super().folder(number, folder)

    root = three()
    report = batch.run(ask(root), Killing())
    assert [outcome.result for outcome in report.outcomes] == ["written"] * 3
    assert process_of(root / "a") != process_of(root / "b") == process_of(root / "c")


def test_nothing_to_do_waits_for_no_gpu(three, monkeypatch) -> None:
    root = three()
    batch.run(ask(root), Log())
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "segfault")
    report = batch.run(ask(root, backend="auto"), Log())
    assert [outcome.result for outcome in report.outcomes] == ["up to date"] * 3
    assert multiprocessing.active_children() == []
    with pytest.raises(NoGpuError, match="died of SIGSEGV"):  # there is none, whatever there is to do
        batch.run(ask(root, backend="gpu"), Log())


def test_errors_jobs_and_outcomes_cross_between_processes() -> None:
    class PlannedError(OutOfMemoryError):
        def __init__(self, needed: int, free: int) -> None:
            super().__init__(f"needs {needed}, has {free}")
            self.needed, self.free = needed, free

    globals()["PlannedError"], PlannedError.__qualname__ = PlannedError, "PlannedError"
    kinds = (CacheError, DataError, GpuvisError, NoGpuError, OutOfMemoryError, OutputError, OutputExistsError)
    for error in [PlannedError(7, 3), *(kind("where, what; what to do") for kind in (*kinds, SettingsError))]:
        got = pickle.loads(pickle.dumps(error))
        assert (type(got), str(got), got.args, vars(got)) == (type(error), str(error), error.args, vars(error))
        assert got.exit_code == error.exit_code
    odd = Path(os.fsdecode(b"/\xff"))
    for thing in (Job(odd, odd, BOTH, Page(color_by="b")), Outcome(odd, "written", "umap", 3, 4, 0.5, (odd,))):
        assert pickle.loads(pickle.dumps(thing)) == thing


PROGRAM = """
import sys; sys.path.insert(0, sys.argv.pop(1))
import doubles_in_child
from gpuvis import backends
from gpuvis.jobs import place, worker as child
place.choose, place.obstacle, backends.MIN_GPU_ROWS = doubles_in_child.choose, lambda name: None, 0
from gpuvis.cli.main import main
main()
"""


def started(root: Path, *args: str, until: str, **env: str) -> tuple[subprocess.Popen[str], str]:
    """Run the program with the double in its child, in a group of its own as a shell does, until it says something."""
    command = [sys.executable, "-c", PROGRAM, FAKES, "reduce", str(root), *args]
    pipe = subprocess.PIPE
    run = subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env={**os.environ, **env}
    )
    assert run.stderr is not None
    for line in run.stderr:
        if until in line:
            return run, line
    raise AssertionError(f"{until!r} was never said")


def assert_ended(run: subprocess.Popen[str], within: float) -> None:
    """All that the program started is gone."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    raise AssertionError("something is still running")


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)])
def test_a_stop_in_the_middle_of_a_step(three, number, to_all) -> None:
    root = three("hang")
    run, _ = started(root, until="hanging")
    with run:
        (os.killpg if to_all else os.kill)(run.pid, number)
        out, err = run.communicate(timeout=9)  # no need to kill it
    assert run.returncode == 128 + number
    assert f"stopped by {number.name}: 1 map was finished, and no file is half written" in err
    assert "1 written" in err
    assert "Traceback" not in err
    assert len(out.splitlines()) == 4
    assert not list((root / "b").glob("vis*"))
    assert not list(root.rglob(".*"))
    assert_ended(run, 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_of_saving(three, number) -> None:
    root = three()
    run, _ = started(root, until="that are not there yet", GPUVIS_TEST_SLOW_SAVING="1")
    coords, record = root / "a/vis_umap_coords.npy", root / "a/vis_umap_run.json"
    assert json.loads(record.read_text())["finished"] is False
    assert not coords.exists()
    with run:
        os.killpg(run.pid, number)
        _, err = run.communicate(timeout=9)
    assert run.returncode == 128 + number
    assert "Traceback" not in err
    assert json.loads(record.read_text())["outputs"][coords.name] == of_file(coords)
    assert not (root / "b/vis_umap_coords.npy").exists()
    assert not list(root.rglob(".*"))
    report = batch.run(Request((root / "a",), Settings()), Log())
    assert results(report) == [("a", "umap", "drawn again")]


def test_the_second_ctrl_c_does_not_wait_for_a_deaf_child(three) -> None:
    root = three("deaf")
    run, _ = started(root, until="hanging")
    with run:
        for _ in range(2):
            os.killpg(run.pid, signal.SIGINT)
            time.sleep(0.5)
        _, err = run.communicate(timeout=5)
    assert run.returncode == 130
    assert "stopped by SIGINT: 1 map was finished" in err
    assert "Traceback" not in err
    assert_ended(run, 5)


def test_no_orphan_goes_on(three) -> None:
    root = three("hang")
    run, _ = started(root, "--no-html", until="hanging")
    with run:
        run.kill()
        run.wait()
        assert_ended(run, 9)
    assert not list(root.rglob(".*"))
    (root / "b/embeddings.pt").write_bytes((root / "a/embeddings.pt").read_bytes())
    report = batch.run(ask(root), Log())
    assert sorted(results(report)) == [("a", "umap", "up to date"), ("b", "umap", "written"), ("c", "umap", "written")]


def test_notes_come_once_and_stdout_is_for_paths(three) -> None:
    root = three("error")
    run, line = started(root, "--umap_neighbors", "99", "-v", until="backend")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert line == "backend: gpu, because auto was asked for\n"
    assert out.splitlines() == [f"{root}/{name}/vis_umap{end}" for name in "ac" for end in ENDS]
    for name in "abc":
        assert err.count(f"note: {root}/{name}: umap_neighbors 99 is too large for 40 rows: 39 is used\n") == 1
    steps = [line.rpartition(": ")[2] for line in err.splitlines() if line.startswith("[1/3]")]
    assert steps == ["read", "load", "umap", "save", "nearest", "quality", "draw"]
    assert err.count("ValueError: no good") == 2  # the error, and its traceback with -v
    assert err.count("Traceback") == 1
    assert re.search(rf"{root}/a +40 × 8 +umap +gpu +[0-9.]+ .*%\) +written", err)


@pytest.mark.parametrize(("worth", "where"), [(119, "gpu"), (120, "gpu"), (121, "cpu")])
def test_the_rows_of_all_folders_decide(three, make_cache, monkeypatch, caplog, worth, where) -> None:
    """RAPIDS is loaded once for all of them."""
    monkeypatch.setattr("gpuvis.backends.MIN_GPU_ROWS", worth)
    root = three()
    with caplog.at_level("INFO", "gpuvis"):
        report = batch.run(ask(root), Log())
    assert [outcome.rows for outcome in report.outcomes] == [40, 40, 40]
    assert report.backend == where
    assert {told(root / name)["name"] for name in "abc"} == {where}
    few = "120 rows in all are done sooner on the CPU than RAPIDS is loaded: auto takes the GPU from 121 rows on, "
    assert told(root / "a")["reason"].startswith(few) == (where == "cpu")
    levels = [record.levelname for record in caplog.records if few in record.message]
    assert levels == (["INFO"] if where == "cpu" else [])
    make_cache("t/d", rows=118)
    assert batch.run(ask(root), Log()).backend == "cpu"  # the others are up to date


def test_few_rows_with_a_timeout_stay_on_the_cpu_in_a_child(three, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.backends.MIN_GPU_ROWS", 10**6)
    root = three()
    assert batch.run(ask(root, timeout=60), Log()).backend == "cpu"
    assert told(root / "a")["reason"].startswith("120 rows in all")


def test_gpu_takes_it_for_any_number_of_rows(three, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.backends.MIN_GPU_ROWS", 10**6)
    assert batch.run(ask(three(), backend="gpu"), Log()).backend == "gpu"
