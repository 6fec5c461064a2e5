"""Progress, notes and summary on a terminal or in a log: text to stderr, written paths to stdout."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from gpuvis.cli.terminal import harmless
from gpuvis.jobs import progress
from gpuvis.jobs.batch import Report
from gpuvis.jobs.job import Decision
from gpuvis.jobs.outcome import Kind, Outcome
from gpuvis.quality import report

STYLES = dict.fromkeys(("written", "drawn again", "measured", "scored"), "green") | {"up to date": "cyan"}
BESIDE_FOLDER = 50  # columns of the live line that are not the folder
WIDE, HIGH = 10_000, 25  # of a width alone, where TERM is dumb, rich makes 80 columns


class Display(progress.Progress):
    """Show the progress of a batch: live on a terminal, in plain lines elsewhere.

    Parameters
    ----------
    verbosity : int
        -1: errors only; 0: notes and progress; 1: everything.
    written : callable
        Is given the paths of each map that is written.
    """

    def __init__(self, verbosity: int, written: Callable[[Iterable[Path]], None]) -> None:
        # Where a line is too long the terminal wraps it; nothing is cut, and in a log file nothing is wrapped.
        self._wide = Console(stderr=True, highlight=False, width=WIDE, height=HIGH)
        self.console = Console(stderr=True, highlight=False) if self._wide.is_terminal else self._wide
        self._verbosity, self._written = verbosity, written
        self._live = self.console.is_terminal and not self.console.is_dumb_terminal and verbosity >= 0
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[where]}", markup=False),
            TextColumn("{task.fields[step]}", style="cyan"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._progress.add_task("", total=None, where="checking", step="")
        self._handler = _LogToConsole(self)
        self._left: dict[Path, set[Kind]] = {}  # what is still to be made, of each folder
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        logger = logging.getLogger("gpuvis")
        self._level = logger.level
        logger.addHandler(self._handler)
        logger.setLevel({-1: logging.ERROR, 0: logging.WARNING}.get(self._verbosity, logging.INFO))
        self._progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._progress.stop()
        logger = logging.getLogger("gpuvis")
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)

    def say(self, text: str, style: str = "", prefix: str = "") -> None:
        """Print one line, whatever characters it holds."""
        self.console.print(Text.assemble((prefix, style), harmless(text)), soft_wrap=True)

    def say_once(self, text: str, style: str, prefix: str) -> None:
        """Print one line, unless it was printed before: two maps of a folder may have the same to tell."""
        if text not in self._said:
            self._said.add(text)
            self.say(text, style, prefix)

    def begin(self, works: list[Decision], backend: str) -> None:
        """Take note of what will be done."""
        self._left = {work.job.folder: set(work.kinds) for work in works}
        maps, audits = sum(len(work.to_do) for work in works), sum(work.scores for work in works)
        self._progress.update(self._task, total=maps + audits)
        if works and self._verbosity >= 0 and not self._live:
            counts = {"maps to make": maps, "folders to score": audits, "folders": len(works)}
            parts = [f"{name}: {count}" for name, count in counts.items() if count]
            self.say(", ".join([*parts, f"backend: {backend}"]))

    def folder(self, number: int, folder: Path) -> None:
        """Show which folder is worked on."""
        self._where = harmless(f"[{number}/{len(self._left)}] {folder}")
        place = max(12, self.console.width - BESIDE_FOLDER)
        where = self._where if len(self._where) <= place else "…" + self._where[1 - place :]
        self._progress.update(self._task, where=where)

    def step(self, name: str) -> None:
        """Show which step is worked on."""
        self._progress.update(self._task, step=name)
        if self._verbosity > 0:
            self.say(f"{self._where}: {name}")

    def outcome(self, outcome: Outcome) -> None:
        """Show what became of a map."""
        left = self._left.get(outcome.folder, set())
        made = left & {outcome.method} if outcome.method else left.copy()
        left -= made
        self._progress.advance(self._task, len(made))
        self._written(outcome.paths)
        in_lines = self._verbosity >= 0 and not self._live
        if outcome.error:
            self.say_once(str(outcome.error), "bold red", "error: ")
        elif in_lines:
            took = "" if outcome.seconds is None else f" in {outcome.seconds:.1f} s"
            self.say(f"{outcome.folder}: {outcome.method} {outcome.result}{took}")
        if outcome.quality and in_lines:
            self.say(f"{outcome.folder}: {outcome.method} {report.line(outcome.quality)}")
        for warning in report.warnings(outcome.quality) if outcome.quality and self._verbosity >= 0 else []:
            self.say(f"{outcome.folder}: {outcome.method}: {warning}", "yellow", "note: ")

    def summary(self, report: Report) -> None:
        """Print the table of a finished batch."""
        if self._verbosity < 0 or not report.outcomes:
            return
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("folder", no_wrap=True)
        for name in ("rows × columns", "method", "backend", "seconds"):
            table.add_column(name, justify="right" if name in {"rows × columns", "seconds"} else "left", no_wrap=True)
        for name in ("recall (PCA)", "trust (PCA)", "triplets (PCA)", "labels (original)"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("result", no_wrap=True)
        for outcome in report.outcomes:
            table.add_row(*_cells(outcome, report.backend))
        self._wide.print(table)
        for outcome in report.outcomes:
            for line in outcome.lines:
                self._wide.print(Text(harmless(line)))
        counts = [f"{n} {result}" for result, n in _counts(report).items()]
        if report.index:
            self.say(f"all maps: {report.index}")
        self.say(", ".join(counts))


def _cells(outcome: Outcome, backend: str) -> list[Text]:
    size = " × ".join(f"{count:,}" for count in (outcome.rows, outcome.columns) if count is not None)
    ran = outcome.seconds is not None
    return [
        Text(harmless(str(outcome.folder))),
        Text(size),
        Text(outcome.method or ""),
        Text(backend if ran else ""),
        Text(f"{outcome.seconds:.1f}" if ran else ""),
        *map(Text, report.cells(outcome.quality)),
        Text(outcome.result, STYLES.get(outcome.result, "red")),
    ]


def _counts(report: Report) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome in report.outcomes:
        counts[outcome.result] = counts.get(outcome.result, 0) + 1
    return counts


class _LogToConsole(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        prefix, style = ("note: ", "yellow") if record.levelno >= logging.WARNING else ("", "dim")
        self._display.say_once(self.format(record), style, prefix)


def silence() -> None:
    """Let go of stdout, which takes no more: else Python tries again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Paths:
    """Written paths on stdout, a line each: at once into a pipe or a file, at the end where progress is shown."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self._waiting: list[Path] = []

    def add(self, paths: Iterable[Path]) -> None:
        """Take in what was written."""
        self._waiting += paths
        if not sys.stdout.isatty():
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        shown = harmless if sys.stdout.isatty() else str  # programs get the paths as they are
        lines = [os.fsencode(shown(str(path))) + b"\n" for path in self._waiting]
        self._waiting.clear()
        try:
            sys.stdout.buffer.writelines(lines)  # bytes: a path need not be text
            sys.stdout.buffer.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):  # whoever reads may stop reading
                self.error = error
            silence()
