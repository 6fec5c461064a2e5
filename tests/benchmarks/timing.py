"""Run both sides as whole fresh processes, in turn, and measure them."""

import json
import os
import shutil
import site
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from jobs import Job

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they make one side faster, and users do not set them
UNSET += ("PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")  # caches lie in the home
SIDES = ("plain", "ours")


class FailedError(Exception):
    """A process that did not end well."""


@dataclass
class Measured:
    """Seconds and peak memory of a side, run by run, and where the maps of each run are: cache, coordinates."""

    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    maps: list[list[tuple[Path, Path]]] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def peak(self) -> float:
        return max(self.peaks)


def commands(side: str, job: Job, caches: list[Path], out: Path, seed: int) -> list[tuple[list[str], Path]]:
    """Return what to run: the plain pipeline once for each folder, ours once for all; and a folder for each to fill."""
    if side == "plain":
        script = [sys.executable, str(HERE / "plain.py")]
        tail = [job.method, str(job.pca_dim), str(seed)]
        return [([*script, str(cache), str(out / cache.name), *tail], out / cache.name) for cache in caches]
    roots = [str(caches[0] if len(caches) == 1 else caches[0].parent)]
    ours = [sys.executable, "-P", "-m", "gpuvis", "reduce", *roots, f"--{job.method}", "--backend", "cpu"]
    ours += ["--out_dir", str(out), "--seed", str(seed), *(["--pca_dim", str(job.pca_dim)] if job.pca_dim else [])]
    return [(ours, out)]


def say(words: str) -> None:
    """Tell who waits what goes on."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a process with a home of its own: what it compiles and keeps for later lies there."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    # numba would keep what it compiles of a library beside that, and libraries may lie in the home that is replaced.
    return kept | {"HOME": str(home), "NUMBA_CACHE_DIR": str(home / "numba"), "PYTHONUSERBASE": site.getuserbase()}


def metered(command: list[str], given: dict[str, str], place: Path = ROOT) -> dict[str, Any]:
    """Run one process in an environment and a folder; return its seconds and its peak memory."""
    meter = [sys.executable, "-S", str(HERE / "meter.py"), *command]
    done = subprocess.run(meter, cwd=place, env=given, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    if told["code"]:
        raise FailedError(f"ended with code {told['code']}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return told


def run(side: str, job: Job, caches: list[Path], out: Path, seed: int, home: Path) -> dict[str, Any]:
    """Do a job once on one side: seconds in all, peak of the largest process, and the maps."""
    shutil.rmtree(out, ignore_errors=True)
    seconds, peak = 0.0, 0
    for command, folder in commands(side, job, caches, out, seed):
        folder.mkdir(parents=True, exist_ok=True)
        told = metered(command, environment(home))
        seconds, peak = seconds + told["seconds"], max(peak, told["peak"])
    name = f"{'plain' if side == 'plain' else 'vis'}_{job.method}_coords.npy"
    beside = side == "plain" or len(caches) > 1
    maps = [(cache, (out / cache.name if beside else out) / name) for cache in caches]
    return {"seconds": seconds, "peak": peak, "maps": maps}


def files_in(folder: Path) -> int:
    """Count the compiled functions that are kept."""
    return sum(1 for _ in folder.rglob("*.nbc"))


def judged(pairs: dict[Path, list[Path]]) -> dict[Path, dict[str, Any]]:
    """Judge the maps of each cache in a process of its own; return the quality of each map."""
    asked = json.dumps([[str(cache), [str(path) for path in paths]] for cache, paths in pairs.items()])
    command = [sys.executable, str(HERE / "quality.py")]
    done = subprocess.run(command, input=asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"the quality could not be measured: {done.stderr.strip().splitlines()[-1]}")
    told = zip(pairs.values(), json.loads(done.stdout), strict=True)
    return {path: one for paths, maps in told for path, one in zip(paths, maps, strict=True)}
