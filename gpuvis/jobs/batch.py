"""Run a request: find the folders, decide what to do for each, then pass them to the pipeline or a worker."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from gpuvis.errors import SettingsError
from gpuvis.io.folders import find
from gpuvis.jobs import draw, job
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.outcome import Outcome, apply_min_trust, failure
from gpuvis.jobs.pipeline import Pipeline
from gpuvis.jobs.place import depends_on_rows, protected, ready, start
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.worker import InProcess, Worker
from gpuvis.page.options import PageOptions
from gpuvis.settings import Settings, require

if TYPE_CHECKING:
    from distributed import Client

    from gpuvis.jobs.remote import Connect

logger = logging.getLogger(__name__)
Add = Callable[[Outcome], None]
TABLES_BYTES = 256 << 20  # of `metadata.csv` files whose tables stay in memory until their folder's turn


@dataclass(frozen=True)
class Request:
    """A request: which folders, which maps, and how to make them.

    Attributes
    ----------
    roots : path, or sequence of paths
        Cache folders, and folders with cache folders anywhere below them.
    settings : Settings
    page : PageOptions or None
        None: draw no pages.
    prefix : str, default="vis"
        Start of the outputs' names.
    overwrite : bool, default=False
        Compute again even if outputs exist.
    out_dir : path, optional
        Folder of the outputs, which keep their relative paths; None: each cache folder.
    backend : {"auto", "gpu", "cpu"}, default="auto"
    timeout : float or None
        Most seconds that one step of a map may take; None: there is no limit.
    gpu_memory_limit : int or None
        Most bytes of the GPU's memory to use; None: all that is free.
    only_draw : bool, default=False
        Draw from saved coordinates, and compute nothing.
    quality : {"auto", "full", "none"}, default="auto"
        What to measure of each map. full: the recall of every point, however many there are.
    maps : bool, default=True
        Make maps.
    outliers : bool, default=False
        Score how well each sample fits its label.
    min_trust : float or None
        Least trustworthiness. A map with less fails, but its files are kept.
    """

    roots: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    settings: Settings = field(default_factory=Settings)
    page: PageOptions | None = field(default_factory=PageOptions)
    prefix: str = "vis"
    overwrite: bool = False
    out_dir: str | os.PathLike[str] | None = None
    backend: str = "auto"
    timeout: float | None = None
    gpu_memory_limit: int | None = None
    only_draw: bool = False
    quality: str = "auto"
    maps: bool = True
    outliers: bool = False
    min_trust: float | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not 0 < self.timeout < inf:
            raise SettingsError(f"timeout has to be a number of seconds above 0; found {self.timeout:g}")
        if self.min_trust is not None:
            require(0 <= self.min_trust <= 1, "min_trust", "a number from 0 to 1", self.min_trust)
            require(self.quality != "none", "quality", "auto or full, if min_trust is to be judged", self.quality)
        if not 0 < len(os.fsencode(self.prefix)) <= 200 or "/" in self.prefix or not self.prefix.isprintable():
            raise SettingsError(f"out_prefix has to be the start of a file name; found {self.prefix!r}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The roots as paths."""
        if isinstance(self.roots, (str, os.PathLike)):
            return (Path(self.roots),)
        return tuple(map(Path, self.roots))

    def jobs(self) -> list[Job]:
        """Find the cache folders, and return a job for each."""
        common = os.path.commonpath([os.path.abspath(root) for root in self.paths])
        job_of = partial(
            Job,
            settings=self.settings,
            page=self.page,
            prefix=self.prefix,
            overwrite=self.overwrite,
            only_draw=self.only_draw,
            root=self.root,
            quality=self.quality,
            maps=self.maps,
            outliers=self.outliers,
        )
        out = None if self.out_dir is None else Path(self.out_dir)
        return [
            job_of(folder, out / os.path.relpath(os.path.abspath(folder), common) if out else folder)
            for folder in find(self.paths)
        ]

    @property
    def root(self) -> Path | None:
        """The folder of the front page and of files that pages share; None: the roots have no common folder."""
        if self.out_dir is not None:
            return Path(self.out_dir)
        common = Path(os.path.commonpath([os.path.abspath(root) for root in self.paths]))
        return None if common == Path(common.anchor) else common


@dataclass
class Report:
    """The result of a run.

    Attributes
    ----------
    outcomes : list of Outcome
    backend : str
        The backend that did the work; the requested one if there was nothing to do.
    stopped : KeyboardInterrupt or None
        The interrupt that ended the batch.
    index : Path or None
        The front page of several folders.
    """

    outcomes: list[Outcome]
    backend: str
    stopped: KeyboardInterrupt | None = None
    index: Path | None = None

    @property
    def exit_code(self) -> int:
        """The largest exit code of all outcomes."""
        return max((outcome.exit_code for outcome in self.outcomes), default=0)


