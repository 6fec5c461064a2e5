"""Measure maps that are there already, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import measuring, original, standing
from gpuvis.errors import CacheError, GpuvisError
from gpuvis.outcome import failure
from gpuvis.shown import saved

if TYPE_CHECKING:
    from gpuvis.backends.base import Backend
    from gpuvis.job import Job
    from gpuvis.settings import Method


@dataclass(frozen=True)
class Score:
    """One map: its coordinates, what was measured or why it could not be, and what has changed since it was made."""

    path: Path
    told: dict[str, Any] | None = None
    changed: str = ""
    error: GpuvisError | None = None


def scores(jobs: Iterable[Job], backend: Backend) -> Iterator[Score]:
    """Measure the maps of some folders, one after the other; one that cannot be measured does not cost the next."""
    for job in jobs:
        maps = [method for method in job.settings.methods if job.outputs(method).coords.exists()]
        if not maps:
            missing = " or ".join(job.outputs(method).coords.name for method in job.settings.methods)
            yield Score(job.out, error=CacheError(f"{job.out} has no {missing}; make the map with gpuvis reduce"))
        for method in maps:
            path = job.outputs(method).coords
            try:
                yield Score(path, *_measured(job, method, backend))
            except Exception as error:  # noqa: BLE001
                yield Score(path, error=failure(job.folder, error, method).error)


def _measured(job: Job, method: Method, backend: Backend) -> tuple[dict[str, Any], str]:
    shown = saved(job, method)
    _, changed = standing.of_saved(job.outputs(method), job.folder)
    found = original.of_map(job, method, len(shown.coords), backend)
    with backend.working(found.known[0]):
        return measuring.measured(found, shown, backend)[0], changed
