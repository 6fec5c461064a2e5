"""Measure the seconds and the peak memory of each step of a run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


def peak_bytes() -> int:
    """Return the peak resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class StepTimer:
    """Measure the steps of a run.

    Parameters
    ----------
    on_start : callable, optional
        Called with the name of each step as it starts.
    settle : callable, optional
        Called at the end of each step. It waits for the device, and returns further measurements of the step.

    Attributes
    ----------
    measured : dict of str to dict
        For each step its `seconds`, and `peak_memory_bytes`: the peak of the process up to the end of the step. With a
        GPU also `peak_device_bytes`.
    """

    def __init__(
        self, on_start: Callable[[str], None] | None = None, settle: Callable[[], dict[str, float]] | None = None
    ) -> None:
        self.measured: dict[str, dict[str, float]] = {}
        self._on_start = on_start or (lambda name: None)
        self._settle = settle or dict

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure the block as the step `name`."""
        self._on_start(name)
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self._settle()  # so that the next step is not charged for the memory of this one
            raise
        device = self._settle()
        seconds = time.perf_counter() - start
        self.measured[name] = {"seconds": round(seconds, 4), "peak_memory_bytes": peak_bytes(), **device}

    def of(self, *names: str) -> dict[str, dict[str, float]]:
        """Return the measurements of the named steps, without those that did not run."""
        return {name: self.measured[name] for name in names if name in self.measured}

    def detached(self, name: str) -> StepTimer:
        """Announce a step, and return a separate timer for it, which another thread may use."""
        self._on_start(name)
        return StepTimer(settle=self._settle)
