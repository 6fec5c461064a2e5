"""The outcome of one map: written, up to date, failed."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpuvis.errors import GpuvisError, OutOfMemoryError, QualityError, is_out_of_memory
from gpuvis.quality.report import scores_of_fit

Kind = str  # a method's name, or "outliers"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one map, of the scores of a folder, or of a whole folder that failed.

    `paths`: the files that were written; `quality`: the measures of the map; `lines`: more text to print; `worker`: the
    worker of a cluster that did it.
    """

    folder: Path
    result: str
    method: Kind | None = None
    rows: int | None = None
    columns: int | None = None
    seconds: float | None = None
    paths: tuple[Path, ...] = ()
    error: GpuvisError | None = None
    quality: dict[str, Any] | None = None
    lines: tuple[str, ...] = ()
    worker: str = ""

    @property
    def exit_code(self) -> int:
        """The exit code of the error; 0 if there is none."""
        return self.error.exit_code if self.error else 0


def failure(folder: Path, error: Exception, method: Kind | None = None) -> Outcome:
    """Return the outcome of a map or a folder that failed."""
    message = " ".join(str(error).split())
    if is_out_of_memory(error) and not isinstance(error, GpuvisError):
        error = OutOfMemoryError(f"{folder}: memory ran out ({message or 'no more is given'}); use a machine with more")
    elif isinstance(error, PermissionError) and error.filename and not isinstance(error, GpuvisError):
        whose = "it may be another user's: have them allow it (chmod), or use another --out-dir or --out_prefix"
        error = GpuvisError(f"{folder}: {os.fsdecode(error.filename)} cannot be used: {error.strerror}; {whose}")
    elif not isinstance(error, GpuvisError):
        logger.info("%s: unexpected error", folder, exc_info=error)
        error = GpuvisError(f"{folder}: unexpected {type(error).__name__}: {message}")
    # A traceback keeps the arrays of its frames, and the next map needs their memory.
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return Outcome(folder, "failed", method, error=error)


def apply_min_trust(outcome: Outcome, min_trust: float | None) -> Outcome:
    """Fail a map whose trustworthiness is below `min_trust`, or was not measured."""
    if min_trust is None or outcome.error or outcome.method in {None, "outliers"}:
        return outcome
    if not outcome.quality:
        verdict = "was not measured"
    else:
        _, on_map, pca = scores_of_fit(outcome.quality)
        if on_map["trustworthiness"] >= min_trust:
            return outcome
        verdict = (
            f"has a trustworthiness of {on_map['trustworthiness']:.4f} (a plain PCA map {pca['trustworthiness']:.4f}), "
            f"below --min-trust {min_trust:g}"
        )
    error = QualityError(f"{outcome.folder}: the {outcome.method} map {verdict}; its files are kept")
    return replace(outcome, result=f"{outcome.result}, not trusted", error=error)
