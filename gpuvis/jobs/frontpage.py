"""The front page of several folders, which links to every map of theirs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from gpuvis.io.files import replacing
from gpuvis.jobs.job import Job
from gpuvis.results import record
from gpuvis.results.outputs import Outputs
from gpuvis.settings import Method

if TYPE_CHECKING:
    from gpuvis.page.index import Entry

logger = logging.getLogger(__name__)
NAME = "index.html"


def write(root: Path | None, jobs: Sequence[Job]) -> Path | None:
    """Write the front page of several folders; without it the maps are whole, so nothing here fails.

    Maps that are linked already stay, whoever is asked for now, as long as their pages are there.

    Returns
    -------
    Path or None
        The page; None where there is nothing to show, or something else lies in its place.
    """
    if root is None or len(jobs) < 2:
        return None
    path = root / NAME
    try:
        from gpuvis.page import index

        if not index.is_ours(path):
            logger.warning("%s is not one of gpuvis, so it was left as it is, and no front page was written", path)
            return None
        found = [job.outputs(method) for job in jobs for method in get_args(Method)]
        entries = list(_entries(root, [*found, *_named(root, index.links(path))]))
        if not entries:
            return None
        content = index.draw(entries, root.resolve().name).encode("utf-8", "replace")
        if not path.exists() or path.read_bytes() != content:
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    except Exception as error:  # noqa: BLE001
        logger.warning("%s: no front page was written: %s", path, getattr(error, "strerror", None) or error)
        return None
    return path


def _named(root: Path, links: Iterable[str]) -> Iterator[Outputs]:
    """Return the files of the maps that pages are of, by the names of these."""
    for link in links:
        page = root / link
        prefix, _, method = page.stem.rpartition("_")
        for known in get_args(Method):
            if method == known:
                yield Outputs(page.parent, prefix, known)


def _entries(root: Path, maps: Iterable[Outputs]) -> Iterator[Entry]:
    from gpuvis.page import index

    for page, files in {Path(os.path.relpath(files.page, root)): files for files in maps}.items():
        picture = index.picture_of(files.page) if files.page.is_file() else ""
        if picture:  # else it is none of ours
            told = files.read_own_record()
            yield index.Entry(page, picture, record.caption(told) if told else files.method)