def run(
    request: Request | str | os.PathLike[str], progress: Progress | None = None, client: Client | None = None
) -> Report:
    """Make the maps of folders: what `gpuvis reduce` does, and `gpuvis plot` and `gpuvis outliers`.

    If a folder fails, the report says so, and the other folders go on. Ctrl-C ends the run, and saved files stay. A GPU
    is used in a process of its own, so a script must call this below ``if __name__ == "__main__":``.

    Parameters
    ----------
    request : Request, or path
        Which folders, which maps, and how. A path: one UMAP map of each cache in or below this folder.
    progress : Progress, optional
        Its methods are called as the work goes on. Default: nothing is shown.
    client : distributed.Client, optional
        Do the jobs on the workers of this Dask cluster. They have to see the folders under the same paths. Default: do
        them in this process, or on a GPU in a child of it.

    Returns
    -------
    Report
        The outcome of each map, and the exit code that the command would have.

    Raises
    ------
    NoGpuError
        "gpu" was requested, and no GPU can be used.
    GpuvisError
        A worker of the cluster cannot do the jobs, because it has another gpuvis or does not see the folders.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> cache = gpuvis.write_cache("runs/a", X, {"file_name": [f"{row}.png" for row in range(60)]})
    >>> request = gpuvis.Request("runs", gpuvis.Settings(pca_dim=5), backend="cpu")
    >>> report = gpuvis.run(request)
    >>> [(str(outcome.folder), outcome.method, outcome.result) for outcome in report.outcomes]
    [('runs/a', 'umap', 'written')]
    """
    request = request if isinstance(request, Request) else Request(request)
    return run_with(request, progress or Progress(), (lambda terms: nullcontext(client)) if client else None)


def run_with(request: Request, progress: Progress, connect: Connect | None) -> Report:
    """Make the maps of folders, on the workers of a cluster if `connect` gives its client; see `run`."""
    report = Report([], request.backend)

    def add(outcome: Outcome) -> None:
        outcome = apply_min_trust(outcome, request.min_trust)
        report.outcomes.append(outcome)
        progress.outcome(outcome)

    work = partial(_on_cluster, connect) if connect else _here
    try:
        jobs = work(request, report, progress, add)
        report.index = draw.write_front_page(request.root, jobs) if request.maps else None
    except KeyboardInterrupt as interrupt:
        report.stopped = interrupt.with_traceback(None)
    return report


def _on_cluster(connect: Connect, request: Request, report: Report, progress: Progress, add: Add) -> list[Job]:
    """Do all jobs on the workers of a cluster, which is needed only if there is something to do."""
    from gpuvis.jobs import cluster
    from gpuvis.jobs.remote import Terms

    jobs = request.jobs()
    decisions = _check(jobs, add, table_bytes=0)  # the workers read the tables
    if decisions:
        rows, level = sum(decision.rows for decision in decisions), logger.getEffectiveLevel()
        terms = Terms(request.backend, request.timeout, request.gpu_memory_limit, rows, level, folders=len(decisions))
        report.backend = cluster.run(connect, decisions, terms, progress, add)
        places = {decision.job.folder: number for number, decision in enumerate(decisions)}
        report.outcomes.sort(key=lambda outcome: places.get(outcome.folder, -1))  # as one process would do them
    return jobs


def _here(request: Request, report: Report, progress: Progress, add: Add) -> list[Job]:
    """Do all jobs in this process, or in a child of it."""
    # The worker starts while the folders are checked, unless the number of rows decides which backend it needs.
    with closing(Pipeline(add)) as pipeline, ExitStack() as stack:
        begin = partial(start, request.backend, request.timeout, request.gpu_memory_limit)
        worker = None if depends_on_rows(request.backend) else stack.enter_context(closing(begin()))
        jobs = request.jobs()
        decisions = _check(jobs, add)
        rows = sum(decision.rows for decision in decisions)
        worker = worker or stack.enter_context(closing(begin(rows)))
        if decisions or request.backend == "gpu":  # a missing GPU is an error even if there is nothing to do
            worker, report.backend = ready(worker)
        progress.begin(list(decisions), report.backend)
        with closing(protected(worker, decisions)) as worker:
            if isinstance(worker, InProcess) and len(decisions) > 1:
                pipeline.run(decisions, worker.selection, progress)
            else:
                _one_by_one(decisions, worker, progress, add)
    return jobs


def _check(jobs: list[Job], add: Add, table_bytes: int = TABLES_BYTES) -> deque[Decision]:
    """Check all folders before anything is computed. Return the decisions of folders that have something to do.

    The outcomes of the other folders are added to the report. Tables stay in memory until their folder's turn, up to
    `table_bytes`.
    """
    decisions, free_bytes = deque[Decision](), table_bytes
    for folder_job in jobs:
        try:
            decision = job.check(folder_job, free_bytes)
        except Exception as error:  # noqa: BLE001  an error in one folder must not stop the others
            add(failure(folder_job.folder, error))
            continue
        if decision.kinds:
            decisions.append(decision)
            free_bytes -= decision.folder.table_bytes
        else:
            for outcome in decision.settled:
                add(outcome)
    return decisions


def _one_by_one(decisions: deque[Decision], worker: InProcess | Worker, progress: Progress, add: Add) -> None:
    for number in range(1, len(decisions) + 1):
        decision = decisions.popleft()
        progress.folder(number, decision.job.folder)
        with closing(_run(decision, worker, progress)) as outcomes:  # an interrupt unlocks the folder too
            for outcome in outcomes:
                add(outcome)


def _run(decision: Decision, worker: InProcess | Worker, progress: Progress) -> Generator[Outcome]:
    try:
        yield from worker.run(decision, progress.step)
    except Exception as error:  # noqa: BLE001
        yield failure(decision.job.folder, error)
