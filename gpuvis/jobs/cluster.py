"""Do jobs on the workers of a Dask cluster: processes of this machine, or workers that somebody else has started.

A task is one job, done by one worker. Embeddings and coordinates stay out of Dask: a worker reads and writes the
folders itself, so each worker has to see them under the same paths. A job that dies with its worker is done again.
What runs on the workers is in `gpuvis.jobs.remote`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from gpuvis import machine
from gpuvis.errors import GpuvisError, NoGpuError, OutputExistsError, SettingsError
from gpuvis.io.files import LOCK, locked
from gpuvis.jobs import remote
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.measure import Score
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.remote import TOPIC, Connect, Done, Facts, Terms
from gpuvis.jobs.worker import sweep_after
from gpuvis.signals import stops_deferred

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)
Item = Decision | Job | Path
OnStep = Callable[[Path, str], None]

MOST_DEATHS = 3  # of workers that do a folder, which is then given up
CONNECT = 30  # seconds in which a scheduler has to answer
TOPICS = (TOPIC, "all")  # "all": what happens to workers
LOST = "the scheduler was lost; the same command goes on from what is finished"
SAME = ("python", "torch", "numpy", "scipy", "numba", "scikit-learn", "umap-learn", "pynndescent")


@contextmanager
def local(workers: int | None, terms: Terms) -> Iterator[Client]:
    """Start workers on this machine, and end them with the block.

    Parameters
    ----------
    workers : int or None
        Number of processes. None: one for each GPU, or for each processor where none is used.
    terms : Terms
        How they are to work.

    Raises
    ------
    SettingsError
        Dask is not installed, or there are fewer GPUs than workers.
    """
    with _dask_needed():
        import cryptography  # noqa: F401  Dask loads it later, for the keys
        import dask
        from distributed import Client
    settings = {
        "distributed.worker.daemon": False,
        "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
        "distributed.scheduler.worker-saturation": 1.0,  # no task waits at a worker, to be blamed when that dies
        # Dask would have workers give memory back at each chance, which takes as long as the work itself.
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.profile.enabled": False,
    }
    with dask.config.set(settings), _quiet(), ExitStack() as stack:
        try:
            with _interrupts_blocked():  # Ctrl-C reaches all processes; this one decides
                cluster = stack.enter_context(_local_cluster(workers, terms))
            yield stack.enter_context(Client(cluster))
        finally:
            with stops_deferred():  # a second Ctrl-C must not leave workers behind
                stack.close()


def _local_cluster(workers: int | None, terms: Terms) -> Any:
    options = {
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},  # any free port: its server starts all the same
        "memory_limit": 0,  # gpuvis knows what it needs; Dask would stop workers that take more than their share
        "security": True,  # keys of this run alone: else any user of the machine could have the workers run code
        "silence_logs": logging.CRITICAL,
    }
    if not terms.may_use_gpu:
        from distributed import LocalCluster

        return LocalCluster(n_workers=workers or machine.cpu_threads(), processes=True, **options)
    with _dask_needed():
        from dask_cuda import LocalCUDACluster
    try:
        return LocalCUDACluster(n_workers=workers, **options)
    except ValueError as error:
        raise SettingsError(
            f"no {workers} workers with a GPU each can be started: {error}; use --workers auto"
        ) from None


@contextmanager
def connected(scheduler: str, terms: Terms) -> Iterator[Client]:
    """Connect to a scheduler that somebody has started.

    Parameters
    ----------
    scheduler : str
        Its address, such as tcp://10.0.0.1:8786, or the file that it has written.
    terms : Terms
        Its workers learn them with each job.

    Raises
    ------
    SettingsError
        Dask is not installed.
    GpuvisError
        No scheduler answers there.
    """
    with _dask_needed():
        from distributed import Client
    is_file = os.path.isfile(scheduler)  # noqa: PTH113  Path.is_file raises
    if not is_file and ":" not in scheduler:
        advice = "name the file that dask scheduler --scheduler-file has written, or an address as tcp://10.0.0.1:8786"
        raise GpuvisError(f"{scheduler}: there is no such file; {advice}")
    try:
        client = Client(**{"scheduler_file" if is_file else "address": scheduler}, timeout=CONNECT)
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GpuvisError(f"no scheduler answers at {scheduler!r} ({reason}); start one with dask scheduler") from None
    with _quiet(), client:
        yield client


@contextmanager
def _dask_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        extra = "cu13" if error.name == "dask_cuda" else "dask"
        problem = f"--workers and --scheduler need {error.name}, which is not installed"
        raise SettingsError(f"{problem}; pip install 'gpuvis[{extra}]'") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from logging errors that end the run anyway, with a line of ours."""
    dask_logger = logging.getLogger("distributed.client")
    before = dask_logger.level
    dask_logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        dask_logger.setLevel(before)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and for good in all threads and processes that are started in the block."""
    resource_tracker.ensure_running()  # before they are blocked, since it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(
    connect: Connect, decisions: Sequence[Decision], terms: Terms, progress: Progress, add: Callable[[Outcome], None]
) -> str:
    """Do the jobs of some decisions on the workers of a cluster. Return the backend.

    Raises
    ------
    GpuvisError
        The workers do not fit this machine or each other; nothing was computed.
    """
    jobs = [decision.job for decision in decisions]
    unfinished = dict(enumerate(jobs))

    def on_step(folder: Path, step: str) -> None:
        progress.folder(min(len(jobs), len(jobs) - len(unfinished) + 1), folder)
        progress.step(step)

    try:
        with connect(terms) as client:
            terms, facts = _meet_at(client, terms, jobs[0])
            backend = "/".join(sorted({fact.backend for fact in facts}))
            progress.begin(list(decisions), backend)
            tasks = _Tasks(client, partial(remote.run, terms=terms), _with_threads(decisions, facts))
            with closing(tasks.results(on_step)) as results:
                for number, done in results:
                    if isinstance(done, Done):
                        del unfinished[number]
                    for outcome in done.results if isinstance(done, Done) else [failure(jobs[number].folder, done)]:
                        add(outcome)
    finally:
        for job in unfinished.values():
            sweep_after(job)
    return backend


def scores(connect: Connect, jobs: Sequence[Job], files: Sequence[Path], terms: Terms) -> Iterator[Score]:
    """Measure the maps of folders, then the maps in files, on the workers of a cluster; see `measure.scores`.

    Raises
    ------
    GpuvisError
        The workers do not fit this machine or each other; nothing was computed.
    """
    maps: list[Item] = [*jobs, *files]
    if not maps:
        return
    ready: dict[int, Iterable[Score]] = {}
    with connect(terms) as client:
        terms, _ = _meet(client, terms, [_where(maps[0])], None)
        tasks = _Tasks(client, partial(remote.score, terms=terms), maps)
        with closing(tasks.results(lambda folder, step: None)) as results:
            following = 0
            for number, done in results:
                where = _where(maps[number])
                ready[number] = (
                    done.results if isinstance(done, Done) else [Score(where, error=failure(where, done).error)]
                )
                while following in ready:  # in the order in which they were named
                    yield from ready.pop(following)
                    following += 1


def _where(item: Item) -> Path:
    item = item.job if isinstance(item, Decision) else item
    return item.out if isinstance(item, Job) else item


class _Tasks:
    """Tasks of a cluster, and the messages about them. The scheduler hands them out."""

    def __init__(self, client: Client, work: Callable[..., Any], items: Sequence[Item]) -> None:
        self._client, self._work, self._items = client, work, items
        self._running: dict[Any, tuple[int, Future[Any]]] = {}  # by the keys of the tasks
        self._begun: set[Any] = set()  # keys of tasks that a worker has begun
        self._deaths: Counter[Any] = Counter()  # of workers, by the key of the task that they did
        self._workers = set(client.scheduler_info(n_workers=-1)["workers"])
        self._messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()  # threads of Dask put them there

    def results(self, on_step: OnStep) -> Generator[tuple[int, Done[Any] | Exception]]:
        """Do the tasks, and yield the number of each item as soon as it is done, and what was done, or the error."""
        for topic in TOPICS:
            self._client.subscribe_topic(topic, lambda event: self._messages.put(("event", event[1])))
        try:
            self._submit(range(len(self._items)))
            while self._running:
                kind, value = self._messages.get()
                if kind == "event":
                    self._handle(value, on_step)
                elif value.status == "cancelled" and self._deaths[value.key] < MOST_DEATHS:
                    yield from ((number, GpuvisError(LOST)) for number, _ in self._running.values())
                    return
                else:
                    number, _ = self._running.pop(value.key)
                    if done := self._result(value, self._items[number]):
                        yield number, done
                    else:
                        self._submit([number])
        finally:
            self._client.cancel([future for _, future in self._running.values()])
            for topic in TOPICS:
                self._client.unsubscribe_topic(topic)

    def _submit(self, numbers: Sequence[int]) -> None:
        futures = self._client.map(self._work, [self._items[number] for number in numbers], pure=False, retries=0)
        for number, future in zip(numbers, futures, strict=True):
            self._running[future.key] = number, future
            future.add_done_callback(lambda future: self._messages.put(("done", future)))

    def _handle(self, event: dict[str, Any], on_step: OnStep) -> None:
        """Show a step of a task, or keep count of the workers."""
        if "step" in event:
            self._begun.add(event["key"])
            on_step(Path(event["where"]), event["step"])
        elif event.get("action") == "add-worker":
            self._workers.add(event["worker"])
        elif event.get("action") == "remove-worker":
            self._workers.discard(event["worker"])
            if not event.get("expected"):
                self._blame(event["worker"], event.get("processing-tasks", ()))
            if not self._workers:
                logger.warning("no worker is left; waiting for one")

    def _blame(self, worker: str, keys: Iterable[Any]) -> None:
        """Note which task died with a worker. Dask does it again; a scheduler of others may do so too often."""
        for key in self._begun & self._running.keys() & set(keys):
            number, future = self._running[key]
            self._begun.discard(key)
            self._deaths[key] += 1
            if self._deaths[key] >= MOST_DEATHS:
                future.cancel()
            else:
                logger.warning("%s: worker %s died; it is done again", _where(self._items[number]), worker)

    def _result(self, future: Future[Any], item: Item) -> Done[Any] | Exception | None:
        """Return what was done for an item, or the error. None: it has to be submitted again."""
        from distributed import KilledWorker

        try:
            done: Done[Any] = future.result()
        except Exception as error:  # noqa: BLE001
            if isinstance(error, KilledWorker) and not self._deaths[future.key]:
                return None  # it only waited where another killed the workers
            if isinstance(error, KilledWorker) or self._deaths[future.key] >= MOST_DEATHS:
                problem = f"{_where(item)}: {MOST_DEATHS} workers died, one after the other, while they did it"
                return GpuvisError(f"{problem}; memory may have run out: use fewer workers, or a machine with more")
            return error
        _show(done.logs)
        return done


def _show(logs: Iterable[logging.LogRecord]) -> None:
    """Log here what was logged by a worker."""
    for record in logs:
        logging.getLogger(record.name).handle(record)


def _with_threads(decisions: Sequence[Decision], facts: list[Facts]) -> list[Decision]:
    """Share the processors of each machine out among its workers, unless the user has chosen a number of threads."""
    hosts, here = Counter(fact.host for fact in facts), socket.gethostname()
    cores = {fact.host: machine.cpu_threads() if fact.host == here else fact.cores for fact in facts}
    threads = min(max(1, min(fact.threads, cores[fact.host] // hosts[fact.host])) for fact in facts)

    def with_threads(job: Job) -> Job:
        return job if job.settings.threads else replace(job, settings=replace(job.settings, threads=threads))

    return [replace(decision, job=with_threads(decision.job)) for decision in decisions]


def _meet_at(client: Client, terms: Terms, job: Job) -> tuple[Terms, list[Facts]]:
    """Meet the workers, and check that they see the folder of a job, which is locked meanwhile."""
    with ExitStack() as stack:
        with suppress(OutputExistsError):  # another run is there; its lock serves as well
            stack.enter_context(locked(job.out))
        return _meet(client, terms, [job.folder, job.out / LOCK], job.out)


def _meet(client: Client, terms: Terms, files: list[Path], folder: Path | None) -> tuple[Terms, list[Facts]]:
    """Ask each worker what it is, and check that all can do the jobs. Return the terms that all can keep."""
    try:
        client.wait_for_workers(1, timeout=CONNECT)
    except TimeoutError:
        raise GpuvisError(f"the scheduler has no worker after {CONNECT} s; start some with dask worker") from None
    versions = client.run(remote.version, on_error="return")
    for address, version in versions.items():
        if version != terms.version:
            found = version if isinstance(version, str) else f"none that can be used ({version})"
            problem = f"worker {address} has another gpuvis: expected {terms.version}, found {found}"
            raise GpuvisError(f"{problem}; install the same there as here")
    asked = [
        client.submit(remote.introduce, files, folder, terms, workers=[address], pure=False, retries=0)
        for address in versions
    ]
    facts: list[Facts] = client.gather(asked)
    for fact in facts:
        _check(fact, terms, files, folder)
    _tell_differences(facts)
    memories = {fact.device.memory_bytes for fact in facts if fact.backend == "gpu"}
    if len(memories) > 1:  # else a folder's plan, and so its map, would depend on the worker
        terms = replace(terms, memory_limit=min(*memories, terms.memory_limit or max(memories)))
    return terms, facts


def _check(fact: Facts, terms: Terms, files: list[Path], folder: Path | None) -> None:
    where = f"worker {fact.name} on {fact.host}"
    _show(fact.logs)
    logger.info("%s: %s, %s, %d threads", where, fact.backend, fact.device.name, fact.threads)
    if not fact.sees_files:
        seen = " or ".join(dict.fromkeys(str(path.parent if path.name == LOCK else path) for path in files))
        raise GpuvisError(f"{where} does not see {seen}; mount it there under the same path")
    if not fact.respects_lock:
        logger.warning("%s is not locked against %s: let no two runs write there at a time", folder, where)
    if terms.backend == "gpu" and fact.backend != "gpu":
        raise NoGpuError(f"{where} has no GPU that can be used; use --backend cpu or auto")


def _tell_differences(facts: list[Facts]) -> None:
    """Say where workers differ in what results may depend on."""
    for what, values in {
        "backends": {fact.backend for fact in facts},
        "processors": {fact.device.name for fact in facts},
        **{name: {fact.versions.get(name, "none") for fact in facts} for name in SAME},
    }.items():
        if len(values) > 1:
            logger.warning("the workers differ in %s (%s), so maps may too", what, ", ".join(sorted(values)))
