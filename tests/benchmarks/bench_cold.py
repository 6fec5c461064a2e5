"""Time the first process after an installation against the second, and print a Markdown document with a table.

python tests/benchmarks/bench_cold.py [--wheel FILE] [--image-command CMD] [--tree DIR …] [--runs N] [--data DIR]

Whole processes, as a user starts them: `gpuvis reduce` of a folder of 1,400 × 1152, with all that it does by default,
and of the digits, without measuring. Ways to install: `make install` in a copy of this checkout; `pip install` of a
wheel (`make wheel` writes one to dist/); and an image, each first process in a new container. Before each first
process, the home is empty and the installation is put back as it was when it was new. Libraries are not installed anew:
they are those of the Python that runs this, and what is kept of them for later lies in the home. The plain script
(plain.py) starts in an empty home, too.

CMD is what runs a shell command in a new container: --image-command "docker run --rm --entrypoint sh gpuvis:cpu -c".
DIR is another checkout, which is installed as this one and measured in turn with it, but not judged.

The exit code is 1 where a process fails, or a floor is missed that hardly depends on the machine. Floors for seconds
are of a quiet machine with two cores: they are only told.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import data
import jobs
import report
import timing
from timing import FailedError, Measured, say

PCA_DIM = 50
SEED = 1  # of the plain script
AGAIN = 1.5  # times the second process that the first may take
FASTER = {"umap": 5, "tsne": 4}  # times the first process that the plain script has to take in its first
PEAK = 0.30e9
DIGITS = 1.5  # seconds of a second process
INSTALL = 90  # seconds, where the libraries are there
NAMES = {"umap": "UMAP", "tsne": "t-SNE"}
HEADS = ("job", "installed by", "first (min–max)", "second (min–max)", "first / second", "plain, first / second")
HEADS += ("plain over first", "peak memory", "floors")

# What a shell does in a new container: data is made with another home, so that the first process finds its own empty.
IN_CONTAINER = """set -e
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
cd "$(mktemp -d)"
cat > data.py <<'END OF FILE'
{data}
END OF FILE
cat > meter.py <<'END OF FILE'
{meter}
END OF FILE
HOME=$PWD/other {make} >&2
python -S meter.py {first}
python -S meter.py {second}
"""

Twice = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What a process does, and its floors."""

    method: str
    digits: bool = False

    @property
    def told(self) -> str:
        place = "digits 1,797 × 64, `--quality none`" if self.digits else f"1,400 × 1152, `--pca_dim {PCA_DIM}`"
        return f"{NAMES[self.method]}, {place}"

    def command(self, cache: Path | str, out: Path | str) -> list[str]:
        """Return what comes after the name of the program."""
        asked = ["reduce", str(cache), f"--{self.method}", "--out_dir", str(out)]
        return asked + (["--quality", "none"] if self.digits else ["--pca_dim", str(PCA_DIM)])


JOBS = [Job(method, digits) for digits in (False, True) for method in NAMES]


@dataclass
class Bench:
    """Where a run keeps its data and installations."""

    place: Path
    scratch: Path

    def cache(self, job: Job) -> Path:
        """Return the folder that a job reads; it is made where it is not there yet."""
        if not job.digits:
            return data.made(self.place, jobs.STUDY)
        from gpuvis import demo

        return demo.write(self.place / jobs.DIGITS)

    @cached_property
    def libraries(self) -> Path:
        """Return a folder with links to all that is installed beside gpuvis where this runs."""
        folder = self.scratch / "libraries"
        folder.mkdir()
        for site in (Path(one) for one in sys.path if Path(one).name in {"site-packages", "dist-packages"}):
            for library in site.iterdir():
                link = folder / library.name
                if "gpuvis" not in library.name and library.suffix != ".pth" and not link.exists():
                    link.symlink_to(library)
        return folder


