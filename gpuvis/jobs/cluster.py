"""Do jobs on the workers of a Dask cluster: what runs on the client.

A task is one job, done by one worker. Embeddings and coordinates stay out of Dask: a worker reads and writes the
folders itself, so each worker has to see them under the same paths. A job that dies with its worker is done again.
What runs on the workers is in `gpuvis.jobs.remote`, what starts them in `gpuvis.jobs.connect`.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from gpuvis.errors import GpuvisError, InUseError, NoGpuError
from gpuvis.io.files import token
from gpuvis.jobs import remote
from gpuvis.jobs.connect import CONNECT, MOST_DEATHS
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.measure import Score
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.remote import PAUSE, TOPIC, Connect, Done, Facts, Terms, UnfitError
from gpuvis.jobs.worker import sweep_after

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)
Item = Decision | Job | Path
OnStep = Callable[[Path, str], None]

TOPICS = (TOPIC, "all")  # "all": what happens to workers
PATIENCE = 100.0  # seconds in which the lock of a worker that died is given up, by its child or by a file server
BUSY = 10.0  # seconds of silence after which it is said who is waited for
SHARE = 0.9  # of the memory of the smallest GPU: what is free on each of them, if nothing else uses it
LOST = "the scheduler was lost; the same command goes on from what is finished"


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
            terms, facts = _meet(client, terms, [job.folder for job in jobs], jobs[0].out)
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
            sweep_after(job, patience=1.0)
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
        folders = [job.folder for job in jobs] + [file.parent for file in files]
        terms, _ = _meet(client, terms, folders, None)
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
    """Tasks of a cluster, and the messages about them. The scheduler hands them out.

    A task is the work on one item. It ends with a result, with an error, or with its worker. Then it is done again, by
    the scheduler or, where that has given it up, by a new task of the same item; at most `MOST_DEATHS` times in all.
    """

    def __init__(self, client: Client, work: Callable[..., Any], items: Sequence[Item]) -> None:
        self._client, self._work, self._items = client, work, items
        self._running: dict[Any, tuple[int, Future[Any]]] = {}  # by the keys of the tasks
        self._begun: set[Any] = set()  # keys of tasks that a worker has begun
        self._deaths: Counter[int] = Counter()  # of workers that had begun an item
        self._given_up: Counter[int] = Counter()  # how often the scheduler has given an item up
        self._patient: set[int] = set()  # items whose workers wait for the lock
        self._workers = set(client.scheduler_info(n_workers=-1)["workers"])
        self._unfit: set[str] = set()  # workers that came later and cannot do the work
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
                elif value.status == "cancelled" and self._deaths[self._running[value.key][0]] < MOST_DEATHS:
                    yield from ((number, GpuvisError(LOST)) for number, _ in self._running.values())
                    return
                else:
                    number, _ = self._running.pop(value.key)
                    if done := self._result(value, number):
                        yield number, done
                    else:
                        self._submit([number])
        finally:
            self._client.cancel([future for _, future in self._running.values()])
            for topic in TOPICS:
                self._client.unsubscribe_topic(topic)

    def _submit(self, numbers: Sequence[int]) -> None:
        items = [self._items[number] for number in numbers]
        patience = [PATIENCE if number in self._patient else 0.0 for number in numbers]
        where = list(self._workers - self._unfit) if self._unfit else None
        futures = self._client.map(self._work, items, patience, workers=where, pure=False, retries=0)
        for number, future in zip(numbers, futures, strict=True):
            self._running[future.key] = number, future
            future.add_done_callback(lambda future: self._messages.put(("done", future)))

    def _handle(self, event: dict[str, Any], on_step: OnStep) -> None:
        """Show a step of a task, or keep count of the workers."""
        if "step" in event:
            if event["key"] not in self._running:  # of another client
                return
            self._begun.add(event["key"])
            if event["step"]:
                on_step(Path(event["where"]), event["step"])
        elif event.get("action") == "add-worker":
            self._workers.add(event["worker"])
        elif event.get("action") == "remove-worker":
            self._workers.discard(event["worker"])
            if not event.get("expected"):
                self._blame(event["worker"], event.get("processing-tasks", ()))
            if not self._workers - self._unfit:
                logger.warning("no worker is left; waiting for one")

    def _blame(self, worker: str, keys: Iterable[Any]) -> None:
        """Note which item died with a worker. Dask does it again; a scheduler of others may do so too often."""
        for key in self._begun & self._running.keys() & set(keys):
            number, future = self._running[key]
            self._begun.discard(key)
            self._deaths[number] += 1
            if self._deaths[number] >= MOST_DEATHS:
                future.cancel()
            else:
                logger.warning("%s: worker %s died; it is done again", _where(self._items[number]), worker)

    def _result(self, future: Future[Any], number: int) -> Done[Any] | Exception | None:
        """Return what was done for an item, or the error. None: it has to be submitted again."""
        from distributed import KilledWorker

        try:
            done: Done[Any] = future.result()
        except UnfitError as error:
            return self._unfit_worker(*error.args)
        except (KilledWorker, CancelledError):
            self._given_up[number] += 1
            if max(self._deaths[number], self._given_up[number]) < MOST_DEATHS:
                return None  # the scheduler allows fewer deaths, or it only waited where another killed the workers
            where, advice = _where(self._items[number]), "use fewer workers, or a machine with more"
            problem = f"{MOST_DEATHS} workers died, one after the other, while they did it"
            return GpuvisError(f"{where}: {problem}; memory may have run out: {advice}")
        except Exception as error:  # noqa: BLE001
            return error
        is_locked = any(isinstance(result.error, InUseError) for result in done.results)
        if is_locked and self._deaths[number] and number not in self._patient:
            self._patient.add(number)
            return None
        _show(done.logs)
        return done

    def _unfit_worker(self, address: str, error: GpuvisError) -> GpuvisError | None:
        """Leave a worker out, which else would fail one item after the other. Return the error if no other is left."""
        if address not in self._unfit:
            logger.warning("%s; it is not used", error)
        self._unfit.add(address)
        return None if self._workers - self._unfit else error


def _show(logs: Iterable[logging.LogRecord]) -> None:
    """Log here what was logged by a worker."""
    for record in logs:
        logging.getLogger(record.name).handle(record)


def _with_threads(decisions: Sequence[Decision], facts: list[Facts]) -> list[Decision]:
    """Share the processors out among the workers, unless the user has chosen a number of threads."""
    hosts = Counter(fact.host for fact in facts)
    groups = Counter((fact.host, fact.shared) for fact in facts)
    each = (min(fact.threads // groups[fact.host, fact.shared], fact.cores // hosts[fact.host]) for fact in facts)
    threads = max(1, min(each))

    def with_threads(job: Job) -> Job:
        return job if job.settings.threads else replace(job, settings=replace(job.settings, threads=threads))

    return [replace(decision, job=with_threads(decision.job)) for decision in decisions]


def _meet(client: Client, terms: Terms, folders: Iterable[Path], out: Path | None) -> tuple[Terms, list[Facts]]:
    """Ask each worker what it is, and check that all can do the jobs. Return the terms that all can keep.

    They have to see all folders that are there, and a file that is put into the folder of the first outputs.
    """
    try:
        client.wait_for_workers(1, timeout=CONNECT)
    except TimeoutError:
        raise GpuvisError(f"the scheduler has no worker after {CONNECT} s; start some with dask worker") from None
    with _scheduler_needed(), token(out) if out else nullcontext() as file:
        files = [*filter(os.path.exists, dict.fromkeys(folders)), *([file] if file else [])]
        addresses = _addresses(client, terms)
        facts = _introduced(client, partial(remote.introduce, files, file, terms), addresses)
    for fact in facts:
        _check(fact, terms, out)
    terms = replace(terms, notes=tuple(_differences(facts)))
    for note in terms.notes:
        logger.warning(note)
    memories = [fact.device.memory_bytes for fact in facts if fact.backend == "gpu"]
    if len(memories) > 1:  # else a folder's plan, and so its map, would depend on the worker
        most = int(SHARE * min(memories))
        terms = replace(terms, memory_limit=min(most, terms.memory_limit or most))
    return terms, facts


@contextmanager
def _scheduler_needed() -> Iterator[None]:
    try:
        yield
    except (OSError, CancelledError) as error:
        raise GpuvisError(f"{LOST} ({type(error).__name__}: {error})") from None


def _addresses(client: Client, terms: Terms) -> list[str]:
    """Return the addresses of the workers, which all have to have the gpuvis of this machine."""
    versions = client.run(remote.version, on_error="return")
    for address, version in versions.items():
        if version != terms.version and not isinstance(version, OSError):  # else it has ended
            found = version if isinstance(version, str) else f"none that can be used ({version})"
            problem = f"worker {address} has another gpuvis: expected {terms.version}, found {found}"
            raise GpuvisError(f"{problem}; install the same there as here")
    return list(versions)


def _introduced(client: Client, introduce: Callable[[], Facts], addresses: Sequence[str]) -> list[Facts]:
    """Ask each worker what it is. One that ends meanwhile is left out."""
    from distributed import KilledWorker, wait

    facts: list[Facts] = []
    asked = {one: client.submit(introduce, workers=[one], pure=False, retries=0, priority=1) for one in addresses}
    patience = time.monotonic() + BUSY
    while asked:
        with suppress(TimeoutError):
            wait(list(asked.values()), timeout=PAUSE, return_when="FIRST_COMPLETED")
        there = client.scheduler_info(n_workers=-1)["workers"]
        for address, future in list(asked.items()):
            if future.done():
                with suppress(KilledWorker):
                    facts.append(future.result())
            if future.done() or address not in there:
                del asked[address]
        if asked and time.monotonic() > patience:
            logger.warning("waiting for %d workers: they load their libraries, or are busy", len(asked))
            patience = inf
    if not facts:
        raise GpuvisError("all workers died before any folder was begun; memory may have run out: use fewer workers")
    return facts


def _check(fact: Facts, terms: Terms, out: Path | None) -> None:
    where = f"worker {fact.name} on {fact.host}"
    _show(fact.logs)
    logger.info("%s: %s, %s, %d threads", where, fact.backend, fact.device.name, fact.threads)
    if fact.missing:
        what = fact.missing.parent if fact.missing.name.startswith(".") else fact.missing
        raise GpuvisError(f"{where} does not see {what}; mount it there under the same path")
    if not fact.respects_lock:
        logger.warning("%s is not locked against %s: let no two runs write there at a time", out, where)
    if terms.backend == "gpu" and fact.backend != "gpu":
        raise NoGpuError(f"{where} has no GPU that can be used; use --backend cpu or auto")


def _differences(facts: list[Facts]) -> Iterator[str]:
    """Say where workers differ in what results may depend on."""
    names = dict.fromkeys(name for fact in facts for name in fact.versions)
    for what, values in {
        "backends": {fact.backend for fact in facts},
        "processors": {fact.cpu for fact in facts},
        "GPUs": {fact.device.name for fact in facts if fact.backend == "gpu"},
        **{name: {fact.versions.get(name, "none") for fact in facts} for name in names},
    }.items():
        if len(values) > 1:
            yield f"the workers differ in {what} ({', '.join(sorted(values))}), so maps may too"
