"""Jobs on real Dask clusters: as one process does them, whatever dies."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest
from dask_cuda_double import LocalCUDACluster
from distributed import Client, LocalCluster
from doubles import Log, results
from doubles_in_child import make_trouble
from examples import content
from process import FAKES, gpuvis

from gpuvis import machine
from gpuvis.errors import GpuvisError, NoGpuError, OutOfMemoryError, SettingsError
from gpuvis.jobs import batch, cluster, connect
from gpuvis.jobs.batch import Request
from gpuvis.jobs.outcome import Outcome
from gpuvis.jobs.remote import Terms
from gpuvis.settings import Settings, Tsne, Umap

HERE = {"host": "127.0.0.1", "dashboard_address": None, "memory_limit": 0, "threads_per_worker": 1,
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}  # fmt: skip
MAPS = Settings(umap=Umap(n_neighbors=5), tsne=Tsne(perplexity=5))
UMAP = Settings(umap=Umap(n_neighbors=5))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connect.local(2, Terms("cpu")) as client:
        yield client


@contextmanager
def workers(count: int = 1, daemon: bool = False, **options: Any) -> Iterator[Client]:
    """Yield the client of a cluster that somebody else has started."""

    def make() -> LocalCluster:
        return LocalCluster(n_workers=count, processes=True, silence_logs=logging.CRITICAL, **{**HERE, **options})

    with dask.config.set({"distributed.worker.daemon": daemon}), connect.started(make) as client:
        yield client


@pytest.fixture
def folders(make_cache, tmp_path) -> Callable[[int], Path]:
    def make(count: int) -> Path:
        for k in range(count):
            make_cache(f"runs/{k:02d}", rows=30, seed=k)
        return tmp_path / "runs"

    return make


def ask(*roots: Path, **changes: Any) -> Request:
    return Request(roots, **{"settings": UMAP, "page": None, "quality": "none", "backend": "cpu", **changes})


def files(folder: Path) -> dict[str, bytes]:
    """The files that have to be the same, to the byte."""
    return {name: held for name, held in content(folder).items() if not name.endswith("_run.json")}


def records(folder: Path) -> dict[str, Any]:
    """The records, without what tells of time and place."""
    found = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*_run.json")}
    for record in found.values():
        record["backend"].pop("worker", None)
        record.get("plan", {}).pop("threads", None)
        for name in ("steps", "written", "seconds"):
            record.pop(name, None)
    return found


def preload(tmp_path: Path, code: str) -> dict[str, Any]:
    """Options of a worker that runs some code when it starts."""
    file = tmp_path / "preload.py"
    file.write_text(code)
    return {"preload": [str(file)]}


TROUBLE = f"""
import sys
sys.path.insert(0, {FAKES!r})
import doubles_in_child
from gpuvis.jobs import place
place.choose = doubles_in_child.choose
"""


def assert_nothing_is_left(root: Path) -> None:
    assert not list(root.rglob(".*"))


def test_results_are_those_of_one_process(client, folders, tmp_path) -> None:
    root = folders(5)
    (root / "03" / "embeddings.pt").write_bytes(b"broken")
    how = {"settings": MAPS, "page": batch.PageOptions(), "quality": "auto", "outliers": True, "backend": "auto"}
    alone = batch.run(ask(root, out_dir=tmp_path / "alone" / "out", **how))
    log = Log()
    shared = batch.run(ask(root, out_dir=tmp_path / "shared" / "out", **how), log, client)
    assert results(shared) == results(alone)
    assert [str(o.error) for o in shared.outcomes if o.error] == [str(o.error) for o in alone.outcomes if o.error]
    assert (shared.exit_code, shared.backend) == (alone.exit_code, "cpu") == (1, "cpu")
    assert files(tmp_path / "shared") == files(tmp_path / "alone")
    assert len(files(tmp_path / "alone")) == 4 * 8 + 1  # and the front page
    assert records(tmp_path / "shared") == records(tmp_path / "alone")
    assert {outcome.worker for outcome in shared.outcomes if not outcome.error} == {"0", "1"}
    assert {folder.name for folder in log.folders} == {"00", "01", "02", "04"}
    assert "read" in log.steps
    record = json.loads((tmp_path / "shared/out/00/vis_umap_run.json").read_text())
    assert record["backend"]["worker"] == shared.outcomes[1].worker
    assert_nothing_is_left(tmp_path)


def test_a_second_run_skips_and_needs_no_workers(client, folders) -> None:
    root = folders(3)
    assert batch.run(ask(root), client=client).exit_code == 0

    def connect(terms: Terms) -> Any:
        raise AssertionError("nothing is to be done")

    assert [result for _, _, result in results(batch.run_with(ask(root), Log(), connect))] == ["up to date"] * 3


def test_notes_of_workers_are_logged_here(client, make_cache, caplog) -> None:
    folder = make_cache(rows=8)
    wanted = [f"{folder}: umap_neighbors 30 is too large for 8 rows: 7 is used"]
    for where in (client, None):
        caplog.clear()
        batch.run(ask(folder, settings=Settings(umap=Umap(n_neighbors=30)), overwrite=True), client=where)
        assert [record.getMessage() for record in caplog.records if record.name.startswith("gpuvis")] == wanted


def test_scores_are_those_of_one_process(folders, tmp_path) -> None:
    root = folders(4)
    batch.run(ask(root))
    (root / "03" / "vis_umap_coords.npy").rename(root / "03" / "other.npy")
    for how in ([], ["--json"]):
        wanted = gpuvis("score", root, root / "03" / "other.npy", "--backend", "cpu", *how)
        found = gpuvis("score", root, root / "03" / "other.npy", "--backend", "cpu", *how, "--workers", "2")
        assert (found.stdout, found.stderr, found.returncode) == (wanted.stdout, wanted.stderr, 1)


def test_the_folder_of_a_dead_worker_is_done_again(folders, caplog, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "trouble on the CPU")
    monkeypatch.setenv("GPUVIS_TEST_MARK", str(tmp_path / "mark"))
    root = folders(6)
    make_trouble(root / "02", "killed_once")
    with workers(2, **preload(tmp_path, TROUBLE)) as client:
        report = batch.run(ask(root), client=client)
    assert results(report) == [(f"{k:02d}", "umap", "written") for k in range(6)]
    assert [
        message for message in caplog.messages if re.search(r"02: worker \w+://\S+ died; it is done again$", message)
    ]
    assert_nothing_is_left(root)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_lock_that_outlives_its_worker_is_waited_for(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "trouble on the CPU")
    monkeypatch.setenv("GPUVIS_TEST_MARK", str(tmp_path / "mark"))
    root = folders(3)
    make_trouble(root / "01", "killed_once_still_locked")
    with workers(2, **preload(tmp_path, TROUBLE)) as client:
        report = batch.run(ask(root), client=client)
    assert results(report) == [(f"{k:02d}", "umap", "written") for k in range(3)]
    assert_nothing_is_left(root)


def test_a_folder_whose_workers_die_before_they_begin_is_given_up(folders, tmp_path) -> None:
    code = "import os\nfrom gpuvis.jobs import remote\nremote.run = lambda *args, **how: os._exit(1)"
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        workers(1, **preload(tmp_path, code)) as client,
    ):
        report = batch.run(ask(folders(1)), client=client)
    assert "00: 3 workers died, one after the other, while they did it" in str(report.outcomes[0].error)


class LateWorker(Log):
    """Start a worker of another version after the others were asked what they are."""

    def __init__(self, client: Client, tmp_path: Path) -> None:
        super().__init__()
        self.client, self.tmp_path = client, tmp_path

    def begin(self, decisions: Any, backend: str) -> None:
        super().begin(decisions, backend)
        file = preload(self.tmp_path, "import gpuvis.jobs.remote\ngpuvis.jobs.remote.__version__ = '9.9'")["preload"]
        how = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(self.tmp_path / "scratch"))
        self.process = start("dask_worker", self.client.scheduler.address, "--preload", *file, *how)
        self.client.wait_for_workers(2, timeout=60)


def test_a_worker_that_comes_later_and_does_not_fit_is_left_out(folders, tmp_path, caplog) -> None:
    with workers() as client:
        late = LateWorker(client, tmp_path)
        report = batch.run(ask(folders(12)), late, client)
        late.process.kill()
        late.process.wait()
    assert results(report) == [(f"{k:02d}", "umap", "written") for k in range(12)]
    assert any(re.search(r"has gpuvis 9\.9, the client .*; it is not used$", message) for message in caplog.messages)


def test_a_worker_that_starts_again_at_the_end_keeps_no_one_waiting(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "trouble on the CPU")
    root = folders(1)
    make_trouble(root / "00", "killed")
    with dask.config.set({"distributed.worker.preload": preload(tmp_path, TROUBLE)["preload"]}):
        report = batch.run_with(ask(root), Log(), lambda terms: connect.local(1, terms))
    assert "3 workers died" in str(report.outcomes[0].error)


def test_a_lock_that_a_worker_does_not_respect_is_told(folders, tmp_path, caplog) -> None:
    code = "from gpuvis.jobs import remote\nremote.is_locked = lambda path: False"
    with workers(**preload(tmp_path, code)) as client:
        assert batch.run(ask(folders(1)), client=client).exit_code == 0
    assert any("is not locked against worker 0 on" in message for message in caplog.messages)


def test_a_folder_that_kills_three_workers_is_given_up(folders, tmp_path, monkeypatch) -> None:
    """Also where the scheduler, which somebody else has started, would go on."""
    monkeypatch.setenv("GPUVIS_TEST_CHOICE", "trouble on the CPU")
    root = folders(4)
    make_trouble(root / "01", "killed")
    for allowed in (10, 1):
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": allowed}),
            workers(2, **preload(tmp_path, TROUBLE)) as client,
        ):
            report = batch.run(ask(root, overwrite=True), client=client)
        assert results(report) == [(f"{k:02d}", *(("umap", "written"), (None, "failed"))[k == 1]) for k in range(4)]
        assert "01: 3 workers died, one after the other, while they did it; memory may" in str(report.outcomes[1].error)
        assert_nothing_is_left(root)


def test_a_child_that_is_killed_costs_its_folder_alone(folders, tmp_path) -> None:
    root = folders(4)
    make_trouble(root / "01", "killed")
    with workers(2, **preload(tmp_path, TROUBLE + "place.obstacle = lambda name: None")) as client:
        before = client.run(os.getpid)
        report = batch.run(ask(root, backend="gpu"), client=client)
        assert client.run(os.getpid) == before
    assert results(report) == [(f"{k:02d}", *(("umap", "written"), (None, "failed"))[k == 1]) for k in range(4)]
    assert isinstance(report.outcomes[1].error, OutOfMemoryError)
    assert "its process was killed (SIGKILL)" in str(report.outcomes[1].error)
    assert_nothing_is_left(root)


def start(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program of Dask as users do."""
    program = [sys.executable, "-W", "ignore", "-m", "distributed.cli." + command[0], *command[1:]]
    return subprocess.Popen(program, stderr=subprocess.DEVNULL, env={**os.environ, **environment})


