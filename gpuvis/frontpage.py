"""The front page of several folders, which links to every map of theirs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpuvis import atomic, record
from gpuvis.job import Job

if TYPE_CHECKING:
    from gpuvis.page.index import Entry

logger = logging.getLogger(__name__)
NAME = "index.html"


def write(root: Path, jobs: Sequence[Job]) -> Path | None:
    """Write the front page of several folders; without it the maps are whole, so nothing here fails.

    Returns
    -------
    Path or None
        The page; None where there is nothing to show, or something else lies in its place.
    """
    path = root / NAME
    try:
        entries = list(_entries(root, jobs)) if len(jobs) > 1 else []
        if not entries:
            return None
        from gpuvis.page import index

        if not index.is_ours(path):
            logger.warning("%s is not one of gpuvis, so it was left as it is, and no front page was written", path)
            return None
        content = index.draw(entries, root.resolve().name).encode("utf-8", "replace")
        if not path.exists() or path.read_bytes() != content:
            with atomic.replacing(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        logger.warning("%s: no front page was written: %s", path, error.strerror or error)
        return None
    return path


def _entries(root: Path, jobs: Sequence[Job]) -> Iterator[Entry]:
    from gpuvis.page import index

    for job in jobs:
        for files in map(job.outputs, job.settings.methods if job.page else ()):
            if files.page.exists():
                told = files.read_record()
                page = Path(os.path.relpath(files.page, root))
                yield index.Entry(page, index.picture_of(files.page), record.caption(told) if told else files.method)
