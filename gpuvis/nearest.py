"""The true nearest neighbours of each point: in the original space, for its page to show."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gpuvis import original, reduction
from gpuvis.backends.base import Backend
from gpuvis.errors import GpuvisError
from gpuvis.job import Job
from gpuvis.outcome import failure
from gpuvis.settings import Method
from gpuvis.steps import Steps

if TYPE_CHECKING:
    import numpy as np

    from gpuvis.backends.base import Plan

logger = logging.getLogger(__name__)
COUNT = 10  # of each point


def again(job: Job, method: Method, rows: int, backend: Backend, steps: Steps) -> np.ndarray | None:
    """Return the neighbours for a map that is drawn again; None, with a note, if the cache is not there any more."""
    if not job.page or not job.page.wants_neighbors(rows):
        return None
    try:
        found = original.of_map(job, method, rows, backend)
    except GpuvisError as error:
        level = logging.WARNING if job.page.neighbors else logging.INFO
        logger.log(level, "%s: no neighbours: %s", job.folder, error)
        return None
    return of_rows(job, found.X, found.metric, (backend, found.known), steps)


def of_rows(job: Job, X: Any, metric: str, how: tuple[Backend, tuple[Plan, float]], steps: Steps) -> np.ndarray | None:
    """Return the rows nearest to each in the original space, if the page is to show them and they can be found."""
    if not job.page or not job.page.wants_neighbors(len(X)):
        return None
    try:
        with steps("nearest"):
            return reduction.nearest(X, metric, min(COUNT, len(X) - 1), *how)
    except Exception as error:  # noqa: BLE001  the map is whole without them
        logger.warning("%s: no neighbours: %s", job.folder, failure(job.folder, error).error)
        return None
