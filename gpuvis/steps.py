"""The clock of a run: seconds and peak memory of each step, and word to whoever watches."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def _reset_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM counts from here


def _peak_bytes() -> int:
    """Peak resident set since `_reset_peak`, or of the whole process where that cannot be told."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Steps:
    """Time the steps of a run.

    Parameters
    ----------
    watch : callable, optional
        Called with the name of each step as it starts.
    """

    def __init__(self, watch: Callable[[str], None] | None = None) -> None:
        self.taken: dict[str, dict[str, float]] = {}
        self._watch = watch or (lambda name: None)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block as the step `name`."""
        self._watch(name)
        _reset_peak()
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.taken[name] = {"seconds": round(seconds, 4), "peak_memory_bytes": _peak_bytes()}

    def of(self, *names: str) -> dict[str, dict[str, float]]:
        """Return the named steps, as far as they were taken, for the run record."""
        return {name: self.taken[name] for name in names if name in self.taken}
