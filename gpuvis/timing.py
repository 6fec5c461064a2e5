"""Seconds and peak memory of each step."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


def peak_bytes() -> int:
    """Return the most memory that the process has held at one time so far (its peak resident set)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Steps:
    """Time the steps of a run.

    Parameters
    ----------
    watch : callable, optional
        Called with the name of each step as it starts.
    settle : callable, optional
        Called as a step ends: waits for the device, and returns what else is to be noted of the step.

    Attributes
    ----------
    taken : dict of str to dict
        For each step its `seconds`, and `peak_memory_bytes`: the peak of the process up to the end of the step; of a
        GPU also `peak_device_bytes`.
    """

    def __init__(
        self, watch: Callable[[str], None] | None = None, settle: Callable[[], dict[str, float]] | None = None
    ) -> None:
        self.taken: dict[str, dict[str, float]] = {}
        self._watch = watch or (lambda name: None)
        self._settle = settle or dict

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block as the step `name`."""
        self._watch(name)
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self._settle()  # what a step held that failed is not the next one's
            raise
        noted = self._settle()
        seconds = time.perf_counter() - start
        self.taken[name] = {"seconds": round(seconds, 4), "peak_memory_bytes": peak_bytes(), **noted}

    def of(self, *names: str) -> dict[str, dict[str, float]]:
        """Return the named steps, as far as they were taken, for the run record."""
        return {name: self.taken[name] for name in names if name in self.taken}

    def apart(self, name: str) -> Steps:
        """Say that a step starts, and return a clock of its own for it: another thread may be the one to do it."""
        self._watch(name)
        return Steps(settle=self._settle)
