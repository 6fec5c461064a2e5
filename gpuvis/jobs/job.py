"""Decide what to do for one folder: which maps to compute, which to draw, and which to leave as they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from gpuvis.errors import CacheError, GpuvisError
from gpuvis.io.files import LOCK, check_writable, sweep
from gpuvis.jobs import audit
from gpuvis.jobs.outcome import Kind, Outcome
from gpuvis.page.options import PageOptions
from gpuvis.results.folder import Folder
from gpuvis.results.outputs import Action, Outputs, Status, check_free, check_ours, of_saved, status
from gpuvis.results.record import RunRecord
from gpuvis.settings import MethodName, Settings

COORDS_BYTES = 8  # of a row
PAGE_BYTES, PAGE_ROW_BYTES = 5 << 20, 100  # plotly.js, and the data of one row in the page


@dataclass(frozen=True)
class Job:
    """One cache folder, and what to do with it.

    Attributes
    ----------
    folder : Path
        The cache.
    out : Path
        The folder of the outputs.
    settings : Settings
    page : PageOptions or None
        None: draw no page.
    prefix : str
        Start of the outputs' names.
    overwrite : bool
        Compute again even if outputs exist.
    only_draw : bool
        Draw from saved coordinates, whatever their settings were, and compute nothing.
    root : Path or None
        Folder of the files that pages share; None: the folder of the page.
    quality : {"auto", "full", "none"}
        What to measure of a map. full: every point, however many there are.
    maps : bool
        Make maps.
    outliers : bool
        Score how well each sample fits its label.
    worker : str
        Name of the worker of a cluster that does the job; empty where there is no cluster.
    notes : tuple of str
        What the run records of its maps have to note: how the workers of a cluster differ.
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
    worker: str = ""
    notes: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[MethodName, ...]:
        """The methods of the requested maps."""
        return self.settings.methods if self.maps or self.only_draw else ()

    def outputs(self, method: MethodName) -> Outputs:
        """Return the files of one map."""
        return Outputs(self.out, self.prefix, method)

    @property
    def files(self) -> list[Path]:
        """All files that the job may write."""
        return [*audit.files(self.out), *(path for method in self.methods for path in self.outputs(method).files)]

    def sweep(self) -> None:
        """Remove half-written files of runs that died. Only call this while the folder is locked."""
        sweep(*self.files, self.out / LOCK)

    def look(self) -> Folder:
        """Return the folder as it is now."""
        return Folder(self.folder, self.out, self.files)


@dataclass(frozen=True, eq=False)
class Decision:
    """The decision about a job: what to compute, what to draw, and what to leave.

    Attributes
    ----------
    job : Job
    folder : Folder
        The state of the folder on which the decision rests.
    maps : dict of str to Status
        The status of each map by its method, except of refused maps.
    scores : bool, default=False
        Score the samples.
    outcomes : tuple of Outcome
        Of refused maps, and of scores that are refused or up to date.
    """

    job: Job
    folder: Folder
    maps: dict[MethodName, Status]
    scores: bool = False
    outcomes: tuple[Outcome, ...] = ()

    @property
    def to_do(self) -> dict[MethodName, Status]:
        """The maps to compute, measure or draw."""
        return {method: state for method, state in self.maps.items() if state.action is not Action.NOTHING}

    @property
    def computed(self) -> list[MethodName]:
        """The methods of the maps to compute."""
        return [method for method, state in self.maps.items() if state.action is Action.COMPUTE]

    @property
    def kinds(self) -> list[Kind]:
        """The methods of the maps in `to_do`, and "outliers" if samples are to be scored."""
        return [*self.to_do, *(("outliers",) if self.scores else ())]

    @property
    def settled(self) -> list[Outcome]:
        """The outcomes of maps and scores that are up to date or refused."""
        current = [
            _up_to_date(self.job, method, record)
            for method, (action, record, _) in self.maps.items()
            if action is Action.NOTHING and record
        ]
        return [*current, *self.outcomes]

    @property
    def rows(self) -> int:
        """The rows of the embeddings; 0 if nothing is computed from them, or their size was not read."""
        return self.folder.rows if self.scores or self.computed else 0

    def with_new_scores(self) -> Decision:
        """Decide again about drawing after samples were scored: a page may or may not show the new scores already."""
        maps = {
            method: state if state.action is Action.COMPUTE else _status(self.job, self.folder, method)
            for method, state in self.maps.items()
        }
        return replace(self, maps=maps)


def _status(job: Job, folder: Folder, method: MethodName) -> Status:
    files = job.outputs(method)
    if job.only_draw:
        if not job.overwrite:
            check_ours(files, job.page)
        return of_saved(files, folder)
    if job.overwrite:
        return Status(Action.COMPUTE, files.read_record())
    return status(files, folder, job.settings, job.page, job.quality)


def _up_to_date(job: Job, method: MethodName, record: RunRecord) -> Outcome:
    rows, columns = record.input.rows, record.input.columns
    return Outcome(job.folder, "up to date", method, rows, columns, quality=record.quality)


def decide(job: Job) -> Decision:
    """Decide what to do for a folder, by the files that exist.

    Raises
    ------
    CacheError
        The job only draws, and no coordinates were saved.
    """
    folder = job.look()
    maps: dict[MethodName, Status] = {}
    refused = []
    for method in _saved(job) if job.only_draw else job.methods:
        try:
            maps[method] = _status(job, folder, method)
        except GpuvisError as error:
            refused.append(Outcome(job.folder, "refused", method, error=error))
    if not job.outliers or job.only_draw:
        return Decision(job, folder, maps, outcomes=tuple(refused))
    scores = _finished_scores(job, folder)
    return Decision(job, folder, maps, scores is None, (*refused, *([scores] if scores else [])))


def _saved(job: Job) -> list[MethodName]:
    """Return the methods of the maps whose coordinates were saved."""
    files = [job.outputs(method) for method in job.methods]
    methods = [outputs.method for outputs in files if outputs.coords.exists()]
    if not methods:
        missing = " or ".join(outputs.coords.name for outputs in files)
        raise CacheError(f"{job.out} has no {missing} to draw; make the map with gpuvis reduce")
    return methods


def _finished_scores(job: Job, folder: Folder) -> Outcome | None:
    """Return the outcome of scores that are up to date or refused; None: the samples are to be scored."""
    try:
        record = None if job.overwrite else audit.up_to_date(job.out, folder)
    except GpuvisError as error:
        return Outcome(job.folder, "refused", "outliers", error=error)
    return audit.up_to_date_outcome(job, record) if record else None


def check(job: Job, most_bytes: float = inf) -> Decision:
    """Decide what to do for a folder, and check that it can be done, before anything is computed.

    Parameters
    ----------
    job : Job
    most_bytes : float
        Read `metadata.csv` only if it is at most this large, since its table stays in memory until the folder's turn.

    Raises
    ------
    CacheError
        A file of the cache is missing or damaged, or there are no coordinates to draw.
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
