"""Turn warnings of libraries into notes for the record."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

logger = logging.getLogger(__name__)
PRINTED = re.compile(r"(?:\[[^\]]*\])*\[(\w+) *\] (.*)")  # by cuML's logger (common/logger.hpp, default_pattern)
GRAVE = {"warning", "error", "critical"}


@contextmanager
def warnings_noted() -> Iterator[list[str]]:
    """Keep what is warned of in the block from the terminal, and give it as a list once the block has ended."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    notes += dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    for note in notes:
        logger.info("%s", note)


@contextmanager
def all_noted() -> Iterator[list[str]]:
    """Note what cuML's logger warns of as well, which it prints to sys.stdout (cuml/internals/logger.pyx).

    The rest of what is printed goes to our log.
    """
    printed = StringIO()
    try:
        with warnings_noted() as notes, redirect_stdout(printed):
            yield notes
    finally:
        for line in printed.getvalue().splitlines():
            match = PRINTED.fullmatch(line.strip())
            if match and match[1] in GRAVE:
                notes += [] if (note := f"cuML: {match[2]}") in notes else [note]
            logger.info("%s", line.strip())
