"""The program as users run it: in a process of its own, beside others, stopped and killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kills
import numpy as np
import pytest
import torch
from examples import ENDS, content, labels_of, table_of
from process import FAKES, gpuvis

from gpuvis import __version__
from gpuvis.io.fingerprint import of_file
from gpuvis.io.writer import write_cache

COMMAND = [sys.executable, "-m", "gpuvis", "reduce"]
AT_THE_END = """
import atexit, gc
atexit.register(lambda: print("left alone:", gc.get_freeze_count() > 10_000))
from gpuvis.cli.main import main
main(["--version"])
"""


def test_a_process_that_ends_looks_for_no_garbage() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "left alone: True"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("more", ["", "--timeout 60"])
def test_streams_that_are_closed_cost_nothing(make_cache, closed, more) -> None:
    folder = make_cache(rows=30)
    command = f'"{sys.executable}" -m gpuvis reduce "{folder}" --umap --tsne --backend cpu {more} {closed}'
    assert subprocess.run(command, shell=True, capture_output=True, check=False).returncode == 0
    assert len(list(folder.glob("vis_*"))) == 8
    assert np.load(folder / "vis_tsne_coords.npy").shape == (30, 2)


HEAVY = ("torch", "sklearn", "umap", "numba", "pandas", "pyarrow", "plotly", "cuml", "cupy", "numpy", "rich", "PIL")


@pytest.mark.parametrize("args", [["--help"], ["reduce", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(args) -> None:
    code = (
        f"import sys; sys.argv = ['gpuvis', *{args!r}]\n"
        "from gpuvis.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_program() -> None:
    assert gpuvis("--version").stdout == f"gpuvis, version {__version__}\n"


def test_import_gpuvis_loads_nothing_heavy() -> None:
    code = f"import sys, gpuvis; gpuvis.Settings; print([name for name in {HEAVY!r} if name in sys.modules])"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout == "[]\n"


def test_a_real_run_is_repeatable_to_the_byte(make_cache, tmp_path) -> None:
    folder = make_cache()
    for name in ("one", "two"):
        got = gpuvis("reduce", folder, "--tsne", "--pca_dim", "4", "--out-dir", tmp_path / name)
        assert got.returncode == 0, got.stderr
        assert got.stdout.splitlines() == [str(tmp_path / name / f"vis_tsne{end}") for end in ENDS]
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert one["vis_tsne_coords.npy"] == two["vis_tsne_coords.npy"]
    assert one["vis_tsne.html"] == two["vis_tsne.html"]


def test_a_map_made_in_a_child_is_the_same(make_cache, tmp_path) -> None:
    folder, made = make_cache(), {}
    for name, flags in {"here": (), "child": ("--timeout", "600")}.items():
        got = gpuvis("reduce", folder, "--tsne", "--no-html", "-v", "--out-dir", tmp_path / name, *flags)
        assert got.returncode == 0, got.stderr
        made[name] = (content(tmp_path / name)["vis_tsne_coords.npy"], [*got.stderr.splitlines()[:2]])
    assert made["here"] == made["child"]


def test_a_real_umap_run_says_nothing_of_its_own(make_cache) -> None:
    got = gpuvis("reduce", make_cache(), "--umap_neighbors", "10", "-q")
    assert (got.returncode, got.stderr) == (0, "")


def started(*args: str | Path, until: str | None) -> subprocess.Popen[str]:
    """Start a run and wait until it has said something; None: do not wait."""
    run = subprocess.Popen([*COMMAND, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if until is None:
        return run
    assert run.stderr is not None
    for line in run.stderr:
        if until in line:
            return run
    raise AssertionError(f"{until!r} was never said")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_batch_keeps_what_is_finished(make_cache, tmp_path, number, code) -> None:
    for k in range(6):
        make_cache(f"t/{k}", rows=8000 if k == 2 else 300)  # the third takes long enough for the stop to come in it
    with started(tmp_path / "t", "--tsne", until="1: tsne written") as run:
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
    assert run.returncode == code
    assert len(out.splitlines()) == 2 * 4
    assert f"stopped by {number.name}: 2 maps were finished, and no file is half written" in err
    assert "Traceback" not in err
    assert all(Path(path).exists() for path in out.splitlines())
    assert not list((tmp_path / "t").rglob(".*"))
    make_cache("t/2", rows=300)
    again = gpuvis("reduce", tmp_path / "t", "--tsne")
    assert again.returncode == 0
    assert again.stderr.splitlines()[-1] == "2 up to date, 4 written"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache whose map takes far longer than any test."""
    rows = 80_000
    X = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    return write_cache(tmp_path_factory.mktemp("large") / "cache", X, table_of(rows), labels_of(rows)).folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("step", "seconds"), [(None, 1), (": neighbors", 0.2), (": tsne", 0.5)])
