"""One folder in stages: read, reduce, save, measure, draw."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError
from gpuvis.io import fingerprint, folders
from gpuvis.io.files import locked
from gpuvis.jobs import audit, draw, measure
from gpuvis.jobs import draw as drawing
from gpuvis.jobs.job import Decided, Job, decide
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.labels import classes
from gpuvis.page.options import STATIC
from gpuvis.results import outputs, saved_map
from gpuvis.results.outputs import Action, Outputs, is_ours
from gpuvis.results.record import CacheRecord, RunRecord
from gpuvis.results.saved_map import Measured, Original, Shown, saved
from gpuvis.settings import Method, Settings
from gpuvis.signals import stops_deferred
from gpuvis.timing import StepTimer

if TYPE_CHECKING:
    from gpuvis.backends.base import Plan
    from gpuvis.io.cache import Cache

logger = logging.getLogger(__name__)

Chosen = tuple[Backend, str]  # and the reason for it
Saving = AbstractContextManager[None]  # within which a page is written
Finish = Callable[[Saving], Outcome]  # the last stage of a map: draws its page, and tells what became of the map
Clock = tuple[float, StepTimer]  # when a map was begun, and what times its steps


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
    described : CacheRecord
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
    described: CacheRecord
    stamp: list[tuple[int, int, int]]
    seconds: float
    steps: dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Found:
    """What the first stage gives: what is to be done, and from what or why not; None: nothing is to be computed."""

    decided: Decided
    source: Source | Exception | None


def run(job: Job, backend: Backend, reason: str, steps: StepTimer) -> Generator[Outcome]:
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


def read(job: Job, backend: Backend, steps: StepTimer, go_on: Callable[[], None] = lambda: None) -> Found:
    """Look at a folder that is locked, and read and verify its cache; `go_on` is called again and again meanwhile."""
    job.sweep()
    decided = decide(job)  # again: another run may have finished here since
    todo = [method for method, action in decided.actions.items() if action is Action.COMPUTE]
    try:
        return Found(decided, _source(job, job.settings.only(*todo), backend, steps, go_on) if todo else None)
    except Exception as error:  # noqa: BLE001  it is reported in its turn, and maps that need no cache are made
        return Found(decided, error)


def _source(job: Job, settings: Settings, backend: Backend, steps: StepTimer, go_on: Callable[[], None]) -> Source:
    start = time.perf_counter()
    with steps("read"):
        folders.check_files(job.folder)
        stamp = fingerprint.stamp(job.folder)
        cache, known = saved_map.read(job.folder, settings, backend, go_on)
        described = CacheRecord.of(cache, fingerprint.of_cache(job.folder))
    seconds = time.perf_counter() - start
    return Source(cache, settings, known, described, stamp, seconds, steps.of("read"))


def maps(job: Job, found: Found, chosen: Chosen, steps: StepTimer) -> Generator[Finish]:
    """Make the maps of a folder; of each give what is left to do, once its coordinates are saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    decided = found.decided
    if decided.audit:  # before pages are drawn, which show it
        yield settled(_audited(job, chosen, steps))
        decided = decide(replace(job, outliers=False))
    yield from map(settled, decided.settled)
    for method, action in decided.actions.items():
        if action is Action.FINISH:
            yield again(job, method, chosen[0], steps)
    if isinstance(found.source, Exception):
        raise found.source
    if found.source:
        try:
            yield from _compute(job, found.source, chosen, steps)
        finally:
            with suppress(Exception):  # a device that is lost has failed the maps already
                chosen[0].give_back()


def _audited(job: Job, chosen: Chosen, steps: StepTimer) -> Outcome:
    try:
        return audit.audit(job, *chosen, steps)
    except Exception as error:  # noqa: BLE001  maps are made all the same
        return failure(job.folder, error, "outliers")
    finally:
        with suppress(Exception):  # a device that is lost fails the maps by itself
            chosen[0].give_back()


def _compute(job: Job, source: Source, chosen: Chosen, steps: StepTimer) -> Iterator[Finish]:
    from gpuvis.reduction import reduce

    start = time.perf_counter() - source.seconds
    embeddings, settings = source.cache.embeddings, source.settings
    for note in (*source.cache.notes, *settings.fitted_to(*embeddings.shape)[1]):
        logger.warning("%s: %s", job.folder, note)
    prepared = reduce.prepare(embeddings, settings, chosen[0], steps, *source.known)

    def make(method: Method) -> Finish:
        done = reduce.embed(prepared, method, chosen[0], steps)
        if fingerprint.stamp(job.folder) != source.stamp:
            raise CacheError(f"{job.folder}: the cache was written again while it was read; run again")
        run = RunRecord.of(source.described, settings, done, *chosen)
        run.steps = {**source.steps, **done.steps}
        of = Original(embeddings, done.effective["metric"], source.known, source.cache.labels, done.principal)
        shown = Shown(done.coords, classes.labelled(source.cache.table, source.cache.labels))
        return save(job, method, run, shown, of, chosen[0], (start, steps))

    for method in settings.methods:
        try:
            finish = make(method)
        except Exception as error:  # noqa: BLE001  whatever goes wrong with one map, the next one is still to be made
            finish = settled(failure(job.folder, error, method))
        yield finish
        start = time.perf_counter()


