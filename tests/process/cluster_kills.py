"""Kill workers, schedulers and commands at random moments: no folder is lost, none has another result.

`python tests/process/cluster_kills.py [COUNT SEED]` prints a line for each kill, and fails where something was lost.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random

import numpy as np
import psutil
from examples import content, labels_of, table_of

from gpuvis.io.writer import write_cache

REDUCE = ("-m", "gpuvis", "reduce", "--backend", "cpu", "--umap_neighbors", "10")
DASK = (sys.executable, "-W", "ignore", "-m")
OF_DASK = ("--no-dashboard", "--host", "127.0.0.1", "--scheduler-file")
VICTIMS = ("worker", "command", "scheduler")
FOLDERS = 24


def start(root: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, *REDUCE, *options, str(root)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the file of a scheduler that runs with two workers, and its process."""
    file = str(folder / "scheduler.json")
    scheduler = subprocess.Popen(
        [*DASK, "distributed.cli.dask_scheduler", "--port", "0", *OF_DASK, file], stderr=subprocess.DEVNULL
    )
    options = ("--nworkers", "2", "--nthreads", "1", "--memory-limit", "0", "--death-timeout", "20")
    workers = subprocess.Popen(
        [*DASK, "distributed.cli.dask_worker", *options, *OF_DASK, file], stderr=subprocess.DEVNULL, cwd=folder
    )
    try:
        yield file, scheduler
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait(30)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the workers that a command has started."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def killed(root: Path, victim: str, delay: float, random: Random) -> tuple[int, str]:
    """Run the command, and kill one process after so many seconds; return the exit code, and what was told."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        where, scheduler = ("--workers", "2"), None
        if victim == "scheduler":
            file, scheduler = stack.enter_context(cluster(Path(scratch)))
            where = ("--scheduler", file)
        process = start(root, *where)
        time.sleep(delay)
        if victim == "worker":
            while process.poll() is None and not (workers := workers_of(process)):
                time.sleep(0.01)
            with suppress(psutil.Error, IndexError):  # it has ended
                random.choice(workers).kill()
        else:
            (scheduler or process).kill()
        _, text = process.communicate(timeout=120)
        return process.returncode, text


def trial(root: Path, victim: str, delay: float, random: Random, whole: dict[str, bytes]) -> tuple[str, list[str]]:
    """Kill once; return how it went, and what is wrong."""
    code, text = killed(root, victim, delay, random)
    wrong = []
    if victim == "worker" and code and "the workers did not start" not in text:
        wrong.append(f"ended with {code}: {text}")
    done = len(list(root.rglob("*_coords.npy")))
    with start(root, "--workers", "2") as again:  # as a user would
        _, text = again.communicate()
    if again.returncode:
        wrong.append(f"the next run failed: {text}")
    wrong += [f"{path.relative_to(root)} was left" for path in root.rglob(".*")]
    found = files(root)
    wrong += [f"{name} is missing or another" for name in whole if found.get(name) != whole[name]]
    return f"exit code {code}, {done} of {FOLDERS} maps there", wrong


def files(root: Path) -> dict[str, bytes]:
    """Return the files that have to be the same, to the byte."""
    return {name: held for name, held in content(root).items() if not name.endswith(("_run.json", ".lock"))}


def prepare(root: Path) -> tuple[dict[str, bytes], float]:
    """Write caches; return what one process makes of them, and how many seconds a run with two workers takes."""
    for k in range(FOLDERS):
        X = np.random.default_rng(k).standard_normal((200, 8)).astype(np.float32)
        write_cache(root / f"{k:02d}", X, table_of(200), labels_of(200))
    made = root.parent / "made"
    shutil.copytree(root, made)
    made_by = []
    for options in ((), ("--workers", "2", "--overwrite")):
        begun = time.monotonic()
        with start(root, *options) as process:
            process.communicate()
            assert process.returncode == 0
        made_by.append(files(root))
    assert made_by[0] == made_by[1]
    shutil.rmtree(root)
    return made_by[0], time.monotonic() - begun


def trials(count: int, seed: int) -> int:
    """Kill so many times, and say how it went; return the number of faults."""
    random, faults = Random(seed), 0
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent) / "study"
        whole, seconds = prepare(root)
        for k in range(count):
            shutil.copytree(Path(parent) / "made", root)
            victim, delay = VICTIMS[k % len(VICTIMS)], random.uniform(0, seconds)
            told, wrong = trial(root, victim, delay, random, whole)
            sys.stdout.writelines(
                f"{line}\n" for line in (f"{victim} killed after {delay:.2f} of {seconds:.2f} s: {told}", *wrong)
            )
            sys.stdout.flush()
            faults += len(wrong)
            shutil.rmtree(root)
    sys.stdout.write(f"{count} kills, seed {seed}: {faults} faults\n")
    return faults


if __name__ == "__main__":
    sys.exit(bool(trials(*map(int, sys.argv[1:] or (30, 1)))))
