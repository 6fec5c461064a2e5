"""Measure maps that are there already, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis.errors import CacheError, GpuvisError
from gpuvis.io.folders import above, check_files
from gpuvis.jobs import measuring
from gpuvis.jobs.job import COORDS_BYTES
from gpuvis.jobs.outcome import failure
from gpuvis.results import outputs, saved_map
from gpuvis.results import outputs as standing
from gpuvis.results.saved_map import saved
from gpuvis.settings import Settings, Tsne

if TYPE_CHECKING:
    from gpuvis.backends.base import Backend
    from gpuvis.jobs.job import Job


@dataclass(frozen=True)
class Score:
    """One map: its coordinates, what was measured or why it could not be, and what has changed since it was made."""

    path: Path
    told: dict[str, Any] | None = None
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
        folder = folder or above(path)
        shown, files = saved(path, folder), outputs.of_coords(path)
        run, changed = standing.of_saved(files, folder) if files else (None, "")
        settings = Settings(tsne=Tsne()).only(files.method if files else "umap")
        found = saved_map.of_map(folder, len(shown.coords), settings, run, backend)
        with backend.working(found.known[0]):
            return Score(path, measuring.measured(found, shown, backend)[0], changed)
    except Exception as error:  # noqa: BLE001
        return Score(path, error=failure(path, error).error)


def _no_map(job: Job) -> GpuvisError:
    try:
        check_files(job.folder)
    except GpuvisError as error:
        return error
    missing = " or ".join(job.outputs(method).coords.name for method in job.settings.methods)
    return CacheError(f"{job.out} has no {missing}; make the map with gpuvis reduce, or name the .npy file to measure")
