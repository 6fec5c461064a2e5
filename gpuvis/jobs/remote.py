"""Do jobs on a worker of a Dask cluster: what runs there.

On a GPU the worker only watches over a child that does the work. So the worker can still answer the scheduler while a
call into CUDA keeps the interpreter busy; else it would be taken for dead.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, chdir, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from logging.handlers import QueueHandler
from math import inf
from multiprocessing import current_process, get_context
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gpuvis import __version__, machine
from gpuvis.backends import choose, obstacle, too_few
from gpuvis.errors import GpuvisError, SettingsError
from gpuvis.io.files import is_locked, locked
from gpuvis.jobs import measure
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.measure import Score
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.place import depends_on_rows, ready, start
from gpuvis.jobs.worker import InProcess, Worker

if TYPE_CHECKING:
    from distributed import Client

    from gpuvis.backends.base import Device

TOPIC = "gpuvis"  # of the messages to the client
PAUSE = 0.2  # seconds between two steps of which the client is told, unless it wants each
ENDING = {"closing", "closed", "failed"}  # states of a worker that does no more work

Result = TypeVar("Result")


@dataclass(frozen=True)
class Terms:
    """How the workers are to work; see `gpuvis.jobs.place.start`.

    `folders`: how many there are; `directory`: the working directory of the client; `version`: of its gpuvis; `notes`:
    for the run records.
    """

    backend: str = "auto"
    timeout: float | None = None
    memory_limit: int | None = None
    rows: int | None = None
    log_level: int = logging.WARNING
    directory: str = field(default_factory=os.getcwd)
    version: str = __version__
    # Nothing has to start anew for these.
    folders: int | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def may_use_gpu(self) -> bool:
        """Whether the jobs are for a GPU, as far as can be told from here."""
        return not (obstacle(self.backend) or too_few(self.backend, self.rows))


Connect = Callable[[Terms], "AbstractContextManager[Client]"]  # to workers for such terms


@dataclass(frozen=True)
class Facts:
    """What a worker is: its name, its machine, its backend and its versions.

    `missing`: a file that it does not see; `threads`: how many it may use, together with the other workers of which
    `shared` is the same; `cores`: the processors of the machine, named `cpu`.
    """

    name: str
    host: str
    versions: dict[str, str]
    missing: Path | None
    respects_lock: bool
    threads: int
    shared: str
    cores: int
    cpu: str
    backend: str
    device: Device
    logs: list[logging.LogRecord]


@dataclass(frozen=True)
class Done(Generic[Result]):
    """What a worker has done for one folder: the results, and what it has logged."""

    results: list[Result]
    logs: list[logging.LogRecord]


class UnfitError(Exception):
    """A worker cannot do the jobs of this client; another one may. Arguments: its address, and the error."""


class _NotWantedError(BaseException):
    """The client has given the job up, or the worker is about to end."""


_turn = Lock()  # a worker with several threads does one job at a time: a job has threads of its own
_place: dict[Terms, InProcess | Worker] = {}


def version() -> str:
    """Return the version of gpuvis on this worker."""
    return __version__


def introduce(files: list[Path], token: Path | None, terms: Terms) -> Facts:
    """Say what this worker is, whether it sees some files, and whether it respects the lock of one of them."""
    with _at_work(terms) as logs:
        info = _started(terms).backend_info()
        missing = next((file for file in files if not os.path.exists(file)), None)  # noqa: PTH110  Path may raise
        return Facts(
            name=_name(),
            host=socket.gethostname(),
            versions=machine.versions(),
            missing=missing,
            respects_lock=missing is not None or token is None or is_locked(token),
            threads=machine.cpu_threads(),
            shared=_processors(),
            cores=os.cpu_count() or 1,
            cpu=machine.cpu_name(),
            backend=info.name,
            device=info.device,
            logs=logs,
        )


def _processors() -> str:
    """Say which processors the workers share that say the same: those of a container, or of a part of a machine."""
    with suppress(OSError, AttributeError):
        return f"{sorted(os.sched_getaffinity(0))} {Path('/proc/self/cgroup').read_text()}"
    return ""


def run(decision: Decision, patience: float, terms: Terms) -> Done[Outcome]:
    """Do the job of a decision, and return its outcomes.

    Parameters
    ----------
    decision : Decision
    patience : float
        Seconds to wait for the folder's lock: after a worker that has died, its child or its file server may keep it.
    terms : Terms

    Raises
    ------
    UnfitError
        This worker cannot do it.
    """
    name, outcomes = _name(), list[Outcome]()
    decision = replace(decision, job=replace(decision.job, worker=name, notes=terms.notes))
    with _at_work(terms) as logs:
        watch = _watcher(decision.job.folder, terms.log_level)
        try:
            watch("")
            with _unfit_is_told(decision.job.folder):
                place = _started(terms)
            if patience:
                with suppress(GpuvisError), locked(decision.job.out, patience):
                    pass
            with closing(place.run(decision, watch)) as done:
                outcomes += done
        except _NotWantedError:
            _leave()
        except UnfitError:
            raise
        except Exception as error:  # noqa: BLE001  an error in one folder must not stop the others
            outcomes.append(failure(decision.job.folder, error))
    return Done([replace(outcome, worker=name) for outcome in outcomes], logs)


def score(maps: Job | Path, patience: float, terms: Terms) -> Done[Score]:
    """Measure the maps of a job, or the map in a file. Nothing has to be locked for that."""
    folder = maps.folder if isinstance(maps, Job) else maps.parent
    with _at_work(terms) as logs:
        try:
            _watcher(folder, terms.log_level)("")
        except _NotWantedError:
            return Done([], logs)
        with _unfit_is_told(folder):
            _check_terms(terms)
        if not terms.may_use_gpu:
            return Done(_scores(maps, terms), logs)
        _leave()  # its memory on the GPU is needed
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
            return Done(child.submit(_scores, maps, terms).result(), logs)


def _scores(maps: Job | Path, terms: Terms) -> list[Score]:
    folders, files = ([maps], []) if isinstance(maps, Job) else ([], [maps])
    return list(measure.scores(folders, files, choose(terms.backend, terms.memory_limit, terms.rows).backend))


def _watcher(folder: Path, log_level: int) -> Callable[[str], None]:
    """Return a function to be called at each step. It ends the job if nobody wants it, and tells the client.

    Its step "" says that this worker has begun.
    """
    from distributed import get_worker

    worker, last = get_worker(), -inf
    key = worker.get_current_task()
    pause = 0 if log_level <= logging.INFO else PAUSE

    def watch(step: str) -> None:
        nonlocal last
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing" or worker.status.name in ENDING:
            raise _NotWantedError
        if not step or time.monotonic() >= last + pause:
            last = time.monotonic() if step else last
            worker.log_event(TOPIC, {"key": key, "where": str(folder), "step": step})

    return watch


@contextmanager
def _unfit_is_told(folder: Path) -> Iterator[None]:
    """Raise an UnfitError if this worker, which may have come after the others were asked, cannot do a folder."""
    from distributed import get_worker

    try:
        if not os.path.exists(folder):  # noqa: PTH110  Path may raise
            raise GpuvisError(f"worker {_name()} does not see {folder}; mount it there under the same path")
        yield
    except GpuvisError as error:
        raise UnfitError(get_worker().address, error) from None


def _started(terms: Terms) -> InProcess | Worker:
    """Return where this worker does jobs. If the terms have changed, the earlier child is ended."""
    if terms not in _place:
        _leave()
        _check_terms(terms)
        rows = terms.rows if depends_on_rows(terms.backend) else None
        _place[terms], _ = ready(start(terms.backend, terms.timeout, terms.memory_limit, rows))
    return _place[terms]


def _leave() -> None:
    """End the child, if there is one."""
    for place in _place.values():
        place.close()
    _place.clear()


def _check_terms(terms: Terms) -> None:
    if terms.version != __version__:
        problem = f"worker {_name()} has gpuvis {__version__}, the client {terms.version}"
        raise SettingsError(f"{problem}; install the same version on both")
    if (terms.timeout is not None or terms.may_use_gpu) and current_process().daemon:
        problem = f"worker {_name()} is a daemon, which may not start the process that the GPU or a time limit needs"
        raise SettingsError(f"{problem}; start it with DASK_DISTRIBUTED__WORKER__DAEMON=False")


def _name() -> str:
    from distributed import get_worker

    return str(get_worker().name)


@contextmanager
def _at_work(terms: Terms) -> Iterator[list[logging.LogRecord]]:
    """Work alone, in the client's directory if it is there, so that relative paths lead to the same files.

    Yields the list of what gpuvis logs meanwhile.
    """
    with _turn, ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(chdir(terms.directory))
        yield stack.enter_context(_captured(terms.log_level))


class _Captured(QueueHandler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]
        self._records = records

    def enqueue(self, record: logging.LogRecord) -> None:
        self._records.append(record)


@contextmanager
def _captured(level: int) -> Iterator[list[logging.LogRecord]]:
    """Collect what gpuvis logs in the block."""
    records: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("gpuvis"), _Captured(records)
    before: tuple[Any, ...] = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
