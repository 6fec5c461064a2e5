"""Do jobs on the workers of a Dask cluster: processes of this machine, or workers that somebody else has started.

A task is one job, done by one worker. Embeddings and coordinates stay out of Dask: a worker reads and writes the
folders itself, so each worker has to see them under the same paths. A job that dies with its worker is done again.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing import current_process
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from gpuvis import __version__, machine
from gpuvis.backends import obstacle, too_few
from gpuvis.errors import GpuvisError, NoGpuError, OutputExistsError, SettingsError
from gpuvis.io.files import LOCK, locked
from gpuvis.jobs import job as jobs
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.place import ready, start
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.worker import InProcess, Worker, sweep_after

if TYPE_CHECKING:
    from distributed import Client, Future

    from gpuvis.backends.base import Device

logger = logging.getLogger(__name__)
Running = dict[Any, "tuple[Future[Done], Job]"]  # by the key of their tasks
DEATHS = 2  # of workers, after which a folder is given up
CONNECT = 30  # seconds in which a scheduler has to answer
TOPIC = "gpuvis"  # of what workers tell while they work
DAEMON = "distributed.worker.daemon"
ALIKE = ("python", "torch", "numpy", "scipy", "numba", "scikit-learn", "umap-learn", "pynndescent")


@dataclass(frozen=True)
class Terms:
    """How the workers are to work; see `gpuvis.jobs.place.start`."""

    backend: str = "auto"
    timeout: float | None = None
    memory_limit: int | None = None
    rows: int | None = None
    log_level: int = logging.WARNING


@dataclass(frozen=True)
class Facts:
    """What a worker is: its name, its machine, its backend and its versions."""

    name: str
    host: str
    version: str
    versions: dict[str, str]
    is_daemon: bool
    sees_folder: bool
    respects_lock: bool
    threads: int
    cores: int
    backend: str
    device: Device


@dataclass(frozen=True)
class Done:
    """What a worker has done for one folder: the outcomes, and what it has logged."""

    outcomes: list[Outcome]
    logs: list[logging.LogRecord]
    worker: str


@contextmanager
def local(workers: int | None, backend: str = "auto") -> Iterator[Client]:
    """Start workers on this machine, and end them with the block.

    Parameters
    ----------
    workers : int or None
        Number of processes. None: one for each GPU, or for each processor where there is none.
    backend : {"auto", "gpu", "cpu"}

    Raises
    ------
    SettingsError
        Dask is not installed.
    """
    with _dask_needed():
        import dask
        from distributed import Client
    settings = {
        DAEMON: False,
        "distributed.scheduler.allowed-failures": DEATHS,
        # Dask would have workers give memory back at each chance, which takes as long as the work itself.
        "distributed.nanny.pre-spawn-environ": {},
    }
    with dask.config.set(settings), ExitStack() as stack:
        with _interrupts_blocked():  # Ctrl-C reaches all processes; this one decides
            cluster = stack.enter_context(_local_cluster(workers, backend))
        yield stack.enter_context(Client(cluster))


def _local_cluster(workers: int | None, backend: str) -> Any:
    from distributed import LocalCluster

    options = {
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "memory_limit": 0,  # gpuvis knows what it needs; Dask would stop workers that take more than their share
        "security": True,  # keys of this run alone: else any user of the machine could have the workers run code
        "silence_logs": logging.CRITICAL,
    }
    if obstacle(backend) is None:
        from dask_cuda import LocalCUDACluster

        return LocalCUDACluster(n_workers=workers, **options)
    return LocalCluster(n_workers=workers or machine.cpu_threads(), processes=True, **options)


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Connect to a scheduler that somebody has started.

    Parameters
    ----------
    scheduler : str
        Its address, such as tcp://10.0.0.1:8786, or the file that it has written.

    Raises
    ------
    GpuvisError
        No scheduler answers there.
    """
    with _dask_needed():
        from distributed import Client
    is_file = os.path.isfile(scheduler)  # noqa: PTH113  Path.is_file raises
    try:
        client = Client(**{"scheduler_file" if is_file else "address": scheduler}, timeout=CONNECT)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GpuvisError(f"no scheduler answers at {scheduler!r} ({reason}); start one with dask scheduler") from None
    with client:
        yield client


