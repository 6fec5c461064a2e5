"""Run a request: find the folders, decide about all of them, then hand them to the pipeline or a worker."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

from gpuvis.backends import NO_GPU, Selection, choose, obstacle, too_few
from gpuvis.errors import SettingsError
from gpuvis.io.folders import find
from gpuvis.io.pt import stays_mapped
from gpuvis.io.schema import EMBEDDINGS
from gpuvis.jobs import draw, job
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.outcome import Outcome, failure, judged
from gpuvis.jobs.pipeline import Pipeline
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.worker import Here, Worker
from gpuvis.page.options import PageOptions
from gpuvis.settings import Settings, require

logger = logging.getLogger(__name__)
TABLES_BYTES = 256 << 20  # of `metadata.csv` files that are kept until the turn of their folders


@dataclass(frozen=True)
class Request:
    """A request: which folders, which maps, and how.

    Attributes
    ----------
    roots : path, or sequence of paths
        Cache folders, and folders with cache folders anywhere below them.
    settings : Settings
    page : PageOptions or None
        None: no pages are drawn.
    prefix : str, default="vis"
        Start of the outputs' names.
    overwrite : bool, default=False
        Compute again whatever is there.
    out_dir : path, optional
        Where the outputs go, under the same relative paths; None: beside each cache.
    backend : {"auto", "gpu", "cpu"}, default="auto"
    timeout : float or None
        Longest that one step of a map may take, in seconds; None: there is no limit.
    gpu_memory_limit : int or None
        The most bytes of the GPU's memory to use; None: what is free.
    only_draw : bool, default=False
        Draw from saved coordinates, and compute nothing.
    quality : {"auto", "full", "none"}, default="auto"
        What is measured of each map. full: the recall of every point, however many there are.
    maps : bool, default=True
        Make maps.
    outliers : bool, default=False
        Score how well each sample sits with its label.
    min_trust : float or None
        Least trustworthiness; a map with less fails, and its files are kept.
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
        least = self.min_trust
        if least is not None:
            require(0 <= least <= 1, "min_trust", "a number from 0 to 1", least)
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
        """Find the cache folders and say what is asked of each."""
        common = os.path.commonpath([os.path.abspath(root) for root in self.paths])
        of_folder = partial(
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
            of_folder(folder, out / os.path.relpath(os.path.abspath(folder), common) if out else folder)
            for folder in find(self.paths)
        ]

    @property
    def root(self) -> Path | None:
        """Where the files lie that the pages share, and the front page; None: the folders have nothing in common."""
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
        Where the work was done; what was asked for, if there was none to do.
    stopped : KeyboardInterrupt or None
        What interrupted the batch.
    index : Path or None
        The front page of several folders.
    """

    outcomes: list[Outcome]
    backend: str
    stopped: KeyboardInterrupt | None = None
    index: Path | None = None

    @property
    def exit_code(self) -> int:
        """The largest of all outcomes."""
        return max((outcome.exit_code for outcome in self.outcomes), default=0)


def run(request: Request | str | os.PathLike[str], progress: Progress | None = None) -> Report:
    """Make the maps of folders: what `gpuvis reduce` does, and `gpuvis plot` and `gpuvis outliers`.

    A folder that fails is reported, and the others go on. Ctrl-C ends the run; what was saved stays. Work on a GPU is
    done in a process of its own, so a script has to call this below ``if __name__ == "__main__":``.

    Parameters
    ----------
    request : Request, or path
        Which folders, which maps, and how. A path: one UMAP map of each cache in or below this folder.
    progress : Progress, optional
        Is called as the work goes on. Default: nothing is shown.

    Returns
    -------
    Report
        The outcome of each map, and the exit code that the command would have.

    Raises
    ------
    NoGpuError
        "gpu" was requested, and there is none.

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
    progress, report = progress or Progress(), Report([], request.backend)

    def take(outcome: Outcome) -> None:
        outcome = judged(outcome, request.min_trust)
        report.outcomes.append(outcome)
        progress.outcome(outcome)

    # A child starts while the folders are checked, unless it depends on them whether one is needed.
    with closing(Pipeline(take)) as pipeline, ExitStack() as started:
        try:
            worker = None if _weighs(request) else started.enter_context(closing(_worker(request)))
            jobs = request.jobs()
            decisions = _check(jobs, take)
            worker = worker or started.enter_context(closing(_worker(request, sum(one.rows for one in decisions))))
            wanted = decisions or request.backend == "gpu"  # which is an error without one, whatever there is to do
            ready = _ready(worker, report, request) if wanted else worker
            progress.begin(list(decisions), report.backend)
            with closing(_guarded(decisions, ready)) as ready:
                if isinstance(ready, Here) and len(decisions) > 1:
                    pipeline.run(decisions, ready.chosen, progress)
                else:
                    _one_by_one(decisions, ready, progress, take)
            report.index = draw.write(request.root, jobs) if request.maps else None
        except KeyboardInterrupt as interrupt:
            report.stopped = interrupt.with_traceback(None)
    return report