def test_a_stop_is_heard_at_any_moment(large, tmp_path, number, step, seconds) -> None:
    """Also while a compiled loop runs."""
    folder = tmp_path / "out"
    with started(large, "--tsne", "-v", "--out-dir", folder, until=step) as run:
        time.sleep(seconds)  # while libraries are loaded, or into the step
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (128 + number, ""), err
    assert not list(folder.glob("vis*"))
    assert not list(folder.glob(".*"))
    assert "Traceback" not in err.partition("Exception ignored")[0]


def test_the_second_of_two_jobs_on_a_folder_is_told(make_cache) -> None:
    folder = make_cache(rows=8_000)
    with started(folder, "--tsne", "-v", until=": tsne") as first:
        first.send_signal(signal.SIGSTOP)
        second = gpuvis("reduce", folder, "--tsne")
        first.send_signal(signal.SIGCONT)
        assert second.returncode == 1
        assert f"error: {folder}: another gpuvis is writing maps here; wait until it ends" in second.stderr
        out, _ = first.communicate(timeout=120)
    assert first.returncode == 0
    assert len(out.splitlines()) == 4


# A process for each run, forked from one in which the libraries are loaded: they take longer than all the rest.
KILLING = """
import json, os, signal, sys
from pathlib import Path
import matplotlib, pandas, plotly, pyarrow, torch
from doubles import Scaled
from gpuvis.cli import commands
from gpuvis.cli.main import main
from gpuvis.backends import Selection
from gpuvis.jobs import place
place.choose, place.obstacle = lambda name: Selection(Scaled(), "for the test"), lambda name: "for the test"
fsync, replace = os.fsync, Path.replace
for line in sys.stdin:
    moment, *args = json.loads(line)
    if process := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), file=sys.stderr, flush=True)
        continue
    seen = 0
    def at(act):
        def counted(*args):
            global seen
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args)
        return counted
    os.fsync, Path.replace = at(fsync), at(replace)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    main(args)
"""


