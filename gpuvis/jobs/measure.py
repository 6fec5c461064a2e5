"""Measure the maps of a run, and saved maps, also maps of other programs (gpuvis score)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gpuvis.backends import Selection
from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError, GpuvisError
from gpuvis.io.folders import check_files, enclosing_cache
from gpuvis.jobs.job import COORDS_BYTES, Decision, Job
from gpuvis.jobs.outcome import failure
from gpuvis.jobs.task import Task
from gpuvis.labels import classes
from gpuvis.page.options import MOST_ROWS_SEARCHED
from gpuvis.quality import measure as quality
from gpuvis.quality.measure import Quality
from gpuvis.reduction import reduce
from gpuvis.results import outputs, saved_map
from gpuvis.results.record import RunRecord
from gpuvis.results.saved_map import Measured, Original, Shown, saved
from gpuvis.settings import MethodName, Settings
from gpuvis.timing import StepTimer

logger = logging.getLogger(__name__)
NEIGHBORS_SHOWN = 10  # of each point, on its page
T = TypeVar("T")


def measure_saved(task: Task, method: MethodName, shown: Shown, run: RunRecord | None, level: str) -> Measured:
    """Measure a saved map with the metric of its run record, if its embeddings still exist; see `measure_map`."""
    job, rows = task.job, len(shown.coords)
    if level == "none" and not _shows_neighbors(job, rows):
        return Measured()
    try:
        settings = job.settings.only(method)
        source = task.source(settings)
        metric = (run.metric if run else None) or settings.maps[method].metric
        original = saved_map.original(source.cache, source.planned, rows, metric)
    except GpuvisError as error:
        missing = "no neighbours" if level == "none" else "the map was not measured"
        is_requested = level != "none" or (job.page and job.page.neighbors)
        logger.log(logging.WARNING if is_requested else logging.INFO, "%s: %s: %s", job.folder, missing, error)
        return Measured()
    return measure_map(task, original, shown, level)


def measure_map(task: Task, original: Original, shown: Shown, level: str) -> Measured:
    """Measure a map, and find the neighbours for its page. Errors are logged: the map is useful without its measures.

    Parameters
    ----------
    task : Task
    original : Original
    shown : Shown
    level : {"auto", "full", "none"}
        What to measure. full: the recall of every point; auto: the same up to 10,000 rows, and of a sample above.
    """
    job, backend, steps = task.job, task.backend, task.steps
    (rows, columns), nearest = original.X.shape, None
    sampled = len(quality.sample(rows, columns, original.metric)) < rows
    every_point = sampled and (level == "full" or (level == "auto" and rows <= MOST_ROWS_SEARCHED))
    if rows > 1 and (every_point or _shows_neighbors(job, rows)):

        def search() -> np.ndarray:
            with steps("nearest"):
                count = min(quality.K, rows - 1)
                return reduce.nearest(original.X, original.metric, count, backend, *original.planned)

        nearest = _or_log(job, "no neighbours", search)
    neighbors = nearest[:, :NEIGHBORS_SHOWN] if nearest is not None and _shows_neighbors(job, rows) else None
    if level == "none":
        return Measured(neighbors=neighbors)

    def measure() -> tuple[dict[str, Any], np.ndarray]:
        with steps("quality"), backend.working(original.planned.plan):
            values, recall = _quality(original, shown, backend)
            if every_point and nearest is not None:
                recall = quality.recall_of_points(shown.coords, nearest[:, : values["k"]], backend)
        return {**values, "points": int(np.isfinite(recall).sum())}, recall

    values, recall = _or_log(job, "the map was not measured", measure) or (None, None)
    return Measured(values, recall, neighbors)


def _quality(original: Original, shown: Shown, backend: Backend) -> Quality:
    labels = classes.of(shown.table, original.labels, backend.factorize).codes
    planned, principal = original.planned, original.principal
    return quality.measure_map(original.X, shown.coords, labels, original.metric, backend, planned, principal)


def _shows_neighbors(job: Job, rows: int) -> bool:
    return job.page is not None and job.page.wants_neighbors(rows)


def _or_log(job: Job, consequence: str, work: Callable[[], T]) -> T | None:
    """Return the result of some work; None if it fails, which is logged with its consequence."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        logger.warning("%s: %s: %s", job.folder, consequence, failure(job.folder, error).error)
        return None


@dataclass(frozen=True)
class Score:
    """One map: the path of its coordinates, its measures or an error, and what has changed since it was made."""

    path: Path
    measured: dict[str, Any] | None = None
    changed: str = ""
    error: GpuvisError | None = None


def scores(jobs: Iterable[Job], files: Iterable[Path], backend: Backend) -> Iterator[Score]:
    """Measure the maps of folders, then the maps in files. An error in one map does not stop the next.

    A file holds a map of the cache in its folder, or in the nearest folder above.
    """
    task: Task | None = None
    for job in jobs:
        maps = [path for path in (job.outputs(method).coords for method in job.settings.methods) if path.exists()]
        for path in maps:
            task = _task(job, backend, task)
            yield _score(path, task)
        if not maps:
            yield Score(job.out, error=_no_map(job))
    for path in files:
        try:
            task = _task(Job(enclosing_cache(path), path.parent, Settings(), page=None), backend, task)
        except GpuvisError as error:
            yield Score(path, error=error)
        else:
            yield _score(path, task)


def _task(job: Job, backend: Backend, previous: Task | None) -> Task:
    """Return the task of a folder. If the previous task is of the same folder, reuse it: it has read the cache."""
    if previous and previous.job.folder == job.folder:
        return previous
    return Task(Decision(job, job.look(), {}), Selection(backend, ""), StepTimer())


def rows(jobs: Iterable[Job], files: Iterable[Path]) -> int:
    """Estimate the number of rows of all maps to measure, from the sizes of their files."""
    maps = [*files, *(job.outputs(method).coords for job in jobs for method in job.settings.methods)]
    return sum(path.stat().st_size for path in maps if path.is_file()) // COORDS_BYTES


def _score(path: Path, task: Task) -> Score:
    try:
        shown, files = saved(path, task.folder), outputs.of_coords(path)
        state = outputs.of_saved(files, task.folder) if files else outputs.Status(outputs.Action.FINISH)
        settings = Settings.of(files.method) if files else Settings()
        metric = (state.record.metric if state.record else None) or next(iter(settings.maps.values())).metric
        source = task.source(settings)
        original = saved_map.original(source.cache, source.planned, len(shown.coords), metric)
        with task.backend.working(source.planned.plan):
            return Score(path, _quality(original, shown, task.backend)[0], state.changed)
    except Exception as error:  # noqa: BLE001
        return Score(path, error=failure(path, error).error)


def _no_map(job: Job) -> GpuvisError:
    try:
        check_files(job.folder)
    except GpuvisError as error:
        return error
    missing = " or ".join(job.outputs(method).coords.name for method in job.settings.methods)
    return CacheError(f"{job.out} has no {missing}; make the map with gpuvis reduce, or name the .npy file to measure")