@contextmanager
def _dask_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        problem = f"--workers and --scheduler need {error.name}, which is not installed"
        raise SettingsError(f"{problem}; pip install 'gpuvis[dask]'") from None


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and for good in all threads and processes that are started in the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(
    decisions: deque[Decision], terms: Terms, client: Client, progress: Progress, add: Callable[[Outcome], None]
) -> str:
    """Do the jobs of some decisions on the workers of a cluster. Return the backend.

    Raises
    ------
    GpuvisError
        The workers do not fit this machine or each other; nothing was computed.
    """
    terms, facts = _meet(terms, client, decisions[0].job)
    backend = "/".join(sorted({fact.backend for fact in facts}))
    progress.begin(list(decisions), backend)
    waiting = deque(_with_threads(decision.job, facts) for decision in decisions)
    messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    client.subscribe_topic(TOPIC, lambda event: messages.put(("step", event[1])))
    client.subscribe_topic("all", lambda event: messages.put(("event", event[1])))
    running: Running = {}
    try:
        for number in range(1, len(waiting) + 1):
            # No more than can be done at once: if a worker dies, Dask blames all jobs that wait at it.
            while waiting and len(running) < max(1, len(client.scheduler_info(n_workers=-1)["workers"])):
                _submit(client, waiting.popleft(), terms, running, messages)
            done = _next(messages, running, number, progress)
            for record in done.logs:
                logging.getLogger(record.name).handle(record)
            for outcome in done.outcomes:
                add(replace(outcome, worker=done.worker))
    finally:
        for topic in (TOPIC, "all"):
            client.unsubscribe_topic(topic)
        client.cancel([future for future, _ in running.values()])
    return backend


def _submit(
    client: Client,
    job: Job,
    terms: Terms,
    running: Running,
    messages: SimpleQueue[tuple[str, Any]],
) -> None:
    future = client.submit(do, job, terms, pure=False, retries=0)
    running[future.key] = future, job
    future.add_done_callback(lambda future: messages.put(("done", future)))


def _next(messages: SimpleQueue[tuple[str, Any]], running: Running, number: int, progress: Progress) -> Done:
    """Wait until a job is done, and show the steps of all until then."""
    while True:
        kind, value = messages.get()
        if kind == "step":
            progress.folder(number, Path(value["folder"]))
            progress.step(value["step"])
        elif kind == "event":
            _tell_death(value, running)
        elif value.key in running:
            _, job = running.pop(value.key)
            return _result(value, job)


def _tell_death(event: dict[str, Any], running: Running) -> None:
    if event.get("action") == "remove-worker" and not event.get("expected"):
        for key in event.get("processing-tasks", ()):
            if key in running:
                logger.warning("%s: worker %s died; it is done again", running[key][1].folder, event["worker"])


def _result(future: Future[Done], job: Job) -> Done:
    """Return what was done for a job, or why nothing was."""
    from distributed import KilledWorker

    try:
        done: Done = future.result()
        return done
    except KilledWorker as error:
        problem = f"{job.folder}: {DEATHS + 1} workers died while it was done, the last at {error.last_worker.address}"
        lost = GpuvisError(f"{problem}; memory may have run out: use fewer workers")
    except Exception as error:  # noqa: BLE001
        if future.status == "error":
            return Done([failure(job.folder, error)], [], "")
        lost = GpuvisError("the scheduler was lost; the same command goes on from what is finished")
    sweep_after(job)
    return Done([failure(job.folder, lost)], [], "")


