"""The steps of one folder, called by pipeline and worker: read, reduce, save, measure, draw."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gpuvis.backends import Selection
from gpuvis.io.files import locked
from gpuvis.jobs import audit, draw, measure
from gpuvis.jobs.draw import Drawn
from gpuvis.jobs.job import Decision, decide
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.task import Source, Task
from gpuvis.labels import classes, outliers
from gpuvis.page.options import STATIC, PageOptions
from gpuvis.results.outputs import Action, Outputs, Status, is_ours, is_unmeasured
from gpuvis.results.record import RunRecord
from gpuvis.results.saved_map import Measured, Original, Shown, saved
from gpuvis.settings import MethodName, Settings
from gpuvis.signals import stops_deferred
from gpuvis.timing import StepTimer

logger = logging.getLogger(__name__)

Saving = AbstractContextManager[None]  # within which files are written
Finish = Callable[[Saving], Outcome]  # the last stage of a map: draws its page and saves its record


@dataclass(frozen=True, eq=False)
class Read:
    """A folder after the first stage.

    Attributes
    ----------
    task : Task
    scores, maps : Source, Exception, or None
        What these are computed from, or why they cannot be; None: they are not to be computed.
    """

    task: Task
    scores: Source | Exception | None
    maps: Source | Exception | None


def run(decision: Decision, chosen: Selection, steps: StepTimer) -> Generator[Outcome]:
    """Do what is to be done for one folder, and give the outcome of each map as soon as it is saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    job = decision.job
    draw.prepare(job.page)
    with locked(job.out), closing(maps(read(decision, chosen, steps))) as unfinished:
        for finish in unfinished:
            yield finish(nullcontext())


def read(decision: Decision, chosen: Selection, steps: StepTimer, go_on: Callable[[], None] = lambda: None) -> Read:
    """Read and verify the cache of a folder that is locked; `go_on` is called again and again meanwhile."""
    job = decision.job
    job.sweep()
    if decision.folder.stamp != job.look().stamp:  # another run may have finished here since
        decision = decide(job)
    task = Task(decision, chosen, steps, go_on)
    scores = _source(task, outliers.search(job.settings.threads)) if decision.scores else None
    return Read(task, scores, _source(task, job.settings.only(*decision.computed)) if decision.computed else None)


def _source(task: Task, settings: Settings) -> Source | Exception:
    try:
        return task.source(settings)
    except Exception as error:  # noqa: BLE001  it is reported in its turn, and maps that need no cache are made
        return error


