"""Time gpuvis against the plain pipeline, judge the maps, and print one Markdown document with a table.

python tests/benchmarks/bench.py [--size quick|standard|full] [--data DIR] [--mnist CACHE_DIR] [--runs N] [--only JOB …]
    [--out FILE] [--cores N]

Each side is a whole fresh process, in turn; run n has seed n. What the plain pipeline compiles is kept between
runs, and a warm-up on other data comes first: for the first run after an installation see bench_cold.py. The exit code
is 1 where the quality of a map falls short of the plain pipeline's or a process fails: then no time is printed.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

import data
import jobs
import report
import timing
from jobs import Job
from report import Result
from timing import say


class Bench:
    """Where a run keeps its data and the homes of its processes, and what it found."""

    def __init__(self, place: Path, mnist: Path | None, scratch: Path) -> None:
        self.place, self.mnist, self.scratch = place, mnist, scratch
        self.notes: list[str] = []

    def caches(self, job: Job) -> list[Path]:
        """Return the folders of a job; they are made where they are not there yet."""
        if job.data == jobs.MNIST:
            assert self.mnist
            return [self.mnist]
        if isinstance(job.data, str):
            from gpuvis import demo

            return [demo.write(self.place / job.data)]
        if job.folders == 1:
            return [data.made(self.place, job.data)]
        study = self.place / f"study-{job.folders}"
        return [data.made(study, replace(job.data, seed=1 + number)) for number in range(job.folders)]

    def home(self, side: str, job: Job) -> Path:
        """Return the home of a side: that of the plain pipeline is kept, with what it compiled; ours begins empty."""
        return (self.place if side == "plain" else self.scratch) / f"home-{side}-{job.method}"

    def warm_up(self, job: Job) -> None:
        """Let the plain pipeline compile what it needs, on other data than the timed."""
        shape = jobs.warm_up(job)
        mark = self.home("plain", job) / f"{shape.name}.warm"
        if mark.exists():
            return
        cache = data.made(self.place, shape)
        say(f"warm-up, {job.method}, {shape.name}")
        self.run_once("plain", job, [cache], 1)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def measure(self, job: Job, runs: int) -> Result:
        """Do a job on both sides, in turn, and judge the maps."""
        sides = ("ours",) if job.smaller else timing.SIDES
        result = Result(job, {side: timing.Measured() for side in sides})
        try:
            caches = self.caches(job)
            if "plain" in sides:
                self.warm_up(job)
            for seed in range(1, runs + 1):
                for side in sides if seed % 2 else sides[::-1]:
                    self.run(side, result, caches, seed)
            self.judge(result, caches)
        except timing.FailedError as error:
            result.failures.append(str(error))
        finally:
            shutil.rmtree(self.scratch / job.name, ignore_errors=True)
        return result

    def run(self, side: str, result: Result, caches: list[Path], seed: int) -> None:
        job, home = result.job, self.home(side, result.job)
        before = timing.files_in(home)
        told = self.run_once(side, job, caches, seed)
        say(f"{job.name}, seed {seed}, {side}: done")  # no times before the quality is known
        if timing.files_in(home) > before:
            self.notes.append(f"{job.name}, {side}, seed {seed}: the warm-up had not compiled everything")
        measured = result.sides[side]
        measured.seconds.append(told["seconds"])
        measured.peaks.append(told["peak"])
        measured.maps.append(told["maps"])

    def run_once(self, side: str, job: Job, caches: list[Path], seed: int) -> dict[str, Any]:
        try:
            out = self.scratch / job.name / f"{side}-{seed}"
            return timing.run(side, job, caches, out, seed, self.home(side, job))
        except timing.FailedError as error:
            raise timing.FailedError(f"{side}: {error}") from None

    def judge(self, result: Result, caches: list[Path]) -> None:
        """Measure the quality of all maps of a job; that of a study is the mean over its folders."""
        asked: dict[Path, list[Path]] = {cache: [] for cache in caches}
        for measured in result.sides.values():
            for maps in measured.maps:
                for cache, path in maps:
                    asked[cache].append(path)
        say(f"{result.job.name}: quality")
        judged = timing.judged(asked)
        for side, measured in result.sides.items():
            farthest = report.FARTHEST if (side, result.job.method) == ("ours", "umap") else inf
            wrong = {report.unsound(judged[path], farthest) for maps in measured.maps for _, path in maps}
            result.failures += sorted(f"{side}: {one}" for one in wrong if one)
        if result.failures:
            return
        for side, measured in result.sides.items():
            result.quality[side] = [
                {name: mean(judged[path][name] for _, path in maps) for name in ("recall", "trust", "triplets")}
                for maps in measured.maps
            ]


def chosen(asked: argparse.Namespace) -> Iterator[tuple[Job, int]]:
    """Give the jobs of a size, each with the number of its runs."""
    runs = jobs.SIZES[asked.size]
    for job in jobs.JOBS:
        if job.name in (asked.only or runs):
            yield job, asked.runs or runs.get(job.name, 1)


def lines(bench: Bench, asked: argparse.Namespace, failed: list[str]) -> Iterator[str]:
    """Measure everything; give the document line by line, and the names of the jobs that failed."""
    yield from report.head("bench.py")
    yield "- whole fresh processes, load to HTML, in turn: medians; plain / gpuvis: peak memory, and quality as means"
    yield ""
    yield from report.heads(*report.HEADS)
    results: dict[str, Result] = {}
    left_out = []
    for job, runs in chosen(asked):
        if job.data == jobs.MNIST and not bench.mnist:
            left_out.append(job.told)
            continue
        result, smaller = bench.measure(job, runs), results.get(job.smaller)
        results[job.name] = result
        if not result.failures:
            result.failures += report.shortfalls(result, smaller)
        failed += [f"{job.name}: {failure}" for failure in result.failures]
        yield report.row(result, smaller)
    yield ""
    yield from (f"- FAILED, {failure}" for failure in failed)
    yield from report.rules()
    if left_out:
        yield f"- left out, because no cache of MNIST was given (`--mnist DIR`): {'; '.join(left_out)}"
    yield from (f"- {note}" for note in bench.notes)
    runs = {name: len(result.sides["ours"].seconds) for name, result in results.items()}
    yield f"- runs, each with a seed of its own: {', '.join(f'{name} {count}' for name, count in runs.items())}"


def disk(place: Path) -> float:
    """Return the gigabytes below a folder."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e9


