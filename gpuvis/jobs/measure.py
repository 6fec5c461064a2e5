"""Measure maps: those of a run, and saved ones, whoever made them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError, GpuvisError
from gpuvis.io.folders import check_files, enclosing_cache
from gpuvis.jobs.job import COORDS_BYTES, Job
from gpuvis.jobs.outcome import failure
from gpuvis.labels import classes
from gpuvis.page.options import MOST_ROWS_SEARCHED
from gpuvis.quality import measure as quality
from gpuvis.reduction import reduce
from gpuvis.results import outputs, saved_map
from gpuvis.results.record import RunRecord
from gpuvis.results.saved_map import Measured, Original, Shown, saved
from gpuvis.settings import Method, Settings, Tsne
from gpuvis.timing import StepTimer

if TYPE_CHECKING:
    from gpuvis.backends.base import Backend
    from gpuvis.jobs.job import Job

logger = logging.getLogger(__name__)
SHOWN = 10  # neighbours of a point, by its page
T = TypeVar("T")


def again(
    job: Job, method: Method, shown: Shown, run: RunRecord | None, wanted: str, backend: Backend, steps: StepTimer
) -> Measured:
    """Find what is wanted of a saved map, by its run record, if its embeddings are still there; see `of_map`."""
    if wanted == "none" and not _shows_neighbors(job, len(shown.coords)):
        return Measured()
    try:
        found = saved_map.of_map(job.folder, len(shown.coords), job.settings.only(method), run, backend)
    except GpuvisError as error:
        lacks = "no neighbours" if wanted == "none" else "the map was not measured"
        asked = wanted != "none" or (job.page and job.page.neighbors)
        logger.log(logging.WARNING if asked else logging.INFO, "%s: %s: %s", job.folder, lacks, error)
        return Measured()
    return of_map(job, found, shown, wanted, backend, steps)


def of_map(job: Job, found: Original, shown: Shown, wanted: str, backend: Backend, steps: StepTimer) -> Measured:
    """Measure a map; what cannot be measured is logged, and the map is whole without it.

    Parameters
    ----------
    wanted : {"auto", "full", "none"}
        What is to be measured. full: the recall of each point; auto: up to 10,000 rows, above of a sample.
    """
    (rows, columns), near = found.X.shape, None
    sampled = len(quality.sample(rows, columns, found.metric)) < rows
    every_point = sampled and (wanted == "full" or (wanted == "auto" and rows <= MOST_ROWS_SEARCHED))
    if rows > 1 and (every_point or _shows_neighbors(job, rows)):

        def search() -> np.ndarray:
            with steps("nearest"):
                return reduce.nearest(found.X, found.metric, min(quality.K, rows - 1), backend, *found.known)

        near = _unless_it_fails(job, "no neighbours", search)
    neighbors = near[:, :SHOWN] if near is not None and _shows_neighbors(job, rows) else None
    if wanted == "none":
        return Measured(neighbors=neighbors)

    def measure() -> tuple[dict[str, Any], np.ndarray]:
        with steps("quality"), backend.working(found.known[0]):
            values, recall = measured(found, shown, backend)
            if every_point and near is not None:
                recall = quality.recall_of_points(shown.coords, near[:, : values["k"]], backend)
        return {**values, "points": int(np.isfinite(recall).sum())}, recall

    values, recall = _unless_it_fails(job, "the map was not measured", measure) or (None, None)
    return Measured(values, recall, neighbors)


def measured(found: Original, shown: Shown, backend: Backend) -> tuple[dict[str, Any], np.ndarray]:
    """Return what `quality.measure` gives of a map."""
    labels = classes.of(shown.table, found.labels, backend.factorize).codes
    return quality.measure(found.X, shown.coords, labels, found.metric, backend, found.known, found.principal)


def _shows_neighbors(job: Job, rows: int) -> bool:
    return job.page is not None and job.page.wants_neighbors(rows)


def _unless_it_fails(job: Job, otherwise: str, find: Callable[[], T]) -> T | None:
    try:
        return find()
    except Exception as error:  # noqa: BLE001
        logger.warning("%s: %s: %s", job.folder, otherwise, failure(job.folder, error).error)
        return None


@dataclass(frozen=True)
class Score:
    """One map: its coordinates, what was measured or why it could not be, and what has changed since it was made."""

    path: Path
    measured: dict[str, Any] | None = None
    changed: str = ""
    error: GpuvisError | None = None


def scores(jobs: Iterable[Job], files: Iterable[Path], backend: Backend) -> Iterator[Score]:
    """Measure the maps of some folders, then those in some files; one that cannot be measured does not cost the next.

    A file is a map of the cache that it lies in or below.
    """
    for job in jobs:
        maps = [path for path in (job.outputs(method).coords for method in job.settings.methods) if path.exists()]
        for path in maps:
            yield _score(path, job.folder, backend)
        if not maps:
            yield Score(job.out, error=_no_map(job))
    for path in files:
        yield _score(path, None, backend)


def rows(jobs: Iterable[Job], files: Iterable[Path]) -> int:
    """Return about how many rows the maps that are to be measured have, by the sizes of their files."""
    maps = [*files, *(job.outputs(method).coords for job in jobs for method in job.settings.methods)]
    return sum(path.stat().st_size for path in maps if path.is_file()) // COORDS_BYTES


def _score(path: Path, folder: Path | None, backend: Backend) -> Score:
    try:
        folder = folder or enclosing_cache(path)
        shown, files = saved(path, folder), outputs.of_coords(path)
        run, changed = outputs.of_saved(files, folder) if files else (None, "")
        settings = Settings(tsne=Tsne()).only(files.method if files else "umap")
        found = saved_map.of_map(folder, len(shown.coords), settings, run, backend)
        with backend.working(found.known[0]):
            return Score(path, measured(found, shown, backend)[0], changed)
    except Exception as error:  # noqa: BLE001
        return Score(path, error=failure(path, error).error)


def _no_map(job: Job) -> GpuvisError:
    try:
        check_files(job.folder)
    except GpuvisError as error:
        return error
    missing = " or ".join(job.outputs(method).coords.name for method in job.settings.methods)
    return CacheError(f"{job.out} has no {missing}; make the map with gpuvis reduce, or name the .npy file to measure")
