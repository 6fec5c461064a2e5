"""One folder, the whole story: refuse early → read → reduce → save → draw."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache as once
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gpuvis import fingerprint, place, record
from gpuvis.backends.base import Backend
from gpuvis.errors import CacheError, GpuvisError
from gpuvis.folders import TABLE
from gpuvis.interrupts import held_back
from gpuvis.outcome import Outcome, failure
from gpuvis.outputs import Action, Outputs, plain
from gpuvis.settings import Method, Page, Settings
from gpuvis.steps import Steps

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from gpuvis.cache import Cache
    from gpuvis.reduction import Reduction

logger = logging.getLogger(__name__)

COORDS_BYTES = 8  # of a row
PAGE_BYTES, PAGE_ROW_BYTES = 5 << 20, 100  # plotly.js, and what the page holds of a row


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
class Decided:
    """What is to be done for each map of a job, and what is settled already."""

    job: Job
    actions: dict[Method, Action]
    settled: tuple[Outcome, ...]


def decide(job: Job) -> Decided:
    """Look at what is there: maps that are up to date and maps that are refused are settled, others have an action."""
    actions: dict[Method, Action] = {}
    settled = []
    content = once(lambda: fingerprint.of_cache(job.folder))
    for method in job.settings.methods:
        files, action = job.outputs(method), Action.COMPUTE
        try:
            if not job.overwrite:
                action = files.action(job.folder, job.settings, job.page, content)
        except GpuvisError as error:
            settled.append(Outcome(job.folder, "refused", method, error=error))
            continue
        if action is Action.NOTHING:
            told = (files.read_record() or {})["input"]
            settled.append(Outcome(job.folder, "up to date", method, told["rows"], told["columns"]))
        else:
            actions[method] = action
    return Decided(job, actions, tuple(settled))


def check(job: Job) -> Decided:
    """Look at a job without computing anything, and without reading the tensor's values.

    Raises
    ------
    CacheError
        The cache is not what it has to be.
    OutputError
        The outputs cannot be written.
    """
    decided, rows = decide(job), 0
    if Action.COMPUTE in decided.actions.values():
        rows = len(_cache().read(job.folder).embeddings)
    for method in decided.actions:
        job.outputs(method).check_free()
    if decided.actions:
        page = PAGE_BYTES + PAGE_ROW_BYTES * rows if job.page else 0
        place.check_writable(job.out, (COORDS_BYTES * rows + page) * len(decided.actions))
    return decided


def _cache() -> ModuleType:
    from gpuvis import cache  # torch takes seconds to import, and an up-to-date folder does not need it

    return cache


def run(job: Job, backend: Backend, reason: str, steps: Steps) -> Generator[Outcome]:
    """Do what is to be done for one folder, and give the outcome of each map as soon as it is saved.

    Raises
    ------
    GpuvisError
        Nothing can be done for this folder.
    """
    with place.locked(job.out):
        decided = decide(job)  # again: another run may have finished here since
        yield from decided.settled
        todo = [method for method, action in decided.actions.items() if action is Action.COMPUTE]
        for method in decided.actions:
            if method not in todo:
                yield _told(job, method, partial(_draw_again, job, method, steps))
        if todo:
            try:
                yield from _compute(job, job.settings.only(*todo), (backend, reason), steps)
            finally:
                with suppress(Exception):  # a device that is lost has failed the maps already
                    backend.give_back()


def _told(job: Job, method: Method, make: Callable[[], Outcome]) -> Outcome:
    """Make one map; whatever goes wrong with it, the next one is still to be made."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        return failure(job.folder, error, method)


def _draw_again(job: Job, method: Method, steps: Steps) -> Outcome:
    from gpuvis import table

    files, start = job.outputs(method), time.perf_counter()
    told = files.read_record() or {}
    _draw(job, files, (files.load_coords(), table.read(job.folder / TABLE)), told, steps)
    rows, columns = (told["input"][key] for key in ("rows", "columns"))
    seconds = time.perf_counter() - start
    return Outcome(job.folder, "drawn again", method, rows, columns, seconds, (files.page, files.record))


def _compute(job: Job, settings: Settings, chosen: tuple[Backend, str], steps: Steps) -> Iterator[Outcome]:
    from gpuvis import reduction

    start = time.perf_counter()
    with steps("read"):
        cache = _cache().read(job.folder, chosen[0].read_table)
        reduction.plan(cache.embeddings, settings, chosen[0])  # refuse what cannot be before reading it through
        before = fingerprint.stamp(job.folder)
        largest = cache.verify()
        plan = reduction.plan(cache.embeddings, settings, chosen[0], largest)
        told = record.of_input(cache, fingerprint.of_cache(job.folder))
    for note in (*cache.notes, *settings.fitted_to(*cache.embeddings.shape)[1]):
        logger.warning("%s: %s", job.folder, note)
    prepared = reduction.prepare(cache.embeddings, settings, chosen[0], steps, (plan, largest))

    def make(method: Method) -> Outcome:
        done = reduction.embed(prepared, method, chosen[0], steps)
        if fingerprint.stamp(job.folder) != before:
            raise CacheError(f"{job.folder}: the cache was written again while it was read; run again")
        run = record.of_run(told, settings, done, *chosen)
        run["steps"] = {**steps.of("read"), **done.steps}
        return _save(job, cache, run, done, (start, steps))

    for method in settings.methods:
        yield _told(job, method, partial(make, method))
        start = time.perf_counter()


def _save(job: Job, cache: Cache, run: dict[str, Any], done: Reduction, clock: tuple[float, Steps]) -> Outcome:
    """Save the coordinates first: they are safe whatever becomes of the page."""
    files, (start, steps) = job.outputs(done.method), clock
    rows, columns = cache.embeddings.shape
    with steps("save"), held_back():  # coordinates without their record would be refused by the next run
        run["outputs"] = {files.coords.name: files.save_coords(done.coords)}
        if job.page:
            run["outputs"][files.page.name] = None  # it may be replaced, and is not drawn yet
        elif files.page.exists() and job.overwrite:
            files.page.unlink()
            logger.warning("%s: %s showed an earlier map and was removed", job.folder, files.page.name)
        files.save_record(run)
    paths, failed = [files.coords, files.record], None
    run["steps"] |= steps.of("save")
    if job.page:
        try:
            _draw(job, files, (done.coords, cache.table), run, steps)
            paths.insert(1, files.page)
        except Exception as error:  # noqa: BLE001
            failed = failure(job.folder, error).error
    seconds, result = time.perf_counter() - start, "not drawn" if failed else "written"
    return Outcome(job.folder, result, done.method, rows, columns, seconds, tuple(paths), failed)


def _draw(job: Job, files: Outputs, shown: tuple[np.ndarray, pd.DataFrame], run: dict[str, Any], steps: Steps) -> None:
    from gpuvis.page import figure

    page = job.page or Page()
    with steps("draw"):
        html, notes = figure.draw(*shown, page, record.caption(run))
        run["outputs"][files.page.name] = files.save_page(html)
    for note in notes:
        logger.warning("%s: %s", job.folder, note)
    files.save_record({**run, "page": plain(page), "steps": {**run["steps"], **steps.of("draw")}})