def _with_threads(job: Job, facts: list[Facts]) -> Job:
    """Share the processors of each machine out among its workers, unless the user has chosen a number of threads."""
    if job.settings.threads is not None:
        return job
    hosts = [fact.host for fact in facts]
    here = socket.gethostname()
    share = min(
        max(1, min(fact.threads, (fact.threads if fact.host == here else fact.cores) // hosts.count(fact.host)))
        for fact in facts
    )
    return replace(job, settings=replace(job.settings, threads=share))


def _meet(terms: Terms, client: Client, job: Job) -> tuple[Terms, list[Facts]]:
    """Ask each worker what it is, and check that all can do the jobs. Return the terms that all can keep."""
    client.wait_for_workers(1, timeout=CONNECT)
    addresses = list(client.scheduler_info(n_workers=-1)["workers"])
    with ExitStack() as stack:
        with suppress(OutputExistsError):  # another run is there; its lock serves as well
            stack.enter_context(locked(job.out))
        asked = [
            client.submit(introduce, job, terms, workers=[address], pure=False, retries=0) for address in addresses
        ]
        try:
            facts: list[Facts] = client.gather(asked)
        except GpuvisError:
            raise
        except Exception as error:  # noqa: BLE001  a worker may fail before it comes to our code
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            advice = f"install gpuvis {__version__} there as it is here"
            raise GpuvisError(f"a worker of the cluster cannot do jobs ({reason}); {advice}") from None
    for fact in facts:
        _check(fact, job, terms)
    _tell_differences(facts)
    memories = {fact.device.memory_bytes for fact in facts if fact.backend == "gpu"}
    if len(memories) > 1:  # else a folder's plan, and so its map, would depend on the worker
        terms = replace(terms, memory_limit=min(*memories, terms.memory_limit or max(memories)))
    return terms, facts


def _check(fact: Facts, job: Job, terms: Terms) -> None:
    where = f"worker {fact.name} on {fact.host}"
    if fact.version != __version__:
        raise GpuvisError(f"{where} has gpuvis {fact.version}, this is {__version__}; install the same there")
    if not fact.sees_folder:
        raise GpuvisError(f"{where} does not see {job.folder} or {job.out}; mount them there under the same path")
    if not fact.respects_lock:
        logger.warning("%s is not locked against %s: let no two runs write there at a time", job.out, where)
    if terms.backend == "gpu" and fact.backend != "gpu":
        raise NoGpuError(f"{where} has no GPU that can be used; use --backend cpu or auto")


def _tell_differences(facts: list[Facts]) -> None:
    """Say where workers differ in what results may depend on."""
    for what, values in {
        "backends": {fact.backend for fact in facts},
        "processors": {fact.device.name for fact in facts},
        **{name: {fact.versions.get(name, "none") for fact in facts} for name in ALIKE},
    }.items():
        if len(values) > 1:
            logger.warning("the workers differ in %s (%s), so maps may too", what, ", ".join(sorted(values)))


# What follows runs on the workers.

_turn = Lock()  # a worker with several threads does one job at a time: a job has threads of its own
_place: dict[Terms, InProcess | Worker] = {}


def introduce(job: Job, terms: Terms) -> Facts:
    """Say what this worker is, and whether it sees and respects the folder that the client has locked."""
    with _turn:
        needs_child = terms.timeout is not None or (
            not obstacle(terms.backend) and not too_few(terms.backend, terms.rows)
        )
        if needs_child and current_process().daemon:
            raise SettingsError(
                f"worker {_name()} is a daemon, which may not start the process that the GPU or a time limit needs; "
                f"start it with DASK_DISTRIBUTED__WORKER__DAEMON=False"
            )
        info = _started(terms).backend_info()
        return Facts(
            name=_name(),
            host=socket.gethostname(),
            version=__version__,
            versions=machine.versions(),
            is_daemon=bool(current_process().daemon),
            sees_folder=os.path.isdir(job.folder) and os.path.isfile(job.out / LOCK),  # noqa: PTH112, PTH113
            respects_lock=_is_locked(job.out),
            threads=machine.cpu_threads(),
            cores=os.cpu_count() or 1,
            backend=info.name,
            device=info.device,
        )


def _is_locked(folder: Path) -> bool:
    try:
        with locked(folder):
            return False
    except OutputExistsError:
        return True
    except GpuvisError:
        return False


def do(job: Job, terms: Terms) -> Done:
    """Do a job, and return its outcomes."""
    from distributed import get_worker

    worker, outcomes, name = get_worker(), [], _name()
    tell = partial(_tell_step, worker.log_event, str(job.folder))
    with _turn, _captured(terms.log_level) as logs:
        try:
            decision = jobs.check(replace(job, worker=name))
            outcomes += [] if decision.kinds else decision.settled
            if decision.kinds:
                with closing(_started(terms).run(decision, tell)) as done:
                    outcomes += done
        except Exception as error:  # noqa: BLE001  an error in one folder must not stop the others
            outcomes.append(failure(job.folder, error))
    return Done(outcomes, logs, name)


def _tell_step(log_event: Callable[[str, Any], None], folder: str, step: str) -> None:
    log_event(TOPIC, {"folder": folder, "step": step})


def _started(terms: Terms) -> InProcess | Worker:
    """Return where this worker does jobs; if the terms have changed, the earlier child is ended."""
    if terms not in _place:
        for place in _place.values():
            place.close()
        _place.clear()
        _place[terms], _ = ready(start(terms.backend, terms.timeout, terms.memory_limit, terms.rows))
    return _place[terms]


def _name() -> str:
    """Return the name of this worker: its number on the client's machine, else its machine too."""
    from distributed import get_worker

    return str(get_worker().name)


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
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
