"""One folder in three stages: read → reduce and save → draw. Each may run in a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import cache as caches
from gpuvis import drawing, fingerprint, nearest, place, record
from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError
from gpuvis.interrupts import held_back
from gpuvis.job import Decided, Job, decide
from gpuvis.outcome import Outcome, failure
from gpuvis.outputs import Action, is_ours
from gpuvis.pages import STATIC
from gpuvis.settings import Method, Settings
from gpuvis.steps import Steps

if TYPE_CHECKING:
    from gpuvis.backends.base import Plan
    from gpuvis.cache import Cache
    from gpuvis.reduction import Reduction

logger = logging.getLogger(__name__)

Chosen = tuple[Backend, str]  # and the reason for it
Saving = AbstractContextManager[None]  # within which a page is written
Finish = Callable[[Saving], Outcome]  # the last stage of a map: draws its page, and tells what became of the map


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
    with (
        place.locked(job.out),
        closing(maps(job, read(job, backend, steps), (backend, reason), steps)) as unfinished,
    ):
        for finish in unfinished:
            yield finish(nullcontext())


def read(job: Job, backend: Backend, steps: Steps, go_on: Callable[[], None] = lambda: None) -> Found:
    """Look at a folder that is locked, and read and verify its cache; `go_on` is called again and again meanwhile."""
    decided = decide(job)  # again: another run may have finished here since
    todo = [method for method, action in decided.actions.items() if action is Action.COMPUTE]
    try:
        return Found(decided, _source(job, job.settings.only(*todo), backend, steps, go_on) if todo else None)
    except Exception as error:  # noqa: BLE001  it is told in its turn, and maps that need no cache are made
        return Found(decided, error)


def _source(job: Job, settings: Settings, backend: Backend, steps: Steps, go_on: Callable[[], None]) -> Source:
    from gpuvis import reduction

    start = time.perf_counter()
    with steps("read"):
        cache = caches.read(job.folder, backend.read_table, backend.read_tensor)
        reduction.plan(cache.embeddings, settings, backend)  # refuse what cannot be before reading it through
        stamp = fingerprint.stamp(job.folder)
        largest = cache.verify(go_on)
        plan = reduction.plan(cache.embeddings, settings, backend, largest)
        told = record.of_input(cache, fingerprint.of_cache(job.folder))
    seconds = time.perf_counter() - start
    return Source(cache, settings, (plan, largest), told, stamp, seconds, steps.of("read"))


def maps(job: Job, found: Found, chosen: Chosen, steps: Steps) -> Generator[Finish]:
    """Make the maps of a folder; of each give what is left to do, once its coordinates are saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    yield from map(settled, found.decided.settled)
    for method, action in found.decided.actions.items():
        if action is Action.DRAW:
            yield _again(job, method, chosen[0], steps)
    if isinstance(found.source, Exception):
        raise found.source
    if found.source:
        try:
            yield from _compute(job, found.source, chosen, steps)
        finally:
            with suppress(Exception):  # a device that is lost has failed the maps already
                chosen[0].give_back()


def settled(outcome: Outcome) -> Finish:
    """Return the last stage where nothing is left to do."""
    return lambda saving: outcome


def _compute(job: Job, source: Source, chosen: Chosen, steps: Steps) -> Iterator[Finish]:
    from gpuvis import reduction

    start = time.perf_counter() - source.seconds
    embeddings, settings = source.cache.embeddings, source.settings
    for note in (*source.cache.notes, *settings.fitted_to(*embeddings.shape)[1]):
        logger.warning("%s: %s", job.folder, note)
    prepared = reduction.prepare(embeddings, settings, chosen[0], steps, source.known)

    def make(method: Method) -> Finish:
        done = reduction.embed(prepared, method, chosen[0], steps)
        if fingerprint.stamp(job.folder) != source.stamp:
            raise CacheError(f"{job.folder}: the cache was written again while it was read; run again")
        run = record.of_run(source.told, settings, done, *chosen)
        run["steps"] = {**source.steps, **done.steps}
        return _save(job, source, run, done, (start, steps), chosen[0])

    for method in settings.methods:
        try:
            finish = make(method)
        except Exception as error:  # noqa: BLE001  whatever goes wrong with one map, the next one is still to be made
            finish = settled(failure(job.folder, error, method))
        yield finish
        start = time.perf_counter()


