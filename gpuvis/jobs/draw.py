"""Draw the page of a map and its pictures (gpuvis plot), and the front page of several folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis.errors import OutputError
from gpuvis.io.files import replacing
from gpuvis.io.schema import EMBEDDINGS
from gpuvis.jobs.job import Job
from gpuvis.page.options import MOST_ROWS_SHOWN, URLS, PageOptions
from gpuvis.quality import report
from gpuvis.results.folder import Folder
from gpuvis.results.outputs import Outputs
from gpuvis.results.record import RunRecord
from gpuvis.results.saved_map import Shown
from gpuvis.settings import METHODS
from gpuvis.timing import StepTimer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from gpuvis.page.image_links import Images
    from gpuvis.page.index import Entry

logger = logging.getLogger(__name__)
NAME = "index.html"


def prepare(page: PageOptions | None) -> None:
    """Begin with a page, if one is to be drawn: before other threads do, since two that import see half a module."""
    if page:
        from gpuvis.page import html as page_html

        page_html.prepare(page)


@dataclass(frozen=True)
class Drawn:
    """The page and the pictures of a map, not saved yet.

    Attributes
    ----------
    files : dict of Path to bytes
        The page and its pictures, to be saved; none of those that could not be drawn.
    notes : list of str
        What is unusual.
    shown : dict or None
        What the page shows, for the record. None: it lacks something of what was asked, so the next run draws it again.
    needs : list of str
        Paths of files that the page loads, relative to it.
    """

    files: dict[Path, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shown: dict[str, Any] | None = None
    needs: list[str] = field(default_factory=list)


def draw(job: Job, files: Outputs, folder: Folder, shown: Shown, run: RunRecord | None, steps: StepTimer) -> Drawn:
    """Draw the page of a map, and its pictures.

    Parameters
    ----------
    run : RunRecord or None
        The record of the map; None: it has none.
    """
    page = job.page or PageOptions()
    caption = run.caption if run else f"{METHODS[files.method].title} · {len(shown.coords):,} rows"
    if run:
        caption = "\n".join([caption, *_trust_lines(run)]).rstrip("\n")
    with steps("draw"):
        plotly_js = _plotly(job, page)
        drawn, notes, is_whole = _drawn(job, folder, shown, caption, files.page, plotly_js)
    contents = {path: content for path, content in zip(files.drawn(page), drawn, strict=True) if content}
    needs = [plotly_js] if plotly_js and page.plotlyjs == "shared" else []
    return Drawn(contents, notes, folder.shown(page) if is_whole and shown.is_current else None, needs)


def _trust_lines(run: RunRecord) -> list[str]:
    """Return lines on a map: how far to trust it, blank if that was not measured, and what is wrong with it."""
    measured = run.quality
    unusual = [note for note in run.input.notes if note.startswith(EMBEDDINGS)]
    return [report.line(measured), *report.warnings(measured), *unusual] if measured else ["", *unusual]


def _drawn(
    job: Job, folder: Folder, shown: Shown, caption: str, path: Path, plotly_js: str | None
) -> tuple[list[bytes], list[str], bool]:
    """Return what is drawn, empty where that failed, notes, and whether it lacks nothing of what was asked."""
    from gpuvis.page import coloring
    from gpuvis.page import html as page_html

    page, rows = job.page or PageOptions(), len(shown.coords)
    images, notes = _images(job, page, shown.table, path)
    table = folder.annotations.joined(shown.table, shown.measured.recall)
    html, more = page_html.draw(shown.coords, table, page, caption, shown.measured.neighbors, images, plotly_js)
    notes += folder.annotations.notes
    drawn = [html.encode("utf-8", "backslashreplace")]
    painted = coloring.of_table(shown.coords, table, page.color_by) if page.static else None
    for kind in page.static:
        try:
            drawn.append(_picture(shown.coords, painted, caption.partition("\n")[0], kind))
        except Exception as error:  # noqa: BLE001  the page does not need it
            drawn.append(b"")
            notes.append(f"no {kind} was drawn: {type(error).__name__}: {' '.join(str(error).split())}")
    if page.neighbors and rows > MOST_ROWS_SHOWN:
        notes.append(f"no neighbours: a page has room for those of {MOST_ROWS_SHOWN:,} rows, and these are {rows:,}")
    lacks_neighbors = shown.measured.neighbors is None and page.wants_neighbors(rows)
    lacks_thumbnails = page.thumbnails and not (images and images.sheets and images.sheets.files)
    return drawn, notes + more, not (lacks_neighbors or lacks_thumbnails) and all(drawn)


def _picture(coords: np.ndarray, painted: Any, caption: str, kind: str) -> bytes:
    backend = os.environ.pop("MPLBACKEND", None)  # none is used, and what a notebook names need not be installed
    try:
        from gpuvis.page import static
    finally:
        os.environ.update({"MPLBACKEND": backend} if backend else {})
    return static.draw(coords, painted, caption, kind)


def _images(job: Job, page: PageOptions, table: pd.DataFrame, path: Path) -> tuple[Images | None, list[str]]:
    from gpuvis.page import image_links, thumbnails

    names = table["file_name"].tolist() if "file_name" in table else []
    root = image_links.folder_of(page.image_root, job.folder) if any(names) else None
    if root is None:
        note = "no images are known to make thumbnails of; name their folder with --image_root"
        return None, [note] * page.thumbnails
    link, notes = image_links.link(root, path), list(filter(None, [image_links.missing(root, names)]))
    if not page.thumbnails or root.startswith(URLS):
        return image_links.Images(link), notes
    sheets = thumbnails.sheets([image_links.file_of(root, name) if name else None for name in names])
    return image_links.Images(link, sheets), [*notes, *sheets.notes]


def _plotly(job: Job, page: PageOptions) -> str | None:
    """Return the address of plotly.js; None: the page is to hold it."""
    from gpuvis.page import html as page_html

    if page.plotlyjs == "inline":
        return None
    if page.plotlyjs == "cdn":
        return page_html.plotly_cdn()
    name, content = page_html.plotly_file()
    path = (job.root or job.out) / name
    _share(path, content.encode())
    return Path(os.path.relpath(path, job.out)).as_posix()


def _share(path: Path, content: bytes) -> None:
    """Write a file that other runs may be writing too, unless it is there and whole."""
    try:
        if not (path.is_file() and path.read_bytes() == content):
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror or error}; use --plotlyjs inline") from None


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
        found = [job.outputs(method) for job in jobs for method in METHODS]
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
        if method in METHODS:
            yield Outputs(page.parent, prefix, method)


def _entries(root: Path, maps: Iterable[Outputs]) -> Iterator[Entry]:
    from gpuvis.page import index

    for page, files in {Path(os.path.relpath(files.page, root)): files for files in maps}.items():
        picture = index.picture_of(files.page) if files.page.is_file() else ""
        if picture:  # else it is none of ours
            run = files.read_own_record()
            yield index.Entry(page, picture, run.caption if run else files.method)
