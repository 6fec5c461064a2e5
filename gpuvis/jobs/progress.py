"""Follow a batch: a terminal or a notebook overrides the methods of `Progress`."""

from __future__ import annotations

from pathlib import Path

from gpuvis.jobs.job import Decision
from gpuvis.jobs.outcome import Outcome


class Progress:
    """Follow a batch, in silence.

    Outcomes come from whatever thread has them, one at a time; all else comes from the main thread.
    """

    def begin(self, works: list[Decision], backend: str) -> None:
        """Take note of what will be done; each map is one piece of work."""

    def folder(self, number: int, folder: Path) -> None:
        """Take note that work on a folder starts; the last maps of the one before it may not be written yet."""

    def step(self, name: str) -> None:
        """Take note that a step starts."""

    def outcome(self, outcome: Outcome) -> None:
        """Take note of an outcome."""