def maps(read: Read) -> Generator[Finish]:
    """Make the maps of a folder; of each give what is left to do, once its coordinates are saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    task, decision = read.task, read.task.decision
    if read.scores:  # before pages are drawn, which show them
        outcome = _score(task, read.scores)
        yield settled(outcome)
        decision = decision if outcome.error else decision.with_new_scores()
    yield from map(settled, decision.settled)
    for method, state in decision.maps.items():
        if state.action is Action.FINISH:
            yield again(task, method, state)
    if isinstance(read.maps, Exception):
        raise read.maps
    if read.maps:
        try:
            yield from _compute(task, read.maps)
        finally:
            with suppress(Exception):  # a device that is lost has failed the maps already
                task.backend.give_back()
    task.release()


def settled(outcome: Outcome) -> Finish:
    """Return the last stage where nothing is left to do."""
    return lambda saving: outcome


def _score(task: Task, source: Source | Exception) -> Outcome:
    try:
        if isinstance(source, Exception):
            raise source
        outcome, scores = audit.audit(task, source)
        task.folder.take_scores(scores)
    except Exception as error:  # noqa: BLE001  maps are made all the same
        return failure(task.job.folder, error, "outliers")
    finally:
        with suppress(Exception):  # a device that is lost fails the maps by itself
            task.backend.give_back()
    return outcome


def _compute(task: Task, source: Source) -> Iterator[Finish]:
    from gpuvis.reduction import reduce

    start, folder = time.perf_counter() - source.seconds, task.job.folder
    embeddings, settings = source.cache.embeddings, source.settings
    for note in (*source.cache.notes, *settings.fitted_to(*embeddings.shape)[1]):
        logger.warning("%s: %s", folder, note)
    prepared = reduce.prepare(embeddings, settings, task.backend, task.steps, *source.planned)

    def make(method: MethodName) -> Finish:
        reduction = reduce.embed(prepared, method, task.backend, task.steps)
        task.check_unchanged()
        record = RunRecord.of(source.record, settings, reduction, *task.chosen)
        record.steps = {**source.steps, **reduction.steps}
        metric, principal = reduction.effective["metric"], reduction.principal
        original = Original(embeddings, metric, source.planned, source.cache.labels, principal)
        shown = Shown(reduction.coords, classes.labelled(source.cache.table, source.cache.labels))
        return save(task, method, record, shown, original, start)

    for method in settings.methods:
        try:
            finish = make(method)
        except Exception as error:  # noqa: BLE001  whatever goes wrong with one map, the next one is still to be made
            finish = settled(failure(folder, error, method))
        yield finish
        start = time.perf_counter()


def save(task: Task, method: MethodName, record: RunRecord, shown: Shown, original: Original, start: float) -> Finish:
    """Save the coordinates, then measure the map: so they are safe even if measuring or drawing fails."""
    job, files = task.job, task.job.outputs(method)
    _save_coords(task, files, record, shown)
    measured = measure.of_map(task, original, shown, job.quality)
    paths = (files.coords, *_save_quality(task, files, record, measured))
    rows, columns = record.input.rows, record.input.columns
    outcome = Outcome(job.folder, "written", method, rows, columns, paths=paths, quality=record.quality)
    return _finish(task, files, outcome, replace(shown, measured=measured), record, start)


def again(task: Task, method: MethodName, state: Status) -> Finish:
    """Measure a map if that is still to be done, and draw it again, from its saved coordinates."""
    start, job, files = time.perf_counter(), task.job, task.job.outputs(method)
    record, paths = state.record, tuple[Path, ...]()
    try:
        shown = saved(files.coords, task.folder)
        if state.changed:
            logger.warning("%s: %s", job.folder, state.changed)
        wanted = job.quality if record and is_unmeasured(files, record, job.quality) else "none"
        measured = measure.again(task, method, shown, record, wanted)
        if record:
            _begin(files, record, job.page, measured)
            paths = _save_quality(task, files, record, measured)
            measured = replace(measured, quality=record.quality, recall=files.load_quality(record))
    except Exception as error:  # noqa: BLE001
        return settled(failure(job.folder, error, method))
    result = "drawn again" if job.page else "measured" if paths else "not measured"
    rows, columns = len(shown.coords), record.input.columns if record else None
    outcome = Outcome(job.folder, result, method, rows, columns, paths=paths, quality=measured.quality)
    shown = replace(shown, measured=measured, is_current=not (record and state.changed))
    return _finish(task, files, outcome, shown, record, start)


def _save_coords(task: Task, files: Outputs, record: RunRecord, shown: Shown) -> None:
    job, before = task.job, files.read_record()
    drawn_before = before.outputs if before else {}
    to_come = [*files.drawn(job.page), *([files.quality] if job.quality != "none" else [])]
    with task.steps("save"), stops_deferred():
        files.save_coords(shown.coords, record, to_come)
        for path in [files.quality, files.page, *map(files.static, STATIC)] if job.overwrite else []:
            is_old = path.is_file() and (path.name in drawn_before or is_ours(path))
            if is_old and (path == files.quality or path not in to_come):
                path.unlink()
                if path not in to_come:
                    logger.warning("%s: %s showed an earlier map and was removed", job.folder, path.name)
    record.steps |= task.steps.of("save")


def _begin(files: Outputs, record: RunRecord, page: PageOptions | None, measured: Measured) -> None:
    """Have the record of a map say which of its files are about to be replaced."""
    drawn = files.drawn(page)
    if page:
        for path in map(files.static, STATIC):
            if path.name in record.outputs and path not in drawn:
                del record.outputs[path.name]
                logger.warning(
                    "%s: %s was drawn earlier and stays as it is; --static draws it again", files.folder, path.name
                )
    if replaced := [*drawn, *([files.quality] if measured.quality else [])]:
        files.begin(record, replaced)


def _save_quality(task: Task, files: Outputs, record: RunRecord, measured: Measured) -> tuple[Path, ...]:
    record.steps |= task.steps.of("nearest", "quality")
    if not measured.quality or measured.recall is None:
        return ()
    with stops_deferred():
        record.outputs[files.quality.name] = files.save_quality(measured.recall)
    record.quality = measured.quality
    return (files.quality,)


def _finish(
    task: Task, files: Outputs, outcome: Outcome, shown: Shown, record: RunRecord | None, start: float
) -> Finish:
    """Return the last stage of a map: drawing, if a page is wanted, and the record. `outcome`: that before it."""
    job = task.job
    clock = task.steps.detached("draw") if job.page else task.steps
    ready = time.perf_counter() - start

    def finish(saving: Saving) -> Outcome:
        began = time.perf_counter()
        drawn, paths, error = Drawn(), outcome.paths, None
        try:
            if job.page:
                drawn = draw.draw(job, files, task.folder, shown, record, clock)
        except Exception as problem:  # noqa: BLE001
            error = problem
        with saving:
            try:
                paths += _save_drawn(files, drawn, record, clock)
            except Exception as problem:  # noqa: BLE001
                error = error or problem
        for note in drawn.notes:
            logger.warning("%s: %s", job.folder, note)
        paths += (files.record,) if record and paths else ()
        seconds = ready + time.perf_counter() - began
        return replace(_judged(outcome, error), paths=paths, seconds=seconds)

    return finish


def _judged(outcome: Outcome, error: Exception | None) -> Outcome:
    """Return the outcome of a map that was or was not drawn."""
    if error is None:
        return outcome
    failed = failure(outcome.folder, error, outcome.method)
    return replace(outcome, result="not drawn", error=failed.error) if outcome.result == "written" else failed


def _save_drawn(files: Outputs, drawn: Drawn, record: RunRecord | None, clock: StepTimer) -> tuple[Path, ...]:
    """Save the page and its pictures; then the record, even if that failed."""
    try:
        sums = {path.name: files.save_drawn(path, content) for path, content in drawn.files.items()}
        if record and drawn.files:
            record.outputs |= sums
            record.page, record.needed_by_page = drawn.shown, drawn.needs
    finally:
        if record and not record.finished:
            record.steps |= clock.of("draw")
            record.finished = True
            files.save_record(record)
    return tuple(drawn.files)
