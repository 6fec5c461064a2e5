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
    """The input of maps or scores.

    Attributes
    ----------
    cache : Cache
        Read, and verified.
    settings : Settings
    planned : Planned
        How it is to be done with these settings.
    record : CacheRecord
        The cache as records describe it.
    seconds : float
        How long reading took; 0 if something else had read it before.
    steps : dict
        The same for the record.
    """

    cache: Cache
    settings: Settings
    planned: Planned
    record: CacheRecord
    seconds: float
    steps: dict[str, dict[str, float]]


@dataclass(eq=False)
class Task:
    """The state of a folder while it is worked on.

    Attributes
    ----------
    decision : Decision
    chosen : Selection
        The backend.
    steps : StepTimer
        The clock.
    go_on : callable
        Called again and again while the cache is read; what it raises ends the reading.
    """

    decision: Decision
    chosen: Selection
    steps: StepTimer
    go_on: Callable[[], None] = lambda: None

    @property
    def job(self) -> Job:
        """The request for this folder."""
        return self.decision.job

    @property
    def folder(self) -> Folder:
        """The folder, and all that was read of it."""
        return self.decision.folder

    @property
    def backend(self) -> Backend:
        """Where the work is done."""
        return self.chosen.backend

    @cached_property
    def _cache(self) -> Cache:
        return cache.read(self.folder.path, self.backend.read_tensor, self.folder.head)

    @cached_property
    def _verified(self) -> tuple[float, Cache]:
        return self._cache.verify(self.go_on)

    def source(self, settings: Settings) -> Source:
        """Return the cache, verified, and the plan for some settings.

        Raises
        ------
        GpuvisError
            The cache is not whole, or too large.
        """
        start = time.perf_counter()
        with nullcontext() if "read" in self.steps.measured else self.steps("read"):
            embeddings = self._cache.embeddings
            plan(embeddings, settings, self.backend)  # refuse what cannot be before reading it through
            largest, verified = self._verified
            planned = Planned(plan(embeddings, settings, self.backend, largest), largest)
            record = CacheRecord.of(verified, self.folder.fingerprint)
        seconds = time.perf_counter() - start
        return Source(verified, settings, planned, record, seconds, self.steps.of("read"))

    def release(self) -> None:
        """Let go of the embeddings: pages are drawn without them, while the next folder is computed."""
        for name in ("_cache", "_verified"):
            vars(self).pop(name, None)

    def check_unchanged(self) -> None:
        """Check that the files of the cache are those that were looked at.

        Raises
        ------
        CacheError
        """
        if fingerprint.stamp_of_cache(self.folder.path) != self.folder.stamp[0]:
            raise CacheError(f"{self.folder.path}: the cache was written again while it was read; run again")
