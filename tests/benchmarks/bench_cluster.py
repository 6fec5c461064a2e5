"""Time many folders by workers of Dask on this machine against one process, and print Markdown.

python tests/benchmarks/bench_cluster.py [--runs N] [--folders N] [--small N] [--data DIR]

48 folders of 1,400 × 1152, and 300 of 20 × 64, as whole processes, in turn. The memory is that of all processes of a
command together, what they share counted once (PSS). Then what a worker costs for each small folder: one command after
the other in one process, by itself and by one worker that runs already.

The exit code is 1 where maps or pages differ between the two.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import data
import psutil
from timing import say

import gpuvis
from gpuvis import PageOptions, Settings, UmapSettings
from gpuvis.jobs import connect
from gpuvis.jobs.remote import Terms

WAYS = {"one process": (), "--workers 2": ("--workers", "2")}


def memory(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # it has just ended
            continue
    return total


def run(root: Path, options: tuple[str, ...]) -> tuple[float, int]:
    """Run a command; return its seconds, and the most memory that it and its workers have taken."""
    start, peak = time.perf_counter(), 0
    command = [sys.executable, "-P", "-m", "gpuvis", "reduce", "--backend", "cpu", "--overwrite", *options, str(root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, memory(watched))
                process.wait(0.1)
            except (psutil.Error, subprocess.TimeoutExpired):
                continue
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    return time.perf_counter() - start, peak


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("vis_umap*") if path.suffix in {".npy", ".html"}}


def compare(root: Path, name: str, runs: int) -> bool:
    """Print a row for each way; return whether the files are the same."""
    told: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    made = []
    for k in range(runs):
        for way, options in WAYS.items():
            say(f"{name}, {way}, run {k + 1}")
            told[way].append(run(root, options))
            made.append(files(root))
    same = all(one == made[0] for one in made)
    for way, found in told.items():
        seconds, peaks = (median(some) for some in zip(*found, strict=True))
        print(f"| {name} | {way} | {seconds:.1f} s | {peaks / 1e6:.0f} MB | {'yes' if same else 'NO'} |", flush=True)
    return same


def overhead(root: Path, runs: int) -> float:
    """Return the milliseconds that a worker adds to each folder."""
    request = gpuvis.Request(
        root, Settings(umap=UmapSettings(n_neighbors=10), threads=1), PageOptions(), backend="cpu", overwrite=True
    )
    with connect.local(1, Terms("cpu")) as client:
        added = []
        for _ in range(2 * runs):
            seconds = []
            for where in (None, client):
                start = time.perf_counter()
                report = gpuvis.run(request, client=where)
                seconds.append(time.perf_counter() - start)
            added.append((seconds[1] - seconds[0]) / len(report.outcomes))
    return 1000 * median(added)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--folders", type=int, default=48)
    asked.add_argument("--small", type=int, default=300)
    asked.add_argument("--data", type=Path, default=Path("build/bench-cluster"))
    told = asked.parse_args()
    shapes = {
        told.data / "large": [data.Shape(1400, 1152, seed) for seed in range(told.folders)],
        told.data / "small": [data.Shape(20, 64, seed) for seed in range(told.small)],
    }
    print("| folders | how | time | memory | same files |\n|---|---|---|---|---|")
    same = True
    for root, some in shapes.items():
        for shape in some:
            data.made(root, shape)
        name = f"{len(some)} of {some[0].rows:,} × {some[0].columns}"
        same &= compare(root, name, told.runs)
    print(f"\nA worker adds {overhead(told.data / 'small', told.runs):.1f} ms to each small folder.")
    raise SystemExit(not same)


if __name__ == "__main__":
    main()
