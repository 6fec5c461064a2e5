"""Decide what is to be done for one folder: which maps to compute, to draw, or to leave."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from gpuvis.errors import CacheError, GpuvisError
from gpuvis.io.files import check_writable, sweep
from gpuvis.jobs import audit
from gpuvis.jobs.outcome import Kind, Outcome
from gpuvis.page.options import PageOptions
from gpuvis.results.folder import Folder
from gpuvis.results.outputs import Action, Outputs, Status, check_free, check_ours, of_saved, status
from gpuvis.results.record import RunRecord
from gpuvis.settings import MethodName, Settings

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
    page : PageOptions or None
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
    page: PageOptions | None = field(default_factory=PageOptions)
    prefix: str = "vis"
    overwrite: bool = False
    only_draw: bool = False
    root: Path | None = None
    quality: str = "auto"
    maps: bool = True
    outliers: bool = False

    @property
    def methods(self) -> tuple[MethodName, ...]:
        """The maps that are asked for."""
        return self.settings.methods if self.maps else ()

    def outputs(self, method: MethodName) -> Outputs:
        """Return the files of one map."""
        return Outputs(self.out, self.prefix, method)

    @property
    def files(self) -> list[Path]:
        """All that may be written."""
        return [*audit.files(self.out), *(path for method in self.methods for path in self.outputs(method).files)]

    def sweep(self) -> None:
        """Remove what runs that died had begun to write; the folder is locked."""
        sweep(*self.files)

    def look(self) -> Folder:
        """Return the folder as it is now."""
        return Folder(self.folder, self.out, self.files)


@dataclass(frozen=True, eq=False)
class Decision:
    """The decision about a job: what to compute, to draw, and to leave.

    Attributes
    ----------
    job : Job
    folder : Folder
        What it was decided by.
    maps : dict of str to Status
        By their methods; none of those that are refused.
    scores : bool, default=False
        Samples are to be scored.
    outcomes : tuple of Outcome
        Of what is refused, and of scores that are up to date.
    """

    job: Job
    folder: Folder
    maps: dict[MethodName, Status]
    scores: bool = False
    outcomes: tuple[Outcome, ...] = ()

    @property
    def to_do(self) -> dict[MethodName, Status]:
        """The maps for which something is to be done."""
        return {method: state for method, state in self.maps.items() if state.action is not Action.NOTHING}

    @property
    def computed(self) -> list[MethodName]:
        """The maps that are to be computed."""
        return [method for method, state in self.maps.items() if state.action is Action.COMPUTE]

    @property
    def kinds(self) -> list[Kind]:
        """All that is to be done."""
        return [*self.to_do, *(("outliers",) if self.scores else ())]

    @property
    def settled(self) -> list[Outcome]:
        """The outcomes of maps and scores for which nothing is to be done, or nothing can be done."""
        current = [
            _up_to_date(self.job, method, record)
            for method, (action, record, _) in self.maps.items()
            if action is Action.NOTHING and record
        ]
        return [*current, *self.outcomes]

    @property
    def rows(self) -> int:
        """The rows of the embeddings, if something is to be computed of them and their size was looked at."""
        return self.folder.rows if self.scores or self.computed else 0

    def with_new_scores(self) -> Decision:
        """Return the decision after samples were scored: pages may lack the new scores, or show them already."""
        maps = {
            method: state if state.action is Action.COMPUTE else _status(self.job, self.folder, method)
            for method, state in self.maps.items()
        }
        return replace(self, maps=maps)


def _status(job: Job, folder: Folder, method: MethodName) -> Status:
    if job.overwrite:
        return Status(Action.COMPUTE)
    return status(job.outputs(method), folder, job.settings, job.page, job.quality)


def _up_to_date(job: Job, method: MethodName, record: RunRecord) -> Outcome:
    rows, columns = record.input.rows, record.input.columns
    return Outcome(job.folder, "up to date", method, rows, columns, quality=record.quality)


def decide(job: Job) -> Decision:
    """Decide what there is to do for a folder, by what is there."""
    folder = job.look()
    if job.only_draw:
        return _drawn(job, folder)
    maps: dict[MethodName, Status] = {}
    outcomes = []
    for method in job.methods:
        try:
            maps[method] = _status(job, folder, method)
        except GpuvisError as error:
            outcomes.append(Outcome(job.folder, "refused", method, error=error))
    scored = _scored(job, folder) if job.outliers else None
    scores = job.outliers and scored is None
    return Decision(job, folder, maps, scores, (*outcomes, *([scored] if scored else [])))


def _scored(job: Job, folder: Folder) -> Outcome | None:
    """Return the outcome of scores that are up to date, or refused; None: samples are to be scored."""
    try:
        record = None if job.overwrite else audit.up_to_date(job.out, folder)
    except GpuvisError as error:
        return Outcome(job.folder, "refused", "outliers", error=error)
    return audit.known(job, record) if record else None


def _drawn(job: Job, folder: Folder) -> Decision:
    """Have every map drawn whose coordinates are there, unless something else lies in the place of its page."""
    maps: dict[MethodName, Status] = {}
    outcomes = []
    for method in job.settings.methods:
        files = job.outputs(method)
        try:
            if files.coords.exists():
                if not job.overwrite:
                    check_ours(files, job.page)
                maps[method] = of_saved(files, folder)
        except GpuvisError as error:
            outcomes.append(Outcome(job.folder, "refused", method, error=error))
    if not maps and not outcomes:
        missing = " or ".join(job.outputs(method).coords.name for method in job.settings.methods)
        raise CacheError(f"{job.out} has no {missing} to draw; make the map with gpuvis reduce")
    return Decision(job, folder, maps, outcomes=tuple(outcomes))


def check(job: Job, most_bytes: float = inf) -> Decision:
    """Decide what there is to do for a folder, and check that it can be done, before anything is computed.

    Parameters
    ----------
    job : Job
    most_bytes : float
        A larger `metadata.csv` is not read yet, since it would be kept until its turn.

    Raises
    ------
    CacheError
        The cache is not what it has to be.
    OutputError
        The outputs cannot be written.
    """
    decision = decide(job)
    if decision.scores or decision.computed:
        decision.folder.look(most_bytes)
    for method in decision.to_do:
        job.outputs(method).check_free(job.page)
    if decision.scores:
        check_free(*audit.files(job.out))
    if decision.kinds:
        page = PAGE_BYTES + PAGE_ROW_BYTES * decision.rows if job.page else 0
        scores = audit.ROW_BYTES * decision.rows if decision.scores else 0
        check_writable(job.out, (COORDS_BYTES * decision.rows + page) * len(decision.to_do) + scores)
    return decision