@dataclass
class Installed:
    """An installation that can be put back as it was when it was new."""

    name: str
    place: Path
    libraries: Path
    judged: bool = True

    @property
    def now(self) -> Path:
        """Return where it lies, with the paths that stand in it."""
        return self.place / "now"

    @property
    def bin(self) -> Path:
        return self.now / "venv/bin"

    def make(self, install: Callable[["Installed"], list[str]] | None = None) -> float:
        """Install what the command installs that is given; return the seconds of it."""
        self.now.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", str(self.now / "venv")], env=clean(os.environ), check=True)
        (site,) = self.now.glob("venv/lib/python*/site-packages")
        (site / "libraries.pth").write_text(str(self.libraries))
        seconds = 0.0
        if install:
            command, start = install(self), time.perf_counter()
            done = subprocess.run(command, env=clean(os.environ), capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - start
            if done.returncode:
                say(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
                raise FailedError(f"the installation ended with code {done.returncode}")
        self.now.rename(self.place / "new")
        return seconds

    def twice(self, job: Job, cache: Path) -> Twice:
        """Do a job in two processes, the first of which is the very first."""
        shutil.rmtree(self.now, ignore_errors=True)
        shutil.copytree(self.place / "new", self.now, symlinks=True)
        home = self.now / "home"
        given = clean(timing.environment(home))
        outs = [self.now / "first", self.now / "second"]
        for out in outs:
            out.mkdir()
        first, second = (timing.metered(self.command(job, cache, out), given, home) for out in outs)
        return first, second

    def command(self, job: Job, cache: Path, out: Path) -> list[str]:
        return [str(self.bin / "gpuvis"), *job.command(cache, out)]


class Plain(Installed):
    """The plain script: it needs the libraries alone."""

    def command(self, job: Job, cache: Path, out: Path) -> list[str]:
        script = [str(self.bin / "python"), str(timing.HERE / "plain.py")]
        return [*script, str(cache), str(out), job.method, str(PCA_DIM), str(SEED)]


@dataclass
class Image:
    """An image with gpuvis, of which each call makes a new container."""

    prefix: list[str]
    name: str = "image, a new container"
    judged: bool = True

    def twice(self, job: Job, cache: Path) -> Twice:
        """Do a job in two processes of a new container; its data is made there."""
        files = {name: (timing.HERE / f"{name}.py").read_text() for name in ("data", "meter")}
        size = ["--rows", str(jobs.STUDY.rows), "--columns", str(jobs.STUDY.columns)]
        made = ["gpuvis", "demo", "cache"] if job.digits else ["python", "data.py", "cache", *size]
        first, second = (shlex.join(["gpuvis", *job.command("cache", out)]) for out in ("first", "second"))
        script = IN_CONTAINER.format(**files, make=shlex.join(made), first=first, second=second)
        done = subprocess.run([*self.prefix, script], capture_output=True, text=True, check=False)
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
        if done.returncode or len(told) != 2 or any(one["code"] for one in told):
            say(done.stdout + done.stderr)
            raise FailedError(f"the container ended with code {done.returncode} after {len(told)} of 2 processes")
        return told[0], told[1]


def clean(given: Any) -> dict[str, str]:
    """Return an environment without what belongs to the Python and the make that run this."""
    return {
        name: value for name, value in given.items() if not name.startswith(("PYTHON", "MAKE", "MFLAGS", "VIRTUAL"))
    }


def copied(tree: Path, to: Path) -> Path:
    """Copy the files of a checkout, without those that git ignores; return the copy."""
    asked = ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0"):
        if (tree / name).is_file():  # not one that was removed
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree / name, to / name)
    return to


def by_make(tree: Path) -> Callable[[Installed], list[str]]:
    """Return what installs a copy of a checkout."""

    def install(into: Installed) -> list[str]:
        copy = copied(tree, into.now / "tree")
        return ["make", "-C", str(copy), "install", f"VENV={into.now / 'venv'}"]

    return install


def by_wheel(wheel: Path) -> Callable[[Installed], list[str]]:
    """Return what installs a wheel, also where the libraries come with a gpuvis of the same version."""
    options = ["--quiet", "--no-deps", "--ignore-installed"]
    return lambda into: [str(into.bin / "python"), "-m", "pip", "install", *options, str(wheel)]


@dataclass
class Row:
    """What was measured of a job on one way."""

    first: Measured = field(default_factory=Measured)
    second: Measured = field(default_factory=Measured)
    failure: str = ""

    def add(self, twice: Twice) -> None:
        for measured, told in zip((self.first, self.second), twice, strict=True):
            measured.seconds.append(told["seconds"])
            measured.peaks.append(told["peak"])

    @property
    def again(self) -> float:
        return self.first.median / self.second.median

    @property
    def peak(self) -> float:
        return max(self.first.peak, self.second.peak)


def missed(job: Job, row: Row, plain: Row | None) -> list[str]:
    """Name the floors that a job misses."""
    if row.failure:
        return []
    found = {"peak memory": row.peak > PEAK, "first / second": row.again > AGAIN}
    if plain and not plain.failure:
        found["plain over first"] = plain.first.median < FASTER[job.method] * row.first.median
    return [] if job.digits else [name for name, one in found.items() if one]


def cells(job: Job, row: Row, plain: Row | None) -> Iterator[str]:
    """Give what stands in a row of the table, from the first process on."""
    if row.failure:
        yield from ("**FAILED**", *["–"] * 6)
        return

    def told(value: str, floor: str, there: bool = True) -> str:
        return f"{value} ({floor})" if there else value

    yield spread(row.first)
    yield told(spread(row.second), f"≤ {DIGITS:g} s", job.digits)
    yield told(f"{row.again:.2f}", f"≤ {AGAIN:g}", not job.digits)
    if plain and not plain.failure:
        yield f"{plain.first.median:.1f} s / {plain.second.median:.1f} s"
        yield told(f"**{plain.first.median / row.first.median:.1f}×**", f"≥ {FASTER[job.method]:g}")
    else:
        yield from ("–", "–")
    yield told(f"{row.peak / 1e9:.2f} GB", f"≤ {PEAK / 1e9:.2f}", not job.digits)
    failed = missed(job, row, plain)
    yield "–" if job.digits else f"no: {', '.join(failed)}" if failed else "yes"


def spread(measured: Measured) -> str:
    return f"{measured.median:.2f} s ({min(measured.seconds):.2f}–{max(measured.seconds):.2f})"


def installed(bench: Bench, asked: argparse.Namespace, failed: list[str], notes: list[str]) -> list[Installed | Image]:
    """Install in each way; note how long that took, and what failed."""
    chosen = [("`make install`", by_make(timing.ROOT), True)]
    chosen += [("wheel", by_wheel(asked.wheel.resolve()), True)] if asked.wheel else []
    for tree in asked.tree:
        chosen.append((f"`make install`, {report.commit(tree) or tree.name}", by_make(tree.resolve()), False))
    found: list[Installed | Image] = []
    for number, (name, install, judged) in enumerate(chosen):
        say(f"{name}: installation")
        one = Installed(name, bench.scratch / str(number), bench.libraries, judged)
        try:
            seconds = one.make(install)
        except FailedError as error:
            failed.append(f"{name}: {error}")
            continue
        notes.append(f"{name}: {seconds:.0f} s, where the libraries are there" + f" (≤ {INSTALL:g} s)" * (number == 0))
        found.append(one)
    return found + ([Image(shlex.split(asked.image_command))] if asked.image_command else [])


def measure(bench: Bench, asked: argparse.Namespace, ways: list[Installed | Image]) -> dict[tuple[str, Job], Row]:
    """Do all jobs in all ways, in turn, as often as asked."""
    plain = Plain("plain", bench.scratch / "plain", bench.libraries)
    plain.make()
    todo = [(way, job) for job in JOBS for way in [*ways, plain]]
    todo = [(way, job) for way, job in todo if way is not plain or not job.digits]
    rows = {(way.name, job): Row() for way, job in todo}
    for number in range(asked.runs):
        for way, job in todo if number % 2 else todo[::-1]:
            row = rows[way.name, job]
            if row.failure:
                continue
            say(f"{job.told}, {way.name}, {number + 1} of {asked.runs}")
            try:
                row.add(way.twice(job, bench.cache(job)))
            except FailedError as error:
                row.failure = str(error)
    return rows


def lines(bench: Bench, asked: argparse.Namespace, failed: list[str]) -> Iterator[str]:
    """Measure everything; give the document line by line, and what failed."""
    notes: list[str] = []
    yield from report.head("bench_cold.py")
    ways = installed(bench, asked, failed, notes)
    yield from (f"- {note}" for note in notes)
    yield f"- whole processes, medians of {asked.runs}; floors in brackets: judged of this checkout"
    yield ""
    yield from report.heads(*HEADS)
    rows = measure(bench, asked, ways)
    for job in JOBS:
        plain = None if job.digits else rows["plain", job]
        for way in ways:
            row = rows[way.name, job]
            yield report.line(job.told, way.name, *cells(job, row, plain))
            if way.judged:
                failed += [f"{job.told}, {way.name}: {name}" for name in missed(job, row, plain)]
    failed += [f"{job.told}, {name}: {row.failure}" for (name, job), row in rows.items() if row.failure]
    yield ""
    yield from (f"- FAILED, {failure}" for failure in failed)


def read_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="a wheel of gpuvis")
    parser.add_argument("--image-command", default="", help="what runs a shell command in a new container")
    parser.add_argument("--tree", type=Path, action="append", default=[], help="another checkout")
    parser.add_argument("--runs", type=int, default=5, help="first and second processes of each job")
    parser.add_argument(
        "--data", type=Path, default=Path(tempfile.gettempdir()) / "gpuvis-bench", help="where data is kept"
    )
    return parser.parse_args()


def main() -> None:
    """Read the command line, measure, print."""
    asked = read_command_line()
    place, failed = asked.data.resolve(), []
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix="cold-") as scratch:
        for line in lines(Bench(place, Path(scratch)), asked, failed):
            print(line, flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
