"""Score the labels of a folder, and write the tables of scores (gpuvis outliers)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpuvis import machine
from gpuvis.errors import DataError, OutputExistsError
from gpuvis.io import fingerprint
from gpuvis.io.schema import SCORES
from gpuvis.jobs.outcome import Outcome
from gpuvis.labels import classes, outliers
from gpuvis.results import outputs, record
from gpuvis.results.annotations import RECORD
from gpuvis.results.outputs import foreign, save_record, saving
from gpuvis.results.record import ScoresRecord

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.jobs.job import Job
    from gpuvis.jobs.task import Source, Task
    from gpuvis.results.folder import Folder

LISTED = 20
NAMES = ("near_duplicate", "duplicate")
ROW_BYTES = 500  # of the files, about


def up_to_date(out: Path, folder: Folder) -> ScoresRecord | None:
    """Return the record of the scores of a folder if they are of this cache; None: they are to be written.

    Raises
    ------
    OutputExistsError
        There are files that are not what would be written now.
    """
    there = [path for path in files(out) if path.exists()]
    if not there:
        return None
    run = ScoresRecord.read(out / RECORD)
    reason = _reason(out, run, folder) if run else outputs.no_record(out / RECORD)
    if reason:
        raise OutputExistsError(f"{there[0]} is there already and {reason}; use --overwrite to replace it")
    return run if run and all(run.outputs.get(name) for name in SCORES) else None


def _reason(out: Path, run: ScoresRecord, folder: Folder) -> str:
    """Say why scores may not be replaced, or kept; empty if they may."""
    try:
        if files := fingerprint.differing(run.input.fingerprint, folder.fingerprint):
            return f"the cache has changed since ({', '.join(files)})"
        missing = next((name for name in SCORES if run.outputs.get(name) and not (out / name).exists()), None)
        changed = next(filter(None, (foreign(out / name, run.outputs) for name in SCORES)), "")
        return f"{missing} is missing" if missing else changed
    except OSError as error:
        return f"the cache cannot be compared with it ({error.strerror})"


def files(folder: Path) -> list[Path]:
    """Return the paths of the tables, and of their record."""
    return [folder / name for name in (*SCORES, RECORD)]


def known(job: Job, run: ScoresRecord) -> Outcome:
    """Return the outcome of scores that are up to date, by their record."""
    rows, columns = run.input.rows, run.input.columns
    return Outcome(job.folder, "up to date", "outliers", rows, columns, lines=_lines(job.folder, run))


def audit(task: Task, source: Source) -> tuple[Outcome, pd.DataFrame]:
    """Score the samples of a folder, and write the tables of scores.

    Returns
    -------
    Outcome
    DataFrame
        `scores_neighbors.csv`, in the order of the rows of the cache.

    Raises
    ------
    GpuvisError
        The cache changes meanwhile, its labels are no classes, or the files cannot be written.
    """
    from gpuvis.labels import tables

    start, job, steps = time.perf_counter(), task.job, task.steps
    backend, cache = task.backend, source.cache
    labels = classes.of(cache.table, cache.labels, backend.factorize)
    try:
        with steps("outliers"), backend.working(source.planned.plan):
            scores = outliers.measure(cache.embeddings, labels.codes, backend, source.planned)
    except DataError as error:
        raise DataError(f"{job.folder} {error}") from None
    task.check_unchanged()
    by_neighbors = tables.of_neighbors(cache.table, labels, scores)
    run = ScoresRecord(
        input=source.record,
        outputs=dict.fromkeys(SCORES),
        backend=record.of_backend(*task.chosen),
        versions=machine.versions(),
        written=record.now(),
        found={**scores.counts(), "classes": len(labels.names), **scores.details},
        worst=tables.worst(by_neighbors, LISTED),
    )
    with steps("save"):
        save_record(job.out / RECORD, run)  # these files may be replaced, whatever dies from here on
        made = (tables.of_centroids(cache.table, labels, scores), by_neighbors)
        run.outputs = {name: _save_table(job.out / name, table) for name, table in zip(SCORES, made, strict=True)}
    run.steps = {**source.steps, **steps.of("outliers", "save")}
    save_record(job.out / RECORD, run)
    seconds, (rows, columns) = source.seconds + time.perf_counter() - start, cache.embeddings.shape
    lines = _lines(job.folder, run)
    outcome = Outcome(job.folder, "scored", "outliers", rows, columns, seconds, tuple(files(job.out)), lines=lines)
    return outcome, by_neighbors.sort_index()


def _save_table(path: Path, rows: pd.DataFrame) -> str:
    from gpuvis.io import table

    with saving(path) as temporary:
        table.write(temporary, rows)
        return fingerprint.of_file(temporary)


def _lines(folder: Path, run: ScoresRecord) -> tuple[str, ...]:
    """Say what was found: counts, and the worst."""
    from gpuvis.labels import tables

    found, rows = run.found, run.input.rows
    near, equal = (f"{found[f'{name}s']:,}, of another label: {found[f'{name}s_other_label']:,}" for name in NAMES)
    counts = f"{folder}: suspects: {found['suspects']:,} of {rows:,} labels"
    duplicates = f"rows with a near-duplicate: {near}; with an equal one: {equal}"
    return f"{counts}; {duplicates}", *tables.lines(run.worst)