@pytest.fixture
def scheduler(tmp_path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The file of a scheduler that somebody has started, with a worker, and its process."""
    file = str(tmp_path / "scheduler.json")
    where = ("--host", "127.0.0.1", "--scheduler-file", file)
    started = [start("dask_scheduler", *where, "--port", "0", "--no-dashboard")]
    worker = (
        "--nthreads",
        "1",
        "--memory-limit",
        "0",
        "--no-dashboard",
        "--local-directory",
        str(tmp_path / "scratch"),
    )
    started.append(start("dask_worker", *where[2:], "--name", "far", "--death-timeout", "30", *worker))
    wait_until(Path(file).exists)
    yield file, started[0]
    for process in started:
        process.kill()
        process.wait()


def test_workers_of_others_do_the_folders_by_the_command(scheduler, folders) -> None:
    file, _ = scheduler
    done = gpuvis("reduce", "--umap", "--scheduler", file, "--backend", "cpu", folders(2).name, cwd=folders(2).parent)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 8)
    assert "by worker far" in done.stderr
    assert "runs/00/vis_umap_coords.npy" in done.stdout.splitlines()  # as it was named


class SchedulerKiller(Log):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.process = process

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        if len(self.outcomes) == 1:
            self.process.kill()


def test_a_lost_scheduler_ends_the_run_and_the_same_command_goes_on(scheduler, folders) -> None:
    file, process = scheduler
    root = folders(12)
    report = batch.run_with(ask(root), SchedulerKiller(process), lambda terms: connect.connected(file, terms))
    lost = [outcome for outcome in report.outcomes if outcome.error]
    assert lost
    assert len(report.outcomes) == 12
    assert {str(outcome.error) for outcome in lost} == {
        "the scheduler was lost; the same command goes on from what is finished"
    }
    wait_until(lambda: not list(root.rglob(".gpuvis.lock")))  # the worker may be doing one
    again = batch.run(ask(root))
    assert again.exit_code == 0
    assert {result for _, _, result in results(again)} == {"written", "up to date"}
    assert_nothing_is_left(root)


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_a_worker_that_does_not_see_the_folder_is_refused(client, folders) -> None:
    root = folders(2)
    opened = os.open(root, os.O_RDONLY)
    only_here = Path(f"/proc/self/fd/{opened}")
    try:
        with pytest.raises(GpuvisError, match=r"worker \d on .* does not see /proc/self/fd/\d+/00.*; mount it there"):
            batch.run(ask(only_here), client=client)
    finally:
        os.close(opened)
    assert not list(root.rglob("vis_*"))


def test_another_version_is_refused(folders, tmp_path) -> None:
    root = folders(2)
    with (
        workers(**preload(tmp_path, "import gpuvis\ngpuvis.__version__ = '9.9'")) as client,
        pytest.raises(
            GpuvisError, match=r"worker tcp\S+ has another gpuvis: expected .*, found 9\.9; install the same"
        ),
    ):
        batch.run(ask(root), client=client)
    assert not list(root.rglob("vis_*"))


def test_a_worker_without_the_program_is_refused(folders, tmp_path) -> None:
    with (
        workers(**preload(tmp_path, "import sys\nsys.modules['gpuvis'] = None")) as client,
        pytest.raises(GpuvisError, match=r"worker tcp\S+ has another gpuvis: expected .*, found none that can be used"),
    ):
        batch.run(ask(folders(1)), client=client)


def test_a_worker_that_dies_as_it_is_asked_what_it_is_is_left_out(folders, tmp_path) -> None:
    code = f"""
import os
from gpuvis.jobs import remote
try:
    open({str(tmp_path / "mark")!r}, "x").close()
    remote.introduce = lambda *args: os._exit(1)
except FileExistsError:
    pass
"""
    with workers(2, **preload(tmp_path, code)) as client:
        report = batch.run(ask(folders(3)), client=client)
    assert results(report) == [(f"{k:02d}", "umap", "written") for k in range(3)]


def test_where_all_workers_die_before_they_have_begun_it_is_said(folders, tmp_path) -> None:
    code = "import os\nfrom gpuvis.jobs import remote\nremote.introduce = lambda *args: os._exit(1)"
    with (
        workers(**preload(tmp_path, code)) as client,
        pytest.raises(GpuvisError, match="all workers died before any folder was begun; memory may have run out: use"),
    ):
        batch.run(ask(folders(1)), client=client)


@pytest.mark.usefixtures("client")  # so what all clusters of a process share is there
def test_workers_that_do_not_start_are_an_error_and_none_is_left(folders, tmp_path) -> None:
    before = set(descendants(os.getpid()))
    with (
        dask.config.set({"distributed.worker.preload": preload(tmp_path, "import os; os._exit(1)")["preload"]}),
        pytest.raises(GpuvisError, match=r"the workers did not start: .*\. Memory may have run out: use fewer workers"),
    ):
        batch.run_with(ask(folders(1)), Log(), lambda terms: connect.local(2, terms))
    wait_until(lambda: set(descendants(os.getpid())) <= before)


def test_differences_between_workers_are_noted(folders, tmp_path, caplog) -> None:
    code = "from gpuvis import machine\nmachine.cpu_name = lambda: 'another'\nmachine.PACKAGES = ()"
    with workers() as client:
        how = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "scratch"))
        joined = start("dask_worker", client.scheduler.address, "--preload", *preload(tmp_path, code)["preload"], *how)
        try:
            client.wait_for_workers(2, timeout=60)
            root = folders(2)
            assert batch.run(ask(root), client=client).exit_code == 0
        finally:
            joined.kill()
            joined.wait()
    notes = [message for message in caplog.messages if message.startswith("the workers differ in ")]
    assert any("processors (" in note for note in notes)
    assert any("numpy (2." in note for note in notes)
    assert [record["notes"] for record in records(root).values()] == [notes] * 2


def test_a_daemon_is_refused_where_a_child_is_needed(folders) -> None:
    with workers(daemon=True) as client:
        with pytest.raises(SettingsError, match="worker 0 is a daemon, .*DASK_DISTRIBUTED__WORKER__DAEMON=False"):
            batch.run(ask(folders(1), timeout=60), client=client)
        assert batch.run(ask(folders(1)), client=client).exit_code == 0


def test_a_gpu_that_is_asked_for_and_missing_is_an_error(client, folders) -> None:
    with pytest.raises(NoGpuError):
        batch.run(ask(folders(1), backend="gpu"), client=client)


def test_one_process_is_used_at_a_time_on_one_folder(client, make_cache, caplog) -> None:
    from gpuvis.io.files import locked

    folder = make_cache()
    with locked(folder):
        report = batch.run(ask(folder), client=client)
    assert "another gpuvis is writing maps here" in str(report.outcomes[0].error)


def test_threads_are_shared_out_unless_the_user_says(client, folders) -> None:
    def threads(**how: Any) -> set[int]:
        root = folders(2)
        batch.run(ask(root, overwrite=True, **how), client=client)
        return {json.loads(path.read_text())["plan"]["threads"] for path in root.rglob("*_run.json")}

    assert threads() == {max(1, machine.cpu_threads() // 2)}
    assert threads(settings=Settings(umap=Umap(n_neighbors=5), threads=2)) == {2}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_leaves_nothing_half_and_goes_on(folders, stop) -> None:
    root = folders(30)
    command = [sys.executable, "-m", "gpuvis", "reduce", "--backend", "cpu", "--workers", "2", str(root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        process.stdout.readline()
        started = [int(pid) for pid in descendants(process.pid)]
        os.killpg(process.pid, stop) if stop == signal.SIGINT else process.send_signal(stop)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    assert f"stopped by {stop.name}: " in text
    assert "and no file is half written; the same command goes on from there" in text
    assert "Traceback" not in text
    assert_nothing_is_left(root)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
    done = batch.run(ask(root, settings=Settings(), page=batch.PageOptions(), quality="auto"))
    assert done.exit_code == 0
    # Some may have been stopped between their coordinates and their page.
    results_of_all = {result for _, _, result in results(done)}
    assert {"written", "up to date"} <= results_of_all <= {"written", "up to date", "drawn again"}


def descendants(process: int) -> list[int]:
    found = children(process)
    return [*found, *(pid for child in found for pid in descendants(child))]


def test_300_folders_of_which_20_are_broken(client, make_cache, tmp_path) -> None:
    for k in range(300):
        folder = make_cache(f"runs/{k:03d}", rows=6, columns=3, seed=k)
        if k % 15 == 7:
            (folder / "embeddings.pt").write_bytes(b"")
    root = tmp_path / "runs"
    report = batch.run(ask(root, settings=Settings(umap=Umap(n_neighbors=3))), client=client)
    broken = [f"{k:03d}" for k in range(7, 300, 15)]
    whole = [f"{k:03d}" for k in range(300) if k % 15 != 7]
    assert results(report) == [(k, None, "failed") for k in broken] + [(k, "umap", "written") for k in whole]
    assert len(list(root.rglob("*_coords.npy"))) == 280
    assert_nothing_is_left(root)


def test_without_the_extra_one_line_says_what_to_install(folders) -> None:
    without = "import sys; sys.modules['distributed'] = None; from gpuvis.cli.main import main; main()"
    for how in (("--workers", "2"), ("--scheduler", "tcp://127.0.0.1:1")):
        done = subprocess.run(
            [sys.executable, "-c", without, "reduce", str(folders(1)), *how],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.endswith(
            "error: --workers and --scheduler need distributed, which is not installed; pip install 'gpuvis[dask]'\n"
        )


def test_dask_is_loaded_only_where_it_is_asked_for(folders) -> None:
    code = """if True:
    import atexit, sys
    from gpuvis.cli.main import main
    atexit.register(lambda: print({"dask", "distributed"} & sys.modules.keys(), file=sys.stderr))
    main()"""
    for command in (["--help"], ["reduce", "--help"], ["reduce", str(folders(1))]):
        done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
        assert done.stderr.endswith("set()\n")


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch) -> None:
    monkeypatch.setattr(connect, "CONNECT", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for address in (f"tcp://127.0.0.1:{taken.getsockname()[1]}", "nonsense://"):
            with pytest.raises(GpuvisError, match="no scheduler answers at "), connect.connected(address, Terms()):
                pass
    with (
        pytest.raises(GpuvisError, match=r"missing\.json: there is no such file; .*"),
        connect.connected("missing.json", Terms()),
    ):
        pass


def test_a_scheduler_without_workers_is_named(folders, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT", 1)
    with workers(0) as client, pytest.raises(GpuvisError, match="has no worker after 1 s; start some with dask worker"):
        batch.run(ask(folders(1)), client=client)


def test_flags_exclude_each_other_and_have_values(folders) -> None:
    for how, problem in (
        (("--workers", "2", "--scheduler", "x"), "name one of them"),
        (("--workers", "0"), "'0' is neither a whole number above 0 nor the word auto"),
    ):
        done = gpuvis("reduce", folders(1), *how)
        assert (done.returncode, problem in done.stderr) == (2, True)


GPU_IN_CHILD = f"""
import sys
sys.path.insert(0, {FAKES!r})
import gpus_in_child
"""


def test_each_worker_has_a_gpu_of_its_own(folders, tmp_path, monkeypatch) -> None:
    """On the double of dask_cuda. The child of a worker says its device; all plan for 0.9 of the smallest, of 4 GiB."""
    monkeypatch.setattr("gpuvis.jobs.remote.obstacle", lambda name: None)
    monkeypatch.setitem(sys.modules, "dask_cuda", sys.modules[LocalCUDACluster.__module__])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    root = folders(6)
    with dask.config.set({"distributed.worker.preload": preload(tmp_path, GPU_IN_CHILD)["preload"]}):
        report = batch.run_with(ask(root, backend="gpu"), Log(), lambda terms: connect.local(None, terms))
        assert (report.backend, report.exit_code) == ("gpu", 0)
        found = {}
        for path in root.rglob("*_run.json"):
            backend = json.loads(path.read_text())["backend"]
            found.setdefault(backend["worker"], set()).add(backend["device"]["name"])
        assert found == {"4": {"4,6, at most 3.6 GiB"}, "6": {"6,4, at most 3.6 GiB"}}
        with pytest.raises(SettingsError, match=r"no 3 workers with a GPU each can be started: .*; use --workers auto"):
            batch.run_with(ask(root, backend="gpu", overwrite=True), Log(), lambda terms: connect.local(3, terms))
