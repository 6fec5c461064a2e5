"""What follows once a map is computed: it is saved, measured and drawn; or measured and drawn again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gpuvis.backends.base import Backend
from gpuvis.jobs import draw as drawing
from gpuvis.jobs import measure
from gpuvis.jobs.job import Job
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.page.options import STATIC
from gpuvis.results import outputs
from gpuvis.results.outputs import Outputs, is_ours
from gpuvis.results.saved_map import Measured, Original, Shown, saved
from gpuvis.settings import Method
from gpuvis.signals import held_back
from gpuvis.timing import Steps

logger = logging.getLogger(__name__)

Saving = AbstractContextManager[None]  # within which a page is written
Finish = Callable[[Saving], Outcome]  # the last stage of a map: draws its page, and tells what became of the map
Clock = tuple[float, Steps]  # when a map was begun, and what times its steps


def settled(outcome: Outcome) -> Finish:
    """Return the last stage where nothing is left to do."""
    return lambda saving: outcome


def save(
    job: Job, method: Method, run: dict[str, Any], shown: Shown, found: Original, backend: Backend, clock: Clock
) -> Finish:
    """Save the coordinates first: they are safe whatever becomes of the measures and the page."""
    files, steps = job.outputs(method), clock[1]
    _save_coords(job, files, run, shown, steps)
    measured = measure.of_map(job, found, shown, job.quality, backend, steps)
    _save_measured(files, run, measured, steps)
    rows, columns = run["input"]["rows"], run["input"]["columns"]
    paths = (files.coords, *_written(files, measured))
    told = Outcome(job.folder, "written", method, rows, columns, paths=paths, quality=run["quality"])
    return _drawn(job, method, told, replace(shown, measured=measured), run, clock)


def again(job: Job, method: Method, backend: Backend, steps: Steps) -> Finish:
    """Measure a map if that is still to be done, and draw it again, from its saved coordinates."""
    start, files = time.perf_counter(), job.outputs(method)
    try:
        shown = saved(files.coords, job.folder)
        run, changed = outputs.of_saved(files, job.folder)
        if changed:
            logger.warning("%s: %s", job.folder, changed)
        wanted = job.quality if run and outputs.is_unmeasured(files, run, job.quality) else "none"
        measured = measure.again(job, method, shown, run, wanted, backend, steps)
        paths = _written(files, measured)
        if run:
            _save_measured(files, run, measured, steps)
            measured = replace(measured, quality=run.get("quality"), recall=files.load_quality(run))
    except Exception as error:  # noqa: BLE001
        return settled(failure(job.folder, error, method))
    columns = run["input"]["columns"] if run else None
    told = Outcome(job.folder, "drawn again", method, len(shown.coords), columns, paths=paths, quality=measured.quality)
    if not job.page:
        told = replace(told, result="measured" if paths else "not measured")
    shown = replace(shown, measured=measured, is_current=not (run and changed))
    return _drawn(job, method, told, shown, run, (start, steps))


def _save_coords(job: Job, files: Outputs, run: dict[str, Any], shown: Shown, steps: Steps) -> None:
    drawn_before = (files.read_record() or {}).get("outputs", {})
    to_come = [*files.drawn(job.page), *([files.quality] if job.quality != "none" else [])]
    with steps("save"), held_back():
        # Whatever dies from here on, the next run knows that these files are its own to write.
        run["outputs"] = dict.fromkeys(path.name for path in (files.coords, *to_come))
        files.save_record(run)
        run["outputs"][files.coords.name] = files.save_coords(shown.coords)
        for path in [files.quality, files.page, *map(files.static, STATIC)] if job.overwrite else []:
            is_old = path.is_file() and (path.name in drawn_before or is_ours(path))
            if is_old and (path == files.quality or path not in to_come):
                path.unlink()
                if path not in to_come:
                    logger.warning("%s: %s showed an earlier map and was removed", job.folder, path.name)
        files.save_record(run)
    run["steps"] |= steps.of("save")


def _save_measured(files: Outputs, run: dict[str, Any], measured: Measured, steps: Steps) -> None:
    run["steps"] |= steps.of("nearest", "quality")
    if measured.quality and measured.recall is not None:
        with held_back():
            if run["outputs"].get(files.quality.name):  # of fewer points, and about to be replaced
                run["outputs"][files.quality.name] = None
                files.save_record(run)
            run["outputs"][files.quality.name] = files.save_quality(measured.recall)
            run["quality"], run["page"] = measured.quality, None  # a page that is there does not show it yet
            files.save_record(run)


def _written(files: Outputs, measured: Measured) -> tuple[Path, ...]:
    return (files.quality,) if measured.quality else ()


def _drawn(job: Job, method: Method, made: Outcome, shown: Shown, run: dict[str, Any] | None, clock: Clock) -> Finish:
    """Return the last stage of a map: drawing, if a page is wanted. `made`: its outcome but for that."""
    (start, steps), record = clock, (job.outputs(method).record,) if run else ()
    draw = partial(drawing.draw, job, method, shown, run, steps.apart("draw")) if job.page else lambda saving: ()
    ready = time.perf_counter() - start

    def finish(saving: Saving) -> Outcome:
        began = time.perf_counter()
        try:
            paths = (*made.paths, *draw(saving))
            told = replace(made, paths=(*paths, *(record if paths else ())))
        except Exception as error:  # noqa: BLE001
            told = failure(job.folder, error, method)
            if made.result != "written":
                return told
            told = replace(made, result="not drawn", error=told.error, paths=(*made.paths, *record))
        return replace(told, seconds=ready + time.perf_counter() - began)

    return finish