def read_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="quick", choices=jobs.SIZES)
    parser.add_argument(
        "--data", type=Path, default=Path(tempfile.gettempdir()) / "gpuvis-bench", help="where data is kept"
    )
    parser.add_argument("--mnist", type=Path, help="a cache of MNIST, 70,000 × 784")
    parser.add_argument("--runs", type=int, default=0, help="of each job; 0: as the size says")
    parser.add_argument("--only", nargs="+", choices=[job.name for job in jobs.JOBS], help="jobs, of any size")
    parser.add_argument("--out", type=Path, help="write the document here as well")
    parser.add_argument("--cores", type=int, default=0, help="use so many; 0: all")
    asked = parser.parse_args()
    if asked.mnist and not (asked.mnist / "embeddings.pt").exists():
        parser.error(f"--mnist {asked.mnist} holds no embeddings.pt; name a cache folder")
    return asked


def main() -> None:
    """Read the command line, measure, print."""
    asked = read_command_line()
    if asked.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    place, failed = asked.data.resolve(), []
    place.mkdir(parents=True, exist_ok=True)
    document = ""
    with tempfile.TemporaryDirectory(dir=place, prefix="run-") as scratch:
        bench = Bench(place, asked.mnist and asked.mnist.resolve(), Path(scratch))
        for line in lines(bench, asked, failed):
            print(line, flush=True)
            document += line + "\n"
            if asked.out:
                asked.out.write_text(document)
    say(f"{place} holds {disk(place):.2f} GB for the next run")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
