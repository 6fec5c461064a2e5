"""Collect the warnings of libraries as notes for the run record."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

logger = logging.getLogger(__name__)
PRINTED = re.compile(r"(?:\[[^\]]*\])*\[(\w+) *\] (.*)")  # a line of cuML's logger (common/logger.hpp, default_pattern)
LEVELS = {"warning", "error", "critical"}


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the warnings of the block instead of showing them.

    The list is filled when the block ends, without repetitions.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    notes += dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    for note in notes:
        logger.info("%s", note)


@contextmanager
def collect_all() -> Iterator[list[str]]:
    """Collect warnings, including those that cuML's logger prints to sys.stdout (cuml/internals/logger.pyx).

    Everything that the block prints goes to our log instead.
    """
    printed = StringIO()
    try:
        with collect_warnings() as notes, redirect_stdout(printed):
            yield notes
    finally:
        for line in printed.getvalue().splitlines():
            match = PRINTED.fullmatch(line.strip())
            if match and match[1] in LEVELS:
                notes += [] if (note := f"cuML: {match[2]}") in notes else [note]
            logger.info("%s", line.strip())