def _save(
    job: Job, source: Source, run: dict[str, Any], done: Reduction, clock: tuple[float, Steps], backend: Backend
) -> Finish:
    """Save the coordinates first: they are safe whatever becomes of the page."""
    files, (start, steps) = job.outputs(done.method), clock
    drawn_before = (files.read_record() or {}).get("outputs", {})
    with steps("save"), held_back():  # coordinates without their record would be refused by the next run
        run["outputs"] = {files.coords.name: files.save_coords(done.coords)}
        if job.page:
            run["outputs"] |= {path.name: None for path in files.drawn(job.page)}  # not drawn yet, and may be replaced
        for path in [files.page, *map(files.static, STATIC)] if job.overwrite else []:
            if path not in files.drawn(job.page) and path.is_file() and (path.name in drawn_before or is_ours(path)):
                path.unlink()
                logger.warning("%s: %s showed an earlier map and was removed", job.folder, path.name)
        files.save_record(run)
    run["steps"] |= steps.of("save")
    rows, columns = run["input"]["rows"], run["input"]["columns"]
    near = nearest.of_rows(job, source.cache.embeddings, done.effective["metric"], (backend, source.known), steps)
    run["steps"] |= steps.of("nearest")
    seconds, paths = time.perf_counter() - start, (files.coords, files.record)
    saved = Outcome(job.folder, "written", done.method, rows, columns, seconds, paths)
    if not job.page:
        return settled(saved)
    shown = drawing.Shown(done.coords, source.cache.table, near)
    return partial(_finish, saved, partial(drawing.draw, job, done.method, shown, run, steps.apart("draw")))


def _finish(saved: Outcome, draw: Callable[[Saving], tuple[Path, ...]], saving: Saving) -> Outcome:
    start = time.perf_counter()
    try:
        coords, record = saved.paths
        told = replace(saved, paths=(coords, *draw(saving), record))
    except Exception as error:  # noqa: BLE001
        told = replace(saved, result="not drawn", error=failure(saved.folder, error).error)
    return replace(told, seconds=(saved.seconds or 0) + time.perf_counter() - start)


def _is_other(job: Job, run: dict[str, Any]) -> bool:
    """Tell whether the cache is not the one that a map was made of; one that is not there any more tells nothing."""
    try:
        return bool(run["input"]["fingerprint"] != fingerprint.of_cache(job.folder))
    except OSError:
        return False


def _again(job: Job, method: Method, backend: Backend, steps: Steps) -> Finish:
    """Draw a map from its saved coordinates."""
    start = time.perf_counter()
    try:
        found = drawing.saved(job, method)
        files = job.outputs(method)
        run = files.read_own_record()
        if run is None and files.read_record():
            logger.warning("%s: %s is not the map that its record tells of", job.folder, files.coords.name)
        is_other = run is not None and _is_other(job, run)
        if is_other:
            logger.warning("%s: the cache has changed since the %s map was made", job.folder, method)
        near = nearest.again(job, method, len(found.coords), backend, steps)
    except Exception as error:  # noqa: BLE001
        return settled(failure(job.folder, error, method))
    if run:
        run["steps"] |= steps.of("nearest")
    shown = replace(found, neighbors=near, is_current=not is_other)
    draw = partial(drawing.draw, job, method, shown, run, steps.apart("draw"))

    def finish(saving: Saving) -> Outcome:
        try:
            paths = draw(saving)
        except Exception as error:  # noqa: BLE001
            return failure(job.folder, error, method)
        record = (files.record,) if run else ()
        columns = run["input"]["columns"] if run else None
        seconds = time.perf_counter() - start
        return Outcome(job.folder, "drawn again", method, len(found.coords), columns, seconds, (*paths, *record))

    return finish
