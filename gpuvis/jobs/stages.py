"""The stages of one folder, called by pipeline and worker: read, reduce, save, measure, draw."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gpuvis.backends import Selection
from gpuvis.backends.base import Backend
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

Saving = AbstractContextManager[None]  # held while files are written
Finish = Callable[[Saving], Outcome]  # the last stage of a map: draw its page and save its record


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a folder's scores and maps, read and verified.

    Attributes
    ----------
    task : Task
    scores, maps : Source, Exception, or None
        The source, or the error that prevents it. None: there are no scores, or no maps, to compute.
    """

    task: Task
    scores: Source | Exception | None
    maps: Source | Exception | None


def run(decision: Decision, selection: Selection, steps: StepTimer) -> Generator[Outcome]:
    """Do the job of one folder, and yield the outcome of each map as soon as its files are saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    job = decision.job
    draw.prepare(job.page)
    with locked(job.out), closing(maps(read(decision, selection, steps))) as unfinished:
        for finish in unfinished:
            yield finish(nullcontext())


def read(
    decision: Decision, selection: Selection, steps: StepTimer, check_stop: Callable[[], None] = lambda: None
) -> Inputs:
    """Read and verify the cache of a locked folder. `check_stop` is called often, and raises an error to end this."""
    job = decision.job
    job.sweep()
    if decision.folder.stamp != job.look().stamp:  # another run may have finished here in the meantime
        decision = decide(job)
    task = Task(decision, selection, steps, check_stop)
    scores = _source(task, outliers.search(job.settings.threads)) if decision.scores else None
    return Inputs(task, scores, _source(task, job.settings.only(*decision.computed)) if decision.computed else None)


def _source(task: Task, settings: Settings) -> Source | Exception:
    try:
        return task.source(settings)
    except Exception as error:  # noqa: BLE001  `maps` raises it, after it has drawn the maps that need no embeddings
        return error


def maps(inputs: Inputs) -> Generator[Finish]:
    """Make the maps of a folder. Once the coordinates of a map are saved, yield its last stage.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    task, decision = inputs.task, inputs.task.decision
    try:
        if inputs.scores:  # first, since pages show the scores
            outcome = _score(task, inputs.scores)
            yield finished(outcome)
            decision = decision if outcome.error else decision.with_new_scores()
        yield from map(finished, decision.settled)
        for method, state in decision.maps.items():
            if state.action is Action.FINISH:
                yield redraw(task, method, state)
        if isinstance(inputs.maps, Exception):
            raise inputs.maps
        if inputs.maps:
            with _memory_given_back(task.backend):
                yield from _compute(task, inputs.maps)
    finally:
        task.release()


def finished(outcome: Outcome) -> Finish:
    """Return a last stage that has nothing left to do."""
    return lambda saving: outcome


@contextmanager
def _memory_given_back(backend: Backend) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # if the device is lost, the maps fail with an error of their own
            backend.give_back()


def _score(task: Task, source: Source | Exception) -> Outcome:
    with _memory_given_back(task.backend):
        try:
            if isinstance(source, Exception):
                raise source
            outcome, scores = audit.audit(task, source)
            task.folder.take_scores(scores)
        except Exception as error:  # noqa: BLE001  maps can be made without scores
            return failure(task.job.folder, error, "outliers")
        return outcome


def _compute(task: Task, source: Source) -> Iterator[Finish]:
    from gpuvis.reduction import reduce

    start, folder = time.perf_counter() - source.seconds, task.job.folder
    embeddings, settings = source.cache.embeddings, source.settings
    _, notes = settings.fitted_to(*embeddings.shape)
    for note in (*source.cache.notes, *notes):
        logger.warning("%s: %s", folder, note)
    prepared = reduce.prepare(embeddings, settings, task.backend, task.steps, *source.planned)

    def make(method: MethodName) -> Finish:
        reduction = reduce.embed(prepared, method, task.backend, task.steps)
        task.check_unchanged()
        record = RunRecord.of(source.record, settings, reduction, *task.selection, task.job.worker)
        record.notes += task.job.notes
        record.steps = {**source.steps, **reduction.steps}
        metric, principal = reduction.effective["metric"], reduction.principal
        original = Original(embeddings, metric, source.planned, source.cache.labels, principal)
        shown = Shown(reduction.coords, classes.labelled(source.cache.table, source.cache.labels))
        return save(task, method, record, shown, original, start)

    for method in settings.methods:
        try:
            finish = make(method)
        except Exception as error:  # noqa: BLE001  an error in one map must not stop the next
            finish = finished(failure(folder, error, method))
        yield finish
        start = time.perf_counter()


