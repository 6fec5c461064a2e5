"""Follow a batch: a terminal or a notebook overrides the methods of `Progress`."""

from __future__ import annotations

from pathlib import Path

from gpuvis.jobs.job import Decision
from gpuvis.jobs.outcome import Outcome


class Progress:
    """Follow a batch, and show nothing.

    Any thread may call `outcome`, but only one at a time. The main thread calls the other methods.
    """

    def begin(self, decisions: list[Decision], backend: str) -> None:
        """Handle the start of the batch. `decisions`: one for each folder with something to do."""

    def folder(self, number: int, folder: Path) -> None:
        """Handle the start of work on a folder. The last maps of the previous folder may not be written yet."""

    def step(self, name: str) -> None:
        """Handle the start of a step."""

    def outcome(self, outcome: Outcome) -> None:
        """Handle the end of a map, of a folder's scores, or of a folder that fails as a whole."""
