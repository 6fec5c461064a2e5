"""Do jobs on the workers of a Dask cluster: what runs on the client.

A task is one job, done by one worker. Embeddings and coordinates stay out of Dask: a worker reads and writes the
folders itself, so each worker has to see them under the same paths. A job that dies with its worker is done again.
What runs on the workers is in `gpuvis.jobs.remote`, what starts them in `gpuvis.jobs.connect`.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from gpuvis import machine
from gpuvis.errors import GpuvisError, NoGpuError, OutputExistsError
from gpuvis.io.files import LOCK, locked
from gpuvis.jobs import remote
from gpuvis.jobs.connect import CONNECT, MOST_DEATHS
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.measure import Score
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.remote import PAUSE, TOPIC, Connect, Done, Facts, Terms
from gpuvis.jobs.worker import sweep_after

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)
Item = Decision | Job | Path
OnStep = Callable[[Path, str], None]

TOPICS = (TOPIC, "all")  # "all": what happens to workers
LOST = "the scheduler was lost; the same command goes on from what is finished"
SAME = ("python", "torch", "numpy", "scipy", "numba", "scikit-learn", "umap-learn", "pynndescent")


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
        if version != terms.version and not isinstance(version, OSError):  # else it has ended
            found = version if isinstance(version, str) else f"none that can be used ({version})"
            problem = f"worker {address} has another gpuvis: expected {terms.version}, found {found}"
            raise GpuvisError(f"{problem}; install the same there as here")
    facts = _introduced(client, partial(remote.introduce, files, folder, terms), list(versions))
    for fact in facts:
        _check(fact, terms, files, folder)
    terms = replace(terms, notes=tuple(_differences(facts)))
    for note in terms.notes:
        logger.warning(note)
    memories = {fact.device.memory_bytes for fact in facts if fact.backend == "gpu"}
    if len(memories) > 1:  # else a folder's plan, and so its map, would depend on the worker
        terms = replace(terms, memory_limit=min(*memories, terms.memory_limit or max(memories)))
    return terms, facts


def _introduced(client: Client, introduce: Callable[[], Facts], addresses: Sequence[str]) -> list[Facts]:
    """Ask each worker what it is. One that ends meanwhile is left out."""
    from distributed import wait

    facts: list[Facts] = []
    asked = {one: client.submit(introduce, workers=[one], pure=False, retries=0) for one in addresses}
    while asked:
        with suppress(TimeoutError):
            wait(list(asked.values()), timeout=PAUSE, return_when="FIRST_COMPLETED")
        there = client.scheduler_info(n_workers=-1)["workers"]
        for address, future in list(asked.items()):
            if future.done():
                facts.append(future.result())
            if future.done() or address not in there:
                del asked[address]
    if not facts:
        raise GpuvisError("all workers died before any folder was begun; memory may have run out: use fewer workers")
    return facts


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


def _differences(facts: list[Facts]) -> Iterator[str]:
    """Say where workers differ in what results may depend on."""
    for what, values in {
        "backends": {fact.backend for fact in facts},
        "processors": {fact.device.name for fact in facts},
        **{name: {fact.versions.get(name, "none") for fact in facts} for name in SAME},
    }.items():
        if len(values) > 1:
            yield f"the workers differ in {what} ({', '.join(sorted(values))}), so maps may too"
