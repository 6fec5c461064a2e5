"""One folder in three stages: read → reduce, save and measure → draw. Each may run in a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError
from gpuvis.io import fingerprint, folders
from gpuvis.io.files import locked
from gpuvis.jobs import audit, draw, finishing
from gpuvis.jobs.finishing import Finish
from gpuvis.jobs.job import Decided, Job, decide
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.labels import classes
from gpuvis.results import record, saved_map
from gpuvis.results.outputs import Action
from gpuvis.results.saved_map import Original, Shown
from gpuvis.settings import Method, Settings
from gpuvis.timing import Steps

if TYPE_CHECKING:
    from gpuvis.backends.base import Plan
    from gpuvis.io.cache import Cache

logger = logging.getLogger(__name__)

Chosen = tuple[Backend, str]  # and the reason for it


@dataclass(frozen=True, eq=False)
class Source:
    """What the maps of a folder are computed from.

    Attributes
    ----------
    cache : Cache
        Read, and verified.
    settings : Settings
        Of the maps that have to be computed.
    known : tuple
        The plan, and the largest value in size.
    told : dict
        What the run record says of it.
    stamp : list
        That of the files before they were read.
    seconds : float
        What reading took.
    steps : dict
        The same for the record.
    """

    cache: Cache
    settings: Settings
    known: tuple[Plan, float]
    told: dict[str, Any]
    stamp: list[tuple[int, int, int]]
    seconds: float
    steps: dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Found:
    """What the first stage gives: what is to be done, and from what or why not; None: nothing is to be computed."""

    decided: Decided
    source: Source | Exception | None


def run(job: Job, backend: Backend, reason: str, steps: Steps) -> Generator[Outcome]:
    """Do what is to be done for one folder, and give the outcome of each map as soon as it is saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    draw.prepare(job.page)
    with (
        locked(job.out),
        closing(maps(job, read(job, backend, steps), (backend, reason), steps)) as unfinished,
    ):
        for finish in unfinished:
            yield finish(nullcontext())


def read(job: Job, backend: Backend, steps: Steps, go_on: Callable[[], None] = lambda: None) -> Found:
    """Look at a folder that is locked, and read and verify its cache; `go_on` is called again and again meanwhile."""
    job.sweep()
    decided = decide(job)  # again: another run may have finished here since
    todo = [method for method, action in decided.actions.items() if action is Action.COMPUTE]
    try:
        return Found(decided, _source(job, job.settings.only(*todo), backend, steps, go_on) if todo else None)
    except Exception as error:  # noqa: BLE001  it is told in its turn, and maps that need no cache are made
        return Found(decided, error)


def _source(job: Job, settings: Settings, backend: Backend, steps: Steps, go_on: Callable[[], None]) -> Source:
    start = time.perf_counter()
    with steps("read"):
        folders.check_files(job.folder)
        stamp = fingerprint.stamp(job.folder)
        cache, known = saved_map.read(job.folder, settings, backend, go_on)
        told = record.of_input(cache, fingerprint.of_cache(job.folder))
    seconds = time.perf_counter() - start
    return Source(cache, settings, known, told, stamp, seconds, steps.of("read"))


def maps(job: Job, found: Found, chosen: Chosen, steps: Steps) -> Generator[Finish]:
    """Make the maps of a folder; of each give what is left to do, once its coordinates are saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    decided = found.decided
    if decided.audit:  # before pages are drawn, which show it
        yield finishing.settled(_audited(job, chosen, steps))
        decided = decide(replace(job, outliers=False))
    yield from map(finishing.settled, decided.settled)
    for method, action in decided.actions.items():
        if action is Action.FINISH:
            yield finishing.again(job, method, chosen[0], steps)
    if isinstance(found.source, Exception):
        raise found.source
    if found.source:
        try:
            yield from _compute(job, found.source, chosen, steps)
        finally:
            with suppress(Exception):  # a device that is lost has failed the maps already
                chosen[0].give_back()


def _audited(job: Job, chosen: Chosen, steps: Steps) -> Outcome:
    try:
        return audit.audit(job, *chosen, steps)
    except Exception as error:  # noqa: BLE001  maps are made all the same
        return failure(job.folder, error, "outliers")
    finally:
        with suppress(Exception):  # a device that is lost fails the maps by itself
            chosen[0].give_back()


def _compute(job: Job, source: Source, chosen: Chosen, steps: Steps) -> Iterator[Finish]:
    from gpuvis.reduction import reduce

    start = time.perf_counter() - source.seconds
    embeddings, settings = source.cache.embeddings, source.settings
    for note in (*source.cache.notes, *settings.fitted_to(*embeddings.shape)[1]):
        logger.warning("%s: %s", job.folder, note)
    prepared = reduce.prepare(embeddings, settings, chosen[0], steps, source.known)

    def make(method: Method) -> Finish:
        done = reduce.embed(prepared, method, chosen[0], steps)
        if fingerprint.stamp(job.folder) != source.stamp:
            raise CacheError(f"{job.folder}: the cache was written again while it was read; run again")
        run = record.of_run(source.told, settings, done, *chosen)
        run["steps"] = {**source.steps, **done.steps}
        of = Original(embeddings, done.effective["metric"], source.known, source.cache.labels, done.principal)
        shown = Shown(done.coords, classes.labelled(source.cache.table, source.cache.labels))
        return finishing.save(job, method, run, shown, of, chosen[0], (start, steps))

    for method in settings.methods:
        try:
            finish = make(method)
        except Exception as error:  # noqa: BLE001  whatever goes wrong with one map, the next one is still to be made
            finish = finishing.settled(failure(job.folder, error, method))
        yield finish
        start = time.perf_counter()