def settled(outcome: Outcome) -> Finish:
    """Return the last stage where nothing is left to do."""
    return lambda saving: outcome


def save(
    job: Job, method: Method, run: RunRecord, shown: Shown, found: Original, backend: Backend, clock: Clock
) -> Finish:
    """Save the coordinates first: they are safe whatever becomes of the measures and the page."""
    files, steps = job.outputs(method), clock[1]
    _save_coords(job, files, run, shown, steps)
    measured = measure.of_map(job, found, shown, job.quality, backend, steps)
    _save_measured(files, run, measured, steps)
    rows, columns = run.input.rows, run.input.columns
    paths = (files.coords, *_written(files, measured))
    outcome = Outcome(job.folder, "written", method, rows, columns, paths=paths, quality=run.quality)
    return _drawn(job, method, outcome, replace(shown, measured=measured), run, clock)


def again(job: Job, method: Method, backend: Backend, steps: StepTimer) -> Finish:
    """Measure a map if that is still to be done, and draw it again, from its saved coordinates."""
    start, files = time.perf_counter(), job.outputs(method)
    try:
        shown = saved(files.coords, job.folder)
        run, changed = outputs.of_saved(files, job.folder)
        if changed:
            logger.warning("%s: %s", job.folder, changed)
        wanted = job.quality if run and outputs.is_unmeasured(files, run, job.quality) else "none"
        measured = measure.again(job, method, shown, run, wanted, backend, steps)
        paths = _written(files, measured)
        if run:
            _save_measured(files, run, measured, steps)
            measured = replace(measured, quality=run.quality, recall=files.load_quality(run))
    except Exception as error:  # noqa: BLE001
        return settled(failure(job.folder, error, method))
    columns = run.input.columns if run else None
    outcome = Outcome(
        job.folder, "drawn again", method, len(shown.coords), columns, paths=paths, quality=measured.quality
    )
    if not job.page:
        outcome = replace(outcome, result="measured" if paths else "not measured")
    shown = replace(shown, measured=measured, is_current=not (run and changed))
    return _drawn(job, method, outcome, shown, run, (start, steps))


def _save_coords(job: Job, files: Outputs, run: RunRecord, shown: Shown, steps: StepTimer) -> None:
    before = files.read_record()
    drawn_before = before.outputs if before else {}
    to_come = [*files.drawn(job.page), *([files.quality] if job.quality != "none" else [])]
    with steps("save"), stops_deferred():
        # Whatever dies from here on, the next run knows that these files are its own to write.
        run.outputs = dict.fromkeys(path.name for path in (files.coords, *to_come))
        files.save_record(run)
        run.outputs[files.coords.name] = files.save_coords(shown.coords)
        for path in [files.quality, files.page, *map(files.static, STATIC)] if job.overwrite else []:
            is_old = path.is_file() and (path.name in drawn_before or is_ours(path))
            if is_old and (path == files.quality or path not in to_come):
                path.unlink()
                if path not in to_come:
                    logger.warning("%s: %s showed an earlier map and was removed", job.folder, path.name)
        files.save_record(run)
    run.steps |= steps.of("save")


def _save_measured(files: Outputs, run: RunRecord, measured: Measured, steps: StepTimer) -> None:
    run.steps |= steps.of("nearest", "quality")
    if measured.quality and measured.recall is not None:
        with stops_deferred():
            if run.outputs.get(files.quality.name):  # of fewer points, and about to be replaced
                run.outputs[files.quality.name] = None
                files.save_record(run)
            run.outputs[files.quality.name] = files.save_quality(measured.recall)
            run.quality, run.page = measured.quality, None  # a page that is there does not show it yet
            files.save_record(run)


def _written(files: Outputs, measured: Measured) -> tuple[Path, ...]:
    return (files.quality,) if measured.quality else ()


def _drawn(job: Job, method: Method, made: Outcome, shown: Shown, run: RunRecord | None, clock: Clock) -> Finish:
    """Return the last stage of a map: drawing, if a page is wanted. `made`: its outcome but for that."""
    (start, steps), record = clock, (job.outputs(method).record,) if run else ()
    draw = partial(drawing.draw, job, method, shown, run, steps.detached("draw")) if job.page else lambda saving: ()
    ready = time.perf_counter() - start

    def finish(saving: Saving) -> Outcome:
        began = time.perf_counter()
        try:
            paths = (*made.paths, *draw(saving))
            outcome = replace(made, paths=(*paths, *(record if paths else ())))
        except Exception as error:  # noqa: BLE001
            outcome = failure(job.folder, error, method)
            if made.result != "written":
                return outcome
            outcome = replace(made, result="not drawn", error=outcome.error, paths=(*made.paths, *record))
        return replace(outcome, seconds=ready + time.perf_counter() - began)

    return finish
