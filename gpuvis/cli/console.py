"""Show progress, notes and a summary on a terminal or in a log: text on stderr, written paths on stdout."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
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

from gpuvis.cli.terminal import printable
from gpuvis.jobs import progress
from gpuvis.jobs.batch import Report
from gpuvis.jobs.job import Decision
from gpuvis.jobs.outcome import Kind, Outcome
from gpuvis.quality import report

STYLES = dict.fromkeys(("written", "drawn again", "measured", "scored"), "green") | {"up to date": "cyan"}
OTHER_COLUMNS = 50  # of the progress line, without the folder
UNWRAPPED_WIDTH, HEIGHT = 10_000, 25  # rich ignores a width without a height if TERM is dumb


class Display(progress.Progress):
    """Show the progress of a batch: live on a terminal, in plain lines elsewhere.

    Parameters
    ----------
    verbosity : int
        -1: errors only; 0: notes and progress; 1: everything.
    on_written : callable
        Called with the paths of each map that was written.
    """

    def __init__(self, verbosity: int, on_written: Callable[[Iterable[Path]], None]) -> None:
        # The terminal itself wraps long lines: so nothing is cut, and nothing is wrapped in a log file.
        self._unwrapped = Console(stderr=True, highlight=False, width=UNWRAPPED_WIDTH, height=HEIGHT)
        self.console = Console(stderr=True, highlight=False) if self._unwrapped.is_terminal else self._unwrapped
        self._verbosity, self._on_written = verbosity, on_written
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
        self._remaining: dict[Path, set[Kind]] = {}  # of each folder, the methods (or "outliers") not done yet
        self._printed: set[str] = set()

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
        """Print one line. Control characters in it are replaced."""
        self.console.print(Text.assemble((prefix, style), printable(text)), soft_wrap=True)

    def say_once(self, text: str, style: str, prefix: str) -> None:
        """Print one line, unless it was printed before: two maps of a folder may have the same note."""
        if text not in self._printed:
            self._printed.add(text)
            self.say(text, style, prefix)

    def begin(self, decisions: list[Decision], backend: str) -> None:
        """Show how many maps there are to make, and on which backend."""
        self._remaining = {decision.job.folder: set(decision.kinds) for decision in decisions}
        maps = sum(len(decision.to_do) for decision in decisions)
        scores = sum(decision.scores for decision in decisions)
        self._progress.update(self._task, total=maps + scores)
        if decisions and self._verbosity >= 0 and not self._live:
            counts = {"maps to make": maps, "folders to score": scores, "folders": len(decisions)}
            parts = [f"{name}: {count}" for name, count in counts.items() if count]
            self.say(", ".join([*parts, f"backend: {backend}"]))

    def folder(self, number: int, folder: Path) -> None:
        """Show the current folder."""
        self._where = printable(f"[{number}/{len(self._remaining)}] {folder}")
        width = max(12, self.console.width - OTHER_COLUMNS)
        where = self._where if len(self._where) <= width else "…" + self._where[1 - width :]
        self._progress.update(self._task, where=where)

    def step(self, name: str) -> None:
        """Show the current step."""
        self._progress.update(self._task, step=name)
        if self._verbosity > 0:
            self.say(f"{self._where}: {name}")

    def outcome(self, outcome: Outcome) -> None:
        """Show the outcome of a map."""
        remaining = self._remaining.get(outcome.folder, set())
        done = remaining & {outcome.method} if outcome.method else remaining.copy()
        remaining -= done
        self._progress.advance(self._task, len(done))
        self._on_written(outcome.paths)
        in_lines = self._verbosity >= 0 and not self._live
        if outcome.error:
            self.say_once(str(outcome.error), "bold red", "error: ")
        elif in_lines:
            seconds = "" if outcome.seconds is None else f" in {outcome.seconds:.1f} s"
            where = f" by worker {outcome.worker}" if outcome.worker else ""
            self.say(f"{outcome.folder}: {outcome.method} {outcome.result}{seconds}{where}")
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
        on_cluster = any(outcome.worker for outcome in report.outcomes)
        if on_cluster:
            table.add_column("worker", no_wrap=True)
        for outcome in report.outcomes:
            worker = [Text(printable(outcome.worker))] if on_cluster else []
            table.add_row(*_cells(outcome, report.backend), *worker)
        self._unwrapped.print(table)
        for outcome in report.outcomes:
            for line in outcome.lines:
                self._unwrapped.print(Text(printable(line)))
        if report.index:
            self.say(f"all maps: {report.index}")
        counts = Counter(outcome.result for outcome in report.outcomes)
        self.say(", ".join(f"{count} {result}" for result, count in counts.items()))


def _cells(outcome: Outcome, backend: str) -> list[Text]:
    size = " × ".join(f"{count:,}" for count in (outcome.rows, outcome.columns) if count is not None)
    has_run = outcome.seconds is not None
    return [
        Text(printable(str(outcome.folder))),
        Text(size),
        Text(outcome.method or ""),
        Text(backend if has_run else ""),
        Text(f"{outcome.seconds:.1f}" if has_run else ""),
        *map(Text, report.cells(outcome.quality)),
        Text(outcome.result, STYLES.get(outcome.result, "red")),
    ]


class _LogToConsole(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        prefix, style = ("note: ", "yellow") if record.levelno >= logging.WARNING else ("", "dim")
        self._display.say_once(self.format(record), style, prefix)


def silence_stdout() -> None:
    """Redirect stdout to /dev/null after it failed; otherwise Python writes to it again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Paths:
    """Written paths on stdout, one per line: at once into a pipe or a file, but at the end on a terminal."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self._waiting: list[Path] = []

    def add(self, paths: Iterable[Path]) -> None:
        """Add the paths of files that were written."""
        self._waiting += paths
        if not sys.stdout.isatty():
            self.flush()

    def flush(self) -> None:
        """Print the paths added so far."""
        as_text = printable if sys.stdout.isatty() else str  # other programs need the exact paths
        lines = [os.fsencode(as_text(str(path))) + b"\n" for path in self._waiting]
        self._waiting.clear()
        try:
            sys.stdout.buffer.writelines(lines)  # bytes, since a path may not be valid text
            sys.stdout.buffer.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):  # the reader may stop early: that is no error
                self.error = error
            silence_stdout()