def save(task: Task, method: MethodName, record: RunRecord, shown: Shown, original: Original, start: float) -> Finish:
    """Save the coordinates, then measure the map. So the coordinates are safe if measuring or drawing fails."""
    job, files = task.job, task.job.outputs(method)
    _save_coords(task, files, record, shown)
    measured = measure.measure_map(task, original, shown, job.quality)
    paths = (files.coords, *_save_quality(task, files, record, measured))
    rows, columns = record.input.rows, record.input.columns
    outcome = Outcome(job.folder, "written", method, rows, columns, paths=paths, quality=record.quality)
    return _finish(task, files, outcome, replace(shown, measured=measured), record, start)


def redraw(task: Task, method: MethodName, state: Status) -> Finish:
    """Draw a map again from its saved coordinates, and measure it first if its measures are missing."""
    start, job, files = time.perf_counter(), task.job, task.job.outputs(method)
    record, paths = state.record, tuple[Path, ...]()
    try:
        shown = saved(files.coords, task.folder)
        if state.changed:
            logger.warning("%s: %s", job.folder, state.changed)
        quality = job.quality if record and is_unmeasured(files, record, job.quality) else "none"
        measured = measure.measure_saved(task, method, shown, record, quality)
        if record:
            _announce_files(files, record, job.page, measured)
            paths = _save_quality(task, files, record, measured)
            measured = replace(measured, quality=record.quality, recall=files.load_quality(record))
    except Exception as error:  # noqa: BLE001
        return finished(failure(job.folder, error, method))
    result = "drawn again" if job.page else "measured" if paths else "not measured"
    rows, columns = len(shown.coords), record.input.columns if record else None
    outcome = Outcome(job.folder, result, method, rows, columns, paths=paths, quality=measured.quality)
    shown = replace(shown, measured=measured, is_current=not (record and state.changed))
    return _finish(task, files, outcome, shown, record, start)


def _save_coords(task: Task, files: Outputs, record: RunRecord, shown: Shown) -> None:
    """Save the coordinates, then remove files of an earlier map that this run will not replace."""
    job, old_record = task.job, task.decision.maps[files.method].record
    old_outputs = old_record.outputs if old_record else {}
    next_files = [*files.drawn(job.page), *([files.quality] if job.quality != "none" else [])]
    with task.steps("save"), stops_deferred():
        files.save_coords(shown.coords, record, next_files)
        for path in [files.quality, files.page, *map(files.static, STATIC)] if job.overwrite else []:
            is_old = path.is_file() and (path.name in old_outputs or is_ours(path))
            if is_old and (path == files.quality or path not in next_files):
                path.unlink()
                if path not in next_files:
                    logger.warning("%s: %s showed an earlier map and was removed", job.folder, path.name)
    record.steps |= task.steps.of("save")


def _announce_files(files: Outputs, record: RunRecord, page: PageOptions | None, measured: Measured) -> None:
    """Save in a map's record which of its files are about to be replaced."""
    drawn = files.drawn(page)
    if page:
        for path in map(files.static, STATIC):
            if path.name in record.outputs and path not in drawn:
                del record.outputs[path.name]
                logger.warning(
                    "%s: %s was drawn earlier and stays as it is; --static draws it again", files.folder, path.name
                )
    if replaced := [*drawn, *([files.quality] if measured.quality else [])]:
        files.save_unfinished(record, replaced)


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
    """Return the last stage of a map: draw the page, if one is requested, and save the record.

    `outcome`: the outcome so far; `start`: when work on the map started.
    """
    job = task.job
    clock = task.steps.detached("draw") if job.page else task.steps
    seconds_before = time.perf_counter() - start

    def finish(saving: Saving) -> Outcome:
        finish_start = time.perf_counter()
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
        seconds = seconds_before + time.perf_counter() - finish_start
        return replace(_with_error(outcome, error), paths=paths, seconds=seconds)

    return finish


def _with_error(outcome: Outcome, error: Exception | None) -> Outcome:
    """Return the outcome of a map, with the error of drawing it, if there was one."""
    if error is None:
        return outcome
    failed = failure(outcome.folder, error, outcome.method)
    return replace(outcome, result="not drawn", error=failed.error) if outcome.result == "written" else failed


def _save_drawn(files: Outputs, drawn: Drawn, record: RunRecord | None, clock: StepTimer) -> tuple[Path, ...]:
    """Save the page and its pictures, then the record, even if the page cannot be saved."""
    try:
        checksums = {path.name: files.save_drawn(path, content) for path, content in drawn.files.items()}
        if record and drawn.files:
            record.outputs |= checksums
            record.page, record.needed_by_page = drawn.shown, drawn.needs
    finally:
        if record and not record.finished:
            record.steps |= clock.of("draw")
            record.finished = True
            files.save_record(record)
    return tuple(drawn.files)
