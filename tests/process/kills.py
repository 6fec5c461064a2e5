"""Kill the program (SIGKILL) at random moments: each file is the old or the new one, whole, and the next run succeeds.

`python tests/process/kills.py [COUNT [SEED]]` prints a line for each command, and fails where something was lost.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
from examples import content, labels_of, table_of

from gpuvis.io import fingerprint
from gpuvis.io.writer import write_cache

PROGRAM = [sys.executable, "-m", "gpuvis"]
COMMANDS = {
    "reduce": ("reduce", "--backend", "cpu", "--overwrite", "--umap_neighbors"),
    "plot": ("plot", "--umap", "--overwrite", "--theme"),
    "outliers": ("outliers", "--backend", "cpu", "--overwrite", "--threads"),
}
KINDS = {"reduce": ("10", "12"), "plot": ("light", "dark"), "outliers": ("1", "2")}  # what makes new files differ
VARYING = ("vis_umap_run.json", "scores_run.json")  # hold times: whole if they can be read


def run(name: str, folder: Path, kind: str, kill_after: float | None = None) -> int:
    """Run a command, and kill it after so many seconds; return its exit code, negative where the kill came first."""
    with subprocess.Popen(
        [*PROGRAM, *COMMANDS[name], kind, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            _, told = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
    if process.returncode:
        sys.stderr.write(told.decode())
    return process.returncode


def prepare(folder: Path) -> tuple[dict[str, set[bytes]], dict[str, float]]:
    """Write a cache, and return what whole files may hold, and how long each command takes."""
    rows = 300
    X = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    write_cache(folder, X, table_of(rows), labels_of(rows))
    whole: dict[str, set[bytes]] = {}
    seconds = {}
    for name in ("outliers", *KINDS):  # pages show the scores, so these are there first
        start = time.monotonic()
        for kind in reversed(KINDS[name]):
            assert run(name, folder, kind) == 0
            for path, held in content(folder).items():
                whole.setdefault(path, set()).add(held)
        seconds[name] = (time.monotonic() - start) / 2
    return whole, seconds


def lost(folder: Path, whole: dict[str, set[bytes]]) -> list[str]:
    """Return what is no whole file, old or new."""
    found = []
    for path, held in content(folder).items():
        if path in VARYING:
            try:
                json.loads(held)
            except ValueError:
                found.append(path)
        elif path in whole and held not in whole[path]:
            found.append(path)
    return found


def vouched(folder: Path, name: str) -> list[str]:
    """Return the files that are not what their record vouches for."""
    record = json.loads((folder / ("scores_run.json" if name == "outliers" else "vis_umap_run.json")).read_text())
    sums = {path: known for path, known in record["outputs"].items() if known}
    return [path for path, known in sums.items() if fingerprint.of_file(folder / path) != known]


def trials(name: str, count: int, seed: int) -> tuple[int, list[str]]:
    """Kill one command so many times; return how many kills came before its end, and what went wrong."""
    random, killed, wrong = Random(f"{name} {seed}"), 0, []
    with tempfile.TemporaryDirectory() as parent:
        made = Path(parent) / "made" / "cache"  # a page tells the name of its folder, so both have the same
        whole, seconds = prepare(made)
        for trial in range(count):
            folder = Path(parent) / "trial" / "cache"
            shutil.copytree(made, folder)
            killed += run(name, folder, KINDS[name][1], random.uniform(0, 1.05) * seconds[name]) < 0
            at = f"{name}, seed {seed}, trial {trial}"
            wrong += [f"{at}: {path} is neither old nor new" for path in lost(folder, whole)]
            if run(name, folder, KINDS[name][1]):
                wrong.append(f"{at}: the next run failed")
            else:
                wrong += [f"{at}: {path} is not what the record vouches for" for path in vouched(folder, name)]
            wrong += [f"{at}: {path.name} was left" for path in folder.glob(".*")]
            shutil.rmtree(folder)
    return killed, wrong


def main(count: int = 200, seed: int = 1) -> int:
    """Share out the kills among the commands, and say how it went."""
    every = []
    for k, name in enumerate(COMMANDS):
        share = count // len(COMMANDS) + (k < count % len(COMMANDS))
        killed, wrong = trials(name, share, seed)
        every += wrong
        sys.stdout.write(f"{name}: {share} trials, {killed} killed before the end, {len(wrong)} faults\n")
    told = "\n".join(every) or f"{count} trials, seed {seed}: all files whole, all next runs succeeded"
    sys.stdout.write(f"{told}\n")
    return bool(every)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
