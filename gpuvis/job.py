"""One folder, the whole story: refuse early → read → reduce → save → draw."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import fingerprint, outputs, record
from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError, GpuvisError
from gpuvis.outputs import Action, Outputs
from gpuvis.settings import Method, Page, Settings
from gpuvis.steps import Steps

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from gpuvis.cache import Cache
    from gpuvis.reduction import Reduction

logger = logging.getLogger(__name__)

PAGE_BYTES = 5 << 20  # plotly.js
ROW_BYTES = 200  # coordinates, and what the page holds of a row


@dataclass(frozen=True)
class Job:
    """One cache folder and what is asked of it.

    Attributes
    ----------
    folder : Path
        The cache.
    out : Path
        Where the outputs go.
    settings : Settings
    page : Page or None
        None: no page is drawn.
    prefix : str
        Start of the outputs' names.
    overwrite : bool
        Compute again whatever is there.
    """

    folder: Path
    out: Path
    settings: Settings
    page: Page | None = field(default_factory=Page)
    prefix: str = "vis"
    overwrite: bool = False

    def outputs(self, method: Method) -> Outputs:
        """Return the files of one map."""
        return Outputs(self.out, self.prefix, method)


@dataclass(frozen=True)
class Outcome:
    """What became of one map, or of a folder that has none."""

    folder: Path
    result: str
    method: Method | None = None
    rows: int | None = None
    columns: int | None = None
    seconds: float | None = None
    paths: tuple[Path, ...] = ()
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        """0, or that of the error."""
        return 0 if self.error is None else getattr(self.error, "exit_code", 1)


@dataclass(frozen=True)
class Checked:
    """A job after the first look: what is to be done for each map, and what has been settled already."""

    job: Job
    actions: dict[Method, Action]
    settled: tuple[Outcome, ...]
    rows: int | None = None


def check(job: Job) -> Checked:
    """Look at a job without computing anything, and without reading the tensor's values.

    Returns
    -------
    Checked
        Maps that are up to date, and maps that are refused, are settled; the others have an action.

    Raises
    ------
    CacheError
        The cache is not what it has to be.
    OutputError
        The outputs cannot be written.
    """
    actions: dict[Method, Action] = {}
    settled = []
    for method in job.settings.methods:
        try:
            action = job.outputs(method).action(job.folder, job.settings, job.page, job.overwrite)
        except GpuvisError as error:
            settled.append(Outcome(job.folder, "refused", method, error=error))
            continue
        if action is Action.NOTHING:
            size = job.outputs(method).read_record()["input"]
            settled.append(Outcome(job.folder, "up to date", method, size["rows"], size["columns"]))
        else:
            actions[method] = action
    rows = None
    if Action.COMPUTE in actions.values():
        rows = len(_read(job.folder).embeddings)
    if actions:
        outputs.check_writable(job.out, (PAGE_BYTES + ROW_BYTES * (rows or 0)) * len(actions))
    return Checked(job, actions, tuple(settled), rows)


def _read(folder: Path) -> Cache:
    from gpuvis import cache  # torch takes seconds to import, and an up-to-date folder does not need it

    return cache.read(folder)


def run(job: Job, backend: Backend, reason: str, steps: Steps) -> Iterator[Outcome]:
    """Do what is to be done for one folder, and give the outcome of each map as soon as it is saved.

    Raises
    ------
    GpuvisError
        Nothing more can be done for this folder. What was saved before stays.
    """
    with outputs.locked(job.out):
        checked = check(job)  # again: another run may have finished here since
        yield from checked.settled
        for method, action in checked.actions.items():
            if action is Action.DRAW:
                yield _draw_again(job, method, steps)
        todo = [method for method, action in checked.actions.items() if action is Action.COMPUTE]
        if todo:
            yield from _compute(job, job.settings.only(*todo), (backend, reason), steps)


def _draw_again(job: Job, method: Method, steps: Steps) -> Outcome:
    from gpuvis import table

    files, start = job.outputs(method), time.perf_counter()
    told = files.read_record()
    _draw(job, files, (files.load_coords(), table.read(job.folder / "metadata.csv")), told, steps)
    rows, columns = (told["input"][key] for key in ("rows", "columns"))
    seconds = time.perf_counter() - start
    return Outcome(job.folder, "drawn again", method, rows, columns, seconds, (files.page, files.record))


def _compute(job: Job, settings: Settings, chosen: tuple[Backend, str], steps: Steps) -> Iterator[Outcome]:
    from gpuvis import reduction

    start, before = time.perf_counter(), _stamp(job.folder)
    with steps("read"):
        cache = _read(job.folder)
        cache.verify()
        told = record.of_input(cache, fingerprint.of_cache(job.folder))
    for note in (*cache.notes, *settings.fitted_to(*cache.embeddings.shape)[1]):
        logger.warning("%s: %s", job.folder, note)
    for done in reduction.maps(cache.embeddings, settings, chosen[0], steps):
        if _stamp(job.folder) != before:
            raise CacheError(f"{job.folder}: the cache was written again while it was read; run again")
        yield _save(job, cache, record.of_run(told, settings, done, *chosen), done, (start, steps))
        start = time.perf_counter()


def _save(job: Job, cache: Cache, run: dict[str, Any], done: Reduction, clock: tuple[float, Steps]) -> Outcome:
    """Save the coordinates first: they are safe whatever becomes of the page."""
    files, (start, steps) = job.outputs(done.method), clock
    run["steps"] = {**steps.of("read"), **done.steps}
    with steps("save"):
        files.save_coords(done.coords)
        files.save_record(run, job.page, drawn=False)
    run["steps"] |= steps.of("save")
    paths, error = [files.coords, files.record], None
    try:
        if job.page:
            _draw(job, files, (done.coords, cache.table), run, steps)
            paths.insert(1, files.page)
        else:
            files.save_record(run, None, drawn=False)
    except Exception as raised:  # noqa: BLE001  the map is there, and the next one is still to be made
        error = raised
    rows, columns = cache.embeddings.shape
    seconds, result = time.perf_counter() - start, "not drawn" if error else "written"
    return Outcome(job.folder, result, done.method, rows, columns, seconds, tuple(paths), error)


def _draw(job: Job, files: Outputs, shown: tuple[np.ndarray, pd.DataFrame], run: dict[str, Any], steps: Steps) -> None:
    from gpuvis.page import figure

    page = job.page or Page()
    with steps("draw"):
        html, notes = figure.draw(*shown, page, record.caption(run))
        files.save_page(html)
    for note in notes:
        logger.warning("%s: %s", job.folder, note)
    files.save_record({**run, "steps": {**run["steps"], **steps.of("draw")}}, page, drawn=True)


def _stamp(folder: Path) -> list[tuple[int, int, int]]:
    """Return what changes when a file of the cache is replaced or written over."""
    stats = [(folder / name).stat() for name in fingerprint.INPUTS]
    return [(s.st_ino, s.st_size, s.st_mtime_ns) for s in stats]
