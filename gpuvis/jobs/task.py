"""The state of one folder while its steps run: its cache, its backend, its clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gpuvis.backends import Selection
from gpuvis.backends.base import Backend, Planned
from gpuvis.backends.matrix import plan
from gpuvis.errors import CacheError
from gpuvis.io import cache, fingerprint
from gpuvis.jobs.job import Decision, Job
from gpuvis.results.folder import Folder
from gpuvis.results.record import CacheRecord
from gpuvis.settings import Settings
from gpuvis.timing import StepTimer

if TYPE_CHECKING:
    from gpuvis.io.cache import Cache


@dataclass(frozen=True, eq=False)
class Source:
    """A verified cache, and the plan to compute maps or scores from it.

    Attributes
    ----------
    cache : Cache
        Read, and verified.
    settings : Settings
    planned : Planned
        The plan for these settings.
    record : CacheRecord
        The description of the cache for run records.
    seconds : float
        How long reading took; nearly 0 if the cache had been read before.
    steps : dict
        Seconds and peak memory of the step "read", for run records.
    """

    cache: Cache
    settings: Settings
    planned: Planned
    record: CacheRecord
    seconds: float
    steps: dict[str, dict[str, float]]


@dataclass(eq=False)
class Task:
    """The state of a folder while its job runs.

    Attributes
    ----------
    decision : Decision
    selection : Selection
        The backend, and the reason for it.
    steps : StepTimer
        The clock.
    check_stop : callable
        Called before each block of rows is read. To end the reading, it raises an error.
    """

    decision: Decision
    selection: Selection
    steps: StepTimer
    check_stop: Callable[[], None] = lambda: None

    @property
    def job(self) -> Job:
        """The job of this folder."""
        return self.decision.job

    @property
    def folder(self) -> Folder:
        """The folder, with everything that was read from it."""
        return self.decision.folder

    @property
    def backend(self) -> Backend:
        """The backend that computes."""
        return self.selection.backend

    @cached_property
    def _cache(self) -> Cache:
        return cache.read(self.folder.path, self.backend.read_tensor, self.folder.head)

    @cached_property
    def _verified(self) -> tuple[float, Cache]:
        return self._cache.verify(self.check_stop)

    def source(self, settings: Settings) -> Source:
        """Return the verified cache, and the plan for these settings.

        Raises
        ------
        GpuvisError
            The cache is damaged, or does not fit in memory.
        """
        start = time.perf_counter()
        with nullcontext() if "read" in self.steps.measured else self.steps("read"):
            embeddings = self._cache.embeddings
            plan(embeddings, settings, self.backend)  # refuse an impossible job before all values are read
            largest, verified = self._verified
            planned = Planned(plan(embeddings, settings, self.backend, largest), largest)
            record = CacheRecord.of(verified, self.folder.fingerprint)
        seconds = time.perf_counter() - start
        return Source(verified, settings, planned, record, seconds, self.steps.of("read"))

    def release(self) -> None:
        """Drop the embeddings: the page is drawn without them, while the next folder is computed."""
        for name in ("_cache", "_verified"):
            vars(self).pop(name, None)

    def check_unchanged(self) -> None:
        """Check that the cache's files have not changed since the decision.

        Raises
        ------
        CacheError
        """
        before, _ = self.folder.stamp
        if fingerprint.stamp_of_cache(self.folder.path) != before:
            raise CacheError(f"{self.folder.path}: the cache was written again while it was read; run again")