def _check(jobs: list[Job], take: Callable[[Outcome], None]) -> deque[Decision]:
    """Look at all folders before anything is computed; return what is to be done, and take the outcomes of the rest.

    The tables of the folders are kept until their turn, as far as there is room.
    """
    decisions, room = deque[Decision](), TABLES_BYTES
    for asked in jobs:
        try:
            decision = job.check(asked, room)
        except Exception as error:  # noqa: BLE001  whatever is wrong with one folder, the others go on
            take(failure(asked.folder, error))
            continue
        if decision.kinds:
            decisions.append(decision)
            room -= decision.folder.table_bytes
        else:
            for outcome in decision.settled:
                take(outcome)
    return decisions


def _guarded(decisions: Collection[Decision], ready: Here | Worker) -> Here | Worker:
    """Return who does the work: a child also where a file stays mapped, which would end this process if it were cut."""
    if len(decisions) < 2 or isinstance(ready, Worker):
        return ready
    if not any(stays_mapped(decision.job.folder / EMBEDDINGS) for decision in decisions):
        return ready
    return Worker("cpu", partial(_on_the_cpu, choose, ready.chosen.reason))


def _one_by_one(
    decisions: deque[Decision], worker: Here | Worker, progress: Progress, take: Callable[[Outcome], None]
) -> None:
    for number in range(1, len(decisions) + 1):
        decision = decisions.popleft()
        progress.folder(number, decision.job.folder)
        with closing(_run(decision, worker, progress)) as outcomes:
            for outcome in outcomes:  # an interrupt here still has the folder unlocked
                take(outcome)


def _weighs(request: Request) -> bool:
    """Tell whether it takes the number of rows to choose where to work."""
    return request.backend == "auto" and not obstacle("auto")


def _worker(request: Request, rows: int | None = None) -> Here | Worker:
    """Work in a child if a GPU is likely, or a step may have to be cut short."""
    few = too_few(request.backend, rows)
    chosen = partial(_on_the_cpu, choose, few) if few else choose
    here = Here(chosen(request.backend)) if few or obstacle(request.backend) else None
    if here and request.timeout is None:
        return here
    limited = partial(choose, memory_limit=request.gpu_memory_limit) if request.gpu_memory_limit and not few else chosen
    return Worker("cpu" if few else request.backend, limited, request.timeout)


def _on_the_cpu(choose: Callable[[str], Selection], reason: str, name: str) -> Selection:
    return Selection(choose("cpu").backend, reason)


def _ready(worker: Here | Worker, report: Report, request: Request) -> Here | Worker:
    """Wait for the choice. If a child can only use the CPU, this process can do that as well."""
    choice = worker.choice()
    report.backend = choice.name
    if choice.reason.startswith(NO_GPU) and not obstacle("auto"):  # RAPIDS is installed: somebody counts on the GPU
        logger.warning("%s", choice.reason)
    else:
        logger.info("backend: %s, because %s", choice.name, choice.reason)
    if isinstance(worker, Worker) and choice.name == "cpu" and request.timeout is None:
        worker.close()
        return Here(Selection(choose("cpu").backend, choice.reason))
    return worker


def _run(decision: Decision, worker: Here | Worker, progress: Progress) -> Generator[Outcome]:
    try:
        yield from worker.run(decision, progress.step)
    except Exception as error:  # noqa: BLE001
        yield failure(decision.job.folder, error)
