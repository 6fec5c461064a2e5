"""Draw the page of a map and its pictures (gpuvis plot), and the front page of several folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
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

    from gpuvis.page.heading import Heading
    from gpuvis.page.image_links import Images
    from gpuvis.page.index import Entry

logger = logging.getLogger(__name__)
FRONT_PAGE = "index.html"


def prepare(page: PageOptions | None) -> None:
    """Prepare for drawing, if a page is requested.

    Call it before other threads start: two threads that import the same module may see half of it.
    """
    if page:
        from gpuvis.page import html as page_html

        page_html.prepare(page)


@dataclass(frozen=True)
class Drawn:
    """The page and the pictures of a map, not saved yet.

    Attributes
    ----------
    files : dict of Path to bytes
        The contents of the page and of its pictures, except of pictures that could not be drawn.
    notes : list of str
        What is unusual.
    shown : dict or None
        What the page shows, for the record. None: something requested is missing, so the next run draws it again.
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
    heading = _heading(run, files.method, folder, len(shown.coords))
    with steps("draw"):
        plotly_js = _plotly(job, page)
        drawn, notes, is_complete = _draw_files(job, folder, shown, heading, files.page, plotly_js)
    contents = {path: content for path, content in zip(files.drawn(page), drawn, strict=True) if content}
    needs = [plotly_js] if plotly_js and page.plotlyjs == "shared" else []
    return Drawn(contents, notes, folder.describe_page(page) if is_complete and shown.is_current else None, needs)


def _heading(run: RunRecord | None, method: str, folder: Folder, rows: int) -> Heading:
    """Return what the page says about its map."""
    from gpuvis.page.heading import Heading, name_of

    name = name_of(os.path.abspath(folder.path))
    if run is None:
        return Heading(name=name, caption=f"{METHODS[method].title} · {rows:,} rows")
    warnings = [note for note in run.input.notes if note.startswith(EMBEDDINGS)]
    if not run.quality:
        return Heading(name=name, caption=run.caption, warnings=tuple(warnings))
    return Heading(
        name=name,
        caption=run.caption,
        verdict=report.verdict(run.quality),
        measures=report.explained(run.quality),
        warnings=(*report.warnings(run.quality), *warnings),
    )


def _draw_files(
    job: Job, folder: Folder, shown: Shown, heading: Heading, path: Path, plotly_js: str | None
) -> tuple[list[bytes], list[str], bool]:
    """Return the page and its pictures (empty if drawing failed), notes, and whether nothing requested is missing."""
    from gpuvis.page import coloring
    from gpuvis.page import html as page_html

    page, rows = job.page or PageOptions(), len(shown.coords)
    table = folder.annotations.joined(shown.table, shown.measured.recall)

    def page_with(images: Images | None) -> tuple[str, list[str]]:
        return page_html.draw(shown.coords, table, page, heading, shown.measured.neighbors, images, plotly_js)

    def size_with(images: Images) -> int:
        html, _ = page_with(images)
        return len(html)

    images, notes = _images(job, page, shown.table, path, size_with)
    html, html_notes = page_with(images)
    notes += folder.annotations.notes
    drawn = [html.encode("utf-8", "backslashreplace")]
    colors = coloring.of_table(shown.coords, table, page.color_by) if page.static else None
    for file_format in page.static:
        try:
            drawn.append(_picture(shown.coords, colors, heading.caption, file_format))
        except Exception as error:  # noqa: BLE001  the page does not need its pictures
            drawn.append(b"")
            notes.append(f"no {file_format} was drawn: {type(error).__name__}: {' '.join(str(error).split())}")
    if page.neighbors and rows > MOST_ROWS_SHOWN:
        notes.append(f"no neighbours: a page has room for those of {MOST_ROWS_SHOWN:,} rows, and these are {rows:,}")
    lacks_neighbors = shown.measured.neighbors is None and page.wants_neighbors(rows)
    sheets = images.sheets if images else None
    lacks_thumbnails = page.thumbnails and not (sheets and (sheets.files or sheets.is_full))
    return drawn, notes + html_notes, not (lacks_neighbors or lacks_thumbnails) and all(drawn)


def _picture(coords: np.ndarray, colors: Any, caption: str, file_format: str) -> bytes:
    backend = os.environ.pop("MPLBACKEND", None)  # not needed, and the one that a notebook sets may not be installed
    try:
        from gpuvis.page import static
    finally:
        os.environ.update({"MPLBACKEND": backend} if backend else {})
    return static.draw(coords, colors, caption, file_format)


def _images(
    job: Job, page: PageOptions, table: pd.DataFrame, path: Path, page_bytes: Callable[[Images], int]
) -> tuple[Images | None, list[str]]:
    """Return where the page finds its images, and notes. Thumbnails take what room the page leaves."""
    from gpuvis.page import image_links, thumbnails

    names = table["file_name"].tolist() if "file_name" in table else []
    root = image_links.folder_of(page.image_root, job.folder) if any(names) else None
    if root is None:
        note = "no images are known to make thumbnails of; name their folder with --image_root"
        return None, [note] * page.thumbnails
    images = image_links.Images(image_links.link(root, path))
    notes = list(filter(None, [image_links.missing(root, names)]))
    if not page.thumbnails or root.startswith(URLS):
        return images, notes
    paths = [image_links.file_of(root, name) if name else None for name in names]
    sheets = thumbnails.sheets(paths, page_bytes(images))
    return replace(images, sheets=sheets), [*notes, *sheets.notes]


def _plotly(job: Job, page: PageOptions) -> str | None:
    """Return the address of plotly.js; None: the page contains it."""
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
    """Write a file, unless it has this content already. Other runs may write it at the same time."""
    try:
        if not (path.is_file() and path.read_bytes() == content):
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror or error}; use --plotlyjs inline") from None


def write_front_page(root: Path | None, jobs: Sequence[Job]) -> Path | None:
    """Write the front page of several folders. Errors are logged, since the maps are complete without it.

    It keeps links of earlier front pages to maps of other folders, as long as the pages of those maps exist.

    Returns
    -------
    Path or None
        The front page; None if there are no maps to show, or `index.html` is a file of another program.
    """
    if root is None or len(jobs) < 2:
        return None
    path = root / FRONT_PAGE
    try:
        from gpuvis.page import index

        if not index.is_ours(path):
            logger.warning("%s is not one of gpuvis, so it was left as it is, and no front page was written", path)
            return None
        maps = [job.outputs(method) for job in jobs for method in METHODS]
        entries = list(_entries(root, [*maps, *_linked_maps(root, index.links(path))]))
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


def _linked_maps(root: Path, links: Iterable[str]) -> Iterator[Outputs]:
    """Return the files of each map whose page is linked."""
    for link in links:
        page = root / link
        prefix, _, method = page.stem.rpartition("_")
        if method in METHODS:
            yield Outputs(page.parent, prefix, method)


def _entries(root: Path, maps: Iterable[Outputs]) -> Iterator[Entry]:
    from gpuvis.page import index

    for page, files in {Path(os.path.relpath(files.page, root)): files for files in maps}.items():
        picture = index.picture_of(files.page) if files.page.is_file() else ""
        if picture:  # gpuvis drew the page
            run = files.read_own_record()
            yield index.Entry(page, picture, run.caption if run else files.method)
