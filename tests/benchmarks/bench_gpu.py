"""Time each step of a reduction on the GPU and on the CPU, and print a Markdown table.

python tests/benchmarks/bench_gpu.py [CACHE_DIR ...] [--sizes 1400x1152 70000x784] [--dtypes fp16 fp32]
    [--methods umap tsne] [--pca_dim 50] [--runs 3] [--cpu-rows 70000]

Whole jobs are timed, from the cache folder to the saved coordinates; no page is drawn. Without CACHE_DIR the caches
are made on the spot (data.py): rows like those of CLIP. The first job of a machine is a warm-up and is told
apart. Without a GPU that can be used nothing is timed.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
import numpy as np

from gpuvis import machine
from gpuvis.backends import Selection, choose
from gpuvis.errors import GpuvisError, NoGpuError, OutputError
from gpuvis.io import cache
from gpuvis.jobs import job, stages
from gpuvis.settings import Settings, Tsne, Umap
from gpuvis.timing import StepTimer

SIZES = ("1400x1152", "70000x784", "300000x512", "1000000x512")
TYPES = {"fp16": "float16", "fp32": "float32"}
STEPS = ("read", "load", "pca", "neighbors", "start", "layout", "save")
GIB = 2**30


@dataclass
class Timed:
    """One job on one machine: seconds and device bytes of each step, and the plan's estimate of them."""

    seconds: dict[str, float]
    peaks: dict[str, float]
    planned: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def made(folder: Path, size: str, dtype: str) -> Path:
    """Write a cache of a size such as 70000x784."""
    rows, columns = map(int, size.lower().split("x"))
    return data.made(folder, data.Shape(rows, columns, dtype=TYPES[dtype]))


def settings_of(method: str, pca_dim: int) -> Settings:
    return Settings(
        umap=Umap() if method == "umap" else None, tsne=Tsne() if method == "tsne" else None, pca_dim=pca_dim or None
    )


def run_once(folder: Path, settings: Settings, chosen: Selection) -> Timed:
    """Do a whole job, and read its record."""
    (method,) = settings.methods
    with tempfile.TemporaryDirectory() as out:
        asked = job.Job(folder, Path(out), settings, page=None, overwrite=True)
        for outcome in stages.run(job.decide(asked), chosen, StepTimer(settle=chosen.backend.settle)):
            if outcome.error:
                raise outcome.error
        run = asked.outputs(method).read_record()
    if run is None:
        raise OutputError(f"{folder}: no record of the run was written")
    taken = {"layout" if name == method else name: step for name, step in run.steps.items()}
    planned = {name: step["device"] for name, step in ((run.plan or {}).get("steps") or {}).items()}
    planned["layout"] = planned.get(method, 0)
    return Timed(
        {name: step["seconds"] for name, step in taken.items()},
        {name: step.get("peak_device_bytes", 0) for name, step in taken.items()},
        {name: planned.get(name, 0) for name in taken},
    )


def median(runs: list[Timed]) -> Timed:
    """Return the median of the seconds, and the most bytes, step by step."""
    return Timed(
        {name: statistics.median(run.seconds[name] for run in runs) for name in runs[0].seconds},
        {name: max(run.peaks[name] for run in runs) for name in runs[0].peaks},
        runs[0].planned,
    )


def measure(folder: Path, settings: Settings, chosen: Selection, runs: int) -> Timed | str:
    """Time a job, or say why that was not possible."""
    try:
        return median([run_once(folder, settings, chosen) for _ in range(runs)])
    except GpuvisError as error:
        return str(error)


def cells(gpu: Timed, cpu: Timed | None) -> Iterator[str]:
    """Give the cells of a row: each step on the GPU and on the CPU, the sums, their ratio, the tightest step."""
    for step in STEPS:
        on_gpu, on_cpu = (timed.seconds.get(step) if timed else None for timed in (gpu, cpu))
        told = ["–" if one is None else f"{one:.2f}" for one in (on_gpu, on_cpu)]
        yield " / ".join(told) if cpu else told[0]
    yield f"{gpu.total:.2f}"
    yield f"{cpu.total:.2f}" if cpu else "–"
    yield f"{cpu.total / gpu.total:.1f}" if cpu else "–"
    tightest = max((name for name in gpu.peaks if gpu.planned.get(name)), key=gpu.peaks.__getitem__, default=None)
    if tightest:
        yield f"{gpu.peaks[tightest] / GIB:.2f} of {gpu.planned[tightest] / GIB:.2f} GiB ({tightest})"
    else:
        yield "–"


