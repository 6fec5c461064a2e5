"""What was measured becomes a Markdown document. Quality comes first: a job that lacks it gets no time printed."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import mean, median
from typing import Any

from jobs import Bar, Job
from timing import ROOT, SIDES, Measured

from gpuvis import machine

FARTHEST = 50  # no coordinate of a sound UMAP map lies beyond; those of t-SNE do
SEEDS = 3  # over so many seeds the means are compared
MORE = 0.01  # that a mean over fewer seeds may lie below, by chance
ALLOWED = {
    "umap": {"recall": 0.003, "trust": 0.003, "triplets": 0.01},
    "tsne": {"recall": 0.01, "trust": 0.01, "triplets": 0.01},
}
NEAR_SMALLER = 0.01  # trustworthiness at a million rows against that at fewer
HEADS = ("job", "plain", "gpuvis", "faster (min–max)", "floor", "aim", "met", "peak memory", "recall@15")
HEADS += ("trustworthiness@15", "triplets")


@dataclass
class Result:
    """What became of a job: measurements and quality of each side, and why it failed, if it did."""

    job: Job
    sides: dict[str, Measured]
    quality: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # run by run
    failures: list[str] = field(default_factory=list)

    def mean(self, side: str, measure: str) -> float:
        """Return the mean of a measure over the seeds."""
        return mean(one[measure] for one in self.quality[side])

    @property
    def ratios(self) -> list[float]:
        return [plain / ours for plain, ours in zip(*(self.sides[side].seconds for side in SIDES), strict=True)]


def unsound(told: dict[str, Any], farthest: float) -> str | None:
    """Say what is wrong with a map as such."""
    if told["shape"] != [told["rows"], 2]:
        return f"coordinates of shape {tuple(told['shape'])} for {told['rows']:,} rows"
    if not isfinite(told["largest"]):
        return "a coordinate is not finite"
    if told["largest"] > farthest:
        return f"a coordinate of {told['largest']:.0f} lies beyond {farthest}"
    return None


def shortfalls(result: Result, smaller: Result | None) -> Iterator[str]:
    """Say where the quality falls short."""
    if result.job.smaller:
        if not smaller or not smaller.quality:
            yield f"its quality is held against that of {result.job.smaller}, which was not measured"
        else:
            found, other = result.mean("ours", "trust"), smaller.mean("ours", "trust")
            if found < other - NEAR_SMALLER:
                yield f"trust {found:.4f} is more than {NEAR_SMALLER} below {other:.4f}, that of {smaller.job.name}"
        return
    more = 0 if len(result.quality["ours"]) >= SEEDS else MORE
    for measure, allowed in ALLOWED[result.job.method].items():
        found, other = (result.mean(side, measure) for side in ("ours", "plain"))
        if found < other - allowed - more:
            yield f"{measure} {found:.4f} is more than {allowed + more:g} below {other:.4f}"


def met(bar: Bar, result: Result, smaller: Result | None) -> bool | None:
    """Say whether a bar is reached; None where it cannot be told."""
    ours, plain = result.sides["ours"], result.sides.get("plain")
    reached = [ours.peak <= bar.peak, ours.median < bar.seconds]
    if plain:
        reached += [median(result.ratios) >= bar.faster, ours.peak <= bar.share * plain.peak]
    if bar.slower < float("inf"):
        if not smaller or smaller.failures:
            return None
        reached.append(ours.median <= bar.slower * smaller.sides["ours"].median)
    return all(reached)


def verdict(result: Result, smaller: Result | None) -> str:
    """Say which bars are reached."""
    words = {True: "yes", False: "no", None: "not known"}
    bars = {name: bar for name, bar in (("floor", result.job.floor), ("aim", result.job.aim)) if bar != Bar()}
    if result.failures:
        return "no" if bars else "–"
    return ", ".join(f"{name} {words[met(bar, result, smaller)]}" for name, bar in bars.items()) or "–"


def row(result: Result, smaller: Result | None = None) -> str:
    """Return the row of a job. Where it failed, that stands in place of its times."""
    ours, plain = result.sides.get("ours"), result.sides.get("plain")
    cells = ["–", "–", "**FAILED**"]
    if not result.failures and ours:
        cells = [f"{plain.median:.1f} s" if plain else "–", f"{ours.median:.1f} s", "–"]
        if plain:
            low, high = min(result.ratios), max(result.ratios)
            cells[2] = f"**{median(result.ratios):.1f}×** ({low:.1f}–{high:.1f})"
        elif smaller and not smaller.failures:
            cells[2] = f"{ours.median / smaller.sides['ours'].median:.1f}× the time of the smaller job"
    cells += [result.job.floor.told(), result.job.aim.told(), verdict(result, smaller), memory(ours, plain)]
    cells += [both(result, measure) for measure in ("recall", "trust", "triplets")]
    return line(result.job.told, *cells)


def memory(ours: Measured | None, plain: Measured | None) -> str:
    """Return the peaks of both sides, and their ratio."""
    if not ours or not ours.peaks:
        return "–"
    if not plain or not plain.peaks:
        return f"{ours.peak / 1e9:.2f} GB"
    return f"{plain.peak / 1e9:.2f} / {ours.peak / 1e9:.2f} GB ({ours.peak / plain.peak:.2f}×)"


def both(result: Result, measure: str) -> str:
    """Return a measure of both sides."""
    found = [result.mean(side, measure) for side in SIDES if result.quality.get(side)]
    return " / ".join(f"{one:.4f}" for one in found) or "–"


def line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def rules() -> Iterator[str]:
    """Say when quality is good enough."""
    for method, allowed in ALLOWED.items():
        told = ", ".join(f"{measure} {by:g}" for measure, by in allowed.items())
        yield f"- {method}: the means may lie below those of the plain pipeline by: {told}"
    yield f"- over fewer than {SEEDS} seeds, by {MORE:g} more, which is chance"


def commit(folder: Path = ROOT) -> str:
    """Return the commit of a checkout, where there is one."""
    if not shutil.which("git"):
        return ""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def head(script: str) -> Iterator[str]:
    """Say by what command, of which commit, on what machine and with what is measured."""
    versions, now = machine.versions(), time.strftime("%Y-%m-%d")
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "gpuvis")
    command = shlex.join(["python", f"tests/benchmarks/{script}", *sys.argv[1:]])
    found = commit()
    yield f"`{command}`, {now}, gpuvis {versions.get('gpuvis', '')}{found and f' ({found})'}"
    yield ""
    yield f"- machine: {machine.cpu_name()}, {machine.cpu_threads()} cores, {machine.memory_bytes() / 1e9:.1f} GB,"
    yield f"  {platform.system()} {platform.release()}; load before: {os.getloadavg()[0]:.1f}"
    yield f"- {told}"


def heads(*names: str) -> Iterator[str]:
    """Begin a table."""
    yield line(*names)
    yield "|" + "---|" * len(names)