@pytest.fixture
def killed() -> Iterator[Callable[..., int]]:
    """Run with a quick backend, and die without warning before the given flush or rename; return the exit code."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([FAKES, *sys.path])}
    command, pipe = [sys.executable, "-c", KILLING], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True, env=env) as forking:

        def run(folder: Path, moment: int, *args: str) -> int:
            forking.stdin.write(json.dumps([moment, "reduce", str(folder), *args]) + "\n")
            forking.stdin.flush()
            return int(forking.stderr.readline())

        yield run
        forking.stdin.close()


def test_a_run_killed_at_any_moment_leaves_whole_files(make_cache, killed, tmp_path) -> None:
    folder = make_cache()
    coords, page, record = (folder / f"vis_umap{end}" for end in ("_coords.npy", ".html", "_run.json"))
    cdn, whole, before = ("--plotlyjs", "cdn"), {}, tmp_path / "before"
    for seed in ("2", "1"):
        assert killed(folder, 0, *cdn, "--overwrite", "--seed", seed) == 0
        whole[seed] = (of_file(coords), of_file(page))
    shutil.copytree(folder, before)
    moment, code = 0, -signal.SIGKILL
    while code:
        moment += 1
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        code = killed(folder, moment, *cdn, "--overwrite", "--seed", "2")
        assert of_file(coords) in {whole["1"][0], whole["2"][0]}
        assert of_file(page) in {whole["1"][1], whole["2"][1]}
        seed = str(json.loads(record.read_text())["effective"]["seed"])
        assert killed(folder, 0, *cdn, "--seed", seed) == 0  # goes on
        assert (of_file(coords), of_file(page)) == whole[seed]
    assert moment == 11  # after a flush and a rename each for record, coordinates, measures, page, record
    assert not list(folder.glob(".*"))


def test_runs_killed_at_random_moments_leave_whole_files() -> None:
    """A few of those of `make kills`."""
    assert kills.trials("reduce", 2, seed=7)[1] == []


def test_a_closed_pipe_ends_it_quietly(make_cache) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, make_cache(), "--tsne"]
    run = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert run.returncode == 0
    assert run.stderr.splitlines()[-1] == "1 written"
    assert "rror" not in run.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")  # noqa: PTH110
def test_paths_that_cannot_be_printed_are_told(make_cache) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [*COMMAND, make_cache(), "--tsne", "--no-html"]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "error: stdout: No space left on device; the files are written"
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("args", [["--help"], ["--version"], ["info"], ["score", "--json"]])
def test_answers_that_cannot_be_printed_are_one_line(make_cache, args) -> None:
    folders = []
    if "score" in args:
        folders = [make_cache()]
        np.save(folders[0] / "vis_umap_coords.npy", np.random.default_rng(0).standard_normal((40, 2)))
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [*COMMAND[:-1], *args, *folders]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    told = [line for line in run.stderr.splitlines() if not line.startswith("note: ")]
    assert told == ["error: stdout: No space left on device; make room there, or send it elsewhere"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits on addresses are Linux's")
@pytest.mark.parametrize(("limit", "code"), [("-v 300000", 4), ("-v 600000", 4), ("-v 1100000", 4), ("-d 900000", 4)])
@pytest.mark.parametrize("more", ["", "--timeout 60"])
def test_memory_that_is_not_given_ends_with_4(make_cache, limit, code, more) -> None:
    """BLAS would wait for ever, or end the process."""
    command = f'ulimit {limit}; exec "{sys.executable}" -m gpuvis reduce "{make_cache(rows=3000)}" --backend cpu {more}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits on addresses are Linux's")
@pytest.mark.parametrize("limit", [100_000, 250_000, 350_000])
@pytest.mark.parametrize("command", ["reduce", "plot", "score", "outliers", "info"])
def test_memory_is_looked_for_before_libraries_are_loaded(make_cache, command, limit) -> None:
    """They break off half-way in as many ways as there are limits: some wait for ever, some end the process."""
    folder = "" if command == "info" else f'"{make_cache()}"'
    called = f'ulimit -v {limit}; exec "{sys.executable}" -m gpuvis {command}'
    done = subprocess.run(f"{called} {folder}", shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert re.fullmatch(r"error: the limits of this process .* and about \d+ MiB are needed .*\n", done.stderr)
    done = subprocess.run(f"{called} --help", shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="limits on addresses are Linux's")
def test_a_plan_needs_no_memory_to_speak_of() -> None:
    called = f'ulimit -v 350000; exec "{sys.executable}" -m gpuvis plan --rows 1e6 --dim 512 --gpu-memory 24GiB'
    done = subprocess.run(called, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("args", [("reduce", "--umap", "--tsne", "-v"), ("outliers",), ("reduce", "--timeout", "60")])
def test_talk_that_nobody_takes_costs_nothing(make_cache, args) -> None:
    folder = make_cache(rows=30)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [*COMMAND[:-1], *args, folder, "--backend", "cpu"]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert run.returncode == 0
    assert len(run.stdout.splitlines()) == {"-v": 8, "outliers": 3, "60": 4}[args[-1]]


@pytest.mark.parametrize("args", [("reduce", "cache"), ("reduce", "."), ("score", "a.npy"), ("demo",)])
def test_a_current_folder_that_was_removed_is_told(tmp_path, args) -> None:
    told = " ".join(f"'{arg}'" for arg in args)
    command = f'mkdir gone && cd gone && rmdir ../gone && "{sys.executable}" -m gpuvis {told}'
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "leads nowhere: the current folder was removed; go to another one" in run.stderr
    assert "Traceback" not in run.stderr


CUTTING = """
import os, sys
from gpuvis.io import cache
from gpuvis.cli.main import main
verify = cache.Cache.verify
def cut_first(self, *args):
    if self.folder.name == "b":
        os.truncate(self.folder / "embeddings.pt", 5000)
    return verify(self, *args)
cache.Cache.verify = cut_first
main()
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "torch"])
def test_a_file_that_is_cut_while_it_is_read_costs_its_folder(make_cache, tmp_path, dtype) -> None:
    """Without the pages behind its new end, a mapped file ends the process (SIGBUS)."""
    for name in "abc":
        make_cache(f"t/{name}", rows=2000, embeddings=torch.randn(2000, 64).to(dtype))
    command = [sys.executable, "-c", CUTTING, "reduce", str(tmp_path / "t"), "--backend", "cpu"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1, run.stderr
    assert f"error: {tmp_path}/t/b: the cache was written again while it was read; run again" in run.stderr
    assert [path.parent.name for path in sorted(tmp_path.glob("t/*/vis_umap.html"))] == ["a", "c"]
    assert (tmp_path / "t/index.html").exists()