def over(gpu: Timed) -> list[str]:
    """Name the steps that took more of the device's memory than was planned."""
    return [
        f"{name}: {peak / GIB:.2f} GiB, planned {gpu.planned[name] / GIB:.2f}"
        for name, peak in gpu.peaks.items()
        if 0 < gpu.planned.get(name, 0) < peak
    ]


def warm_up(machines: dict[str, tuple[Any, str]], size: str, methods: list[str]) -> None:
    """Load kernels and compile on each machine, and say how long that takes: a first job pays for it."""
    with tempfile.TemporaryDirectory() as place:
        folder = made(Path(place), size, "fp32")
        for name, chosen in machines.items():
            for method in methods:
                first, again = (run_once(folder, settings_of(method, 8), chosen).total for _ in range(2))
                print(f"warm-up, {name.upper()}, {method}, {size}: {first:.2f} s, then {again:.2f} s")


def rows_of_table(asked: argparse.Namespace, machines: dict[str, tuple[Any, str]]) -> Iterator[str]:
    """Measure everything; give the table line by line."""
    heads = ("rows × columns", "type", "method", *STEPS, "GPU, s", "CPU, s", "CPU / GPU", "peak on the device")
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for folder in folders(asked):
        shape, dtype = cache.read(folder).embeddings.shape, cache.read(folder).embeddings.dtype
        told = (f"{shape[0]:,} × {shape[1]:,}", str(dtype).removeprefix("torch."))
        for method in asked.methods:
            settings = settings_of(method, asked.pca_dim)
            gpu = measure(folder, settings, machines["gpu"], asked.runs)
            if isinstance(gpu, str):
                yield "| " + " | ".join((*told, method)) + f" | {gpu} |"
                continue
            cpu = None
            if "cpu" in machines and shape[0] <= asked.cpu_rows:
                measured = measure(folder, settings, machines["cpu"], 1 if shape[0] > 10_000 else asked.runs)
                cpu = None if isinstance(measured, str) else measured
            yield "| " + " | ".join((*told, method, *cells(gpu, cpu))) + " |"
            for excess in over(gpu):
                print(f"over plan, {told[0]} {method}: {excess}", file=sys.stderr)


def folders(asked: argparse.Namespace) -> Iterator[Path]:
    """Give the caches, one at a time; those made here do not outlive their turn."""
    yield from asked.caches
    for size in () if asked.caches else asked.sizes:
        for dtype in asked.dtypes:
            with tempfile.TemporaryDirectory() as place:
                yield made(Path(place), size, dtype)


def main() -> None:
    """Read the command line, look for the GPU, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("caches", nargs="*", type=Path)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--dtypes", nargs="+", default=["fp16"], choices=TYPES)
    parser.add_argument("--methods", nargs="+", default=["umap", "tsne"], choices=["umap", "tsne"])
    parser.add_argument("--pca_dim", type=int, default=50, help="0: no PCA")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cpu-rows", type=int, default=70_000, help="the most rows that the CPU is given; 0: none")
    parser.add_argument("--warm-up", default="1000x64", help="size of the first job of each machine")
    asked = parser.parse_args()
    try:
        machines = {"gpu": choose("gpu")}
    except NoGpuError as error:
        sys.exit(f"nothing was timed: {error}")
    if asked.cpu_rows:
        machines["cpu"] = choose("cpu")
    device = machines["gpu"][0].describe()
    print(f"GPU: {device.name}, {device.memory_bytes / GIB:.0f} GiB, {device.details}")
    print(f"CPU: {machine.cpu_name()}, {len(os.sched_getaffinity(0))} threads, Python {platform.python_version()}")
    print(", ".join(f"{name} {version}" for name, version in machine.versions().items()))
    print(f"pca_dim {asked.pca_dim}, median of {asked.runs}; seconds, GPU / CPU; NumPy {np.__version__}\n")
    warm_up(machines, asked.warm_up, asked.methods)
    print()
    for line in rows_of_table(asked, machines):
        print(line, flush=True)


if __name__ == "__main__":
    main()
