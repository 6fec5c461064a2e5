"""One folder and what is asked of it: decide what there is to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache as once
from pathlib import Path
from typing import Any

from gpuvis.errors import CacheError, GpuvisError
from gpuvis.io import cache, fingerprint, pt
from gpuvis.io.files import check_writable, sweep
from gpuvis.jobs import audit as auditing
from gpuvis.jobs.outcome import Kind, Outcome
from gpuvis.page.options import Page
from gpuvis.results.outputs import Action, Outputs, Status, check_free, check_ours, status
from gpuvis.settings import Method, Settings

COORDS_BYTES = 8  # of a row
PAGE_BYTES, PAGE_ROW_BYTES = 5 << 20, 100  # plotly.js, and what the page holds of a row


@dataclass(frozen=True)
class Job:
    """One cache folder and what is asked of it.

    Attributes
    ----------
    folder : Path
        The cache.
    out : Path
        Where the outputs go.
    settings : Settings
    page : Page or None
        None: no page is drawn.
    prefix : str
        Start of the outputs' names.
    overwrite : bool
        Compute again whatever is there.
    only_draw : bool
        Draw from saved coordinates, whatever they were made of, and compute nothing.
    root : Path or None
        Where files lie that pages share; None: beside the page.
    quality : {"auto", "full", "none"}
        What is measured of a map. full: each point, however many there are.
    maps : bool
        Make maps.
    outliers : bool
        Score how well each sample sits with its label.
    """

    folder: Path
    out: Path
    settings: Settings
    page: Page | None = field(default_factory=Page)
    prefix: str = "vis"
    overwrite: bool = False
    only_draw: bool = False
    root: Path | None = None
    quality: str = "auto"
    maps: bool = True
    outliers: bool = False

    @property
    def methods(self) -> tuple[Method, ...]:
        """The maps that are asked for."""
        return self.settings.methods if self.maps else ()

    def outputs(self, method: Method) -> Outputs:
        """Return the files of one map."""
        return Outputs(self.out, self.prefix, method)

    def sweep(self) -> None:
        """Remove what runs that died had begun to write; the folder is locked."""
        maps = [path for method in self.methods for path in self.outputs(method).files]
        sweep(*auditing.files(self.out), *maps)


@dataclass(frozen=True)
class Decided:
    """What is to be done for each map of a job, what is settled already, and whether samples are to be scored.

    Attributes
    ----------
    rows : int
        Of the embeddings, if something is to be computed of them and they have been looked at.
    """

    job: Job
    actions: dict[Method, Action]
    settled: tuple[Outcome, ...]
    audit: bool = False
    rows: int = 0

    @property
    def kinds(self) -> list[Kind]:
        """What is to be done."""
        return [*self.actions, *(("outliers",) if self.audit else ())]


def decide(job: Job) -> Decided:
    """Look at what is there: maps that are up to date and maps that are refused are settled, others have an action."""
    if job.only_draw:
        return _drawn(job)
    actions: dict[Method, Action] = {}
    settled = []
    content = once(lambda: fingerprint.of_cache(job.folder))
    for method in job.methods:
        files, state = job.outputs(method), Status(Action.COMPUTE)
        try:
            if not job.overwrite:
                state = status(files, job.folder, job.settings, job.page, job.quality, content)
        except GpuvisError as error:
            settled.append(Outcome(job.folder, "refused", method, error=error))
            continue
        if state.action is Action.NOTHING and state.record:
            rows, columns = state.record.input.rows, state.record.input.columns
            quality = state.record.quality
            settled.append(Outcome(job.folder, "up to date", method, rows, columns, quality=quality))
        else:
            actions[method] = state.action
    audit, scored = _audit(job, content) if job.outliers else (False, ())
    return Decided(job, actions, (*settled, *scored), audit)


def _audit(job: Job, content: Callable[[], dict[str, Any]]) -> tuple[bool, tuple[Outcome, ...]]:
    """Return whether samples are to be scored; if not, the outcome of the scores that are there."""
    try:
        run = None if job.overwrite else auditing.up_to_date(job.out, content)
    except GpuvisError as error:
        return False, (Outcome(job.folder, "refused", "outliers", error=error),)
    return (False, (auditing.known(job, run),)) if run else (True, ())


def _drawn(job: Job) -> Decided:
    """Have every map drawn whose coordinates are there, unless something else lies in the place of its page."""
    actions: dict[Method, Action] = {}
    settled = []
    for method in job.settings.methods:
        files = job.outputs(method)
        try:
            if files.coords.exists():
                if not job.overwrite:
                    check_ours(files, job.page)
                actions[method] = Action.FINISH
        except GpuvisError as error:
            settled.append(Outcome(job.folder, "refused", method, error=error))
    if not actions and not settled:
        missing = " or ".join(job.outputs(method).coords.name for method in job.settings.methods)
        raise CacheError(f"{job.out} has no {missing} to draw; make the map with gpuvis reduce")
    return Decided(job, actions, tuple(settled))


def check(job: Job) -> Decided:
    """Look at a job without computing anything, and without reading the tensor's values.

    Raises
    ------
    CacheError
        The cache is not what it has to be.
    OutputError
        The outputs cannot be written.
    """
    decided, rows = decide(job), 0
    if Action.COMPUTE in decided.actions.values() or decided.audit:
        rows = len(cache.read(job.folder, read_tensor=pt.read_mapped).embeddings)
    for method in decided.actions:
        job.outputs(method).check_free(job.page)
    if decided.audit:
        check_free(*auditing.files(job.out))
    if decided.kinds:
        page = PAGE_BYTES + PAGE_ROW_BYTES * rows if job.page else 0
        scores = auditing.ROW_BYTES * rows if decided.audit else 0
        check_writable(job.out, (COORDS_BYTES * rows + page) * len(decided.actions) + scores)
    return replace(decided, rows=rows)
