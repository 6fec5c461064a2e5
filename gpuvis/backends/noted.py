"""Libraries' warnings as notes for the record: they speak of their own keywords, not of the user's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


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
