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
from gpuvis.results.outputs import save_record, saving, why_foreign
from gpuvis.results.record import ScoresRecord

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.jobs.job import Job
    from gpuvis.jobs.task import Source, Task
    from gpuvis.results.folder import Folder

MOST_LISTED = 20  # labels in the record, the most suspicious first
ROW_BYTES = 500  # of both tables, about


def up_to_date(out: Path, folder: Folder) -> ScoresRecord | None:
    """Return the record of a folder's scores if they are complete and of this cache; None: score the samples.

    Raises
    ------
    OutputExistsError
        Scores exist that are of another cache, or that gpuvis did not write.
    """
    existing = [path for path in files(out) if path.exists()]
    if not existing:
        return None
    run = ScoresRecord.read(out / RECORD)
    reason = _conflict(out, run, folder) if run else outputs.no_record(out / RECORD)
    if reason:
        raise OutputExistsError(f"{existing[0]} is there already and {reason}; use --overwrite to replace it")
    return run if run and all(run.outputs.get(name) for name in SCORES) else None


def _conflict(out: Path, run: ScoresRecord, folder: Folder) -> str:
    """Return why existing scores can be neither kept nor replaced; empty if they can."""
    try:
        if changed_files := fingerprint.differing(run.input.fingerprint, folder.fingerprint):
            return f"the cache has changed since ({', '.join(changed_files)})"
        missing = next((name for name in SCORES if run.outputs.get(name) and not (out / name).exists()), None)
        changed = next(filter(None, (why_foreign(out / name, run.outputs) for name in SCORES)), "")
        return f"{missing} is missing" if missing else changed
    except OSError as error:
        return f"the cache cannot be compared with it ({error.strerror})"


def files(folder: Path) -> list[Path]:
    """Return the paths of the two tables and of their record."""
    return [folder / name for name in (*SCORES, RECORD)]


def up_to_date_outcome(job: Job, run: ScoresRecord) -> Outcome:
    """Return the outcome of scores that are up to date, from their record."""
    rows, columns = run.input.rows, run.input.columns
    return Outcome(job.folder, "up to date", "outliers", rows, columns, lines=_lines(job.folder, run))


def audit(task: Task, source: Source) -> tuple[Outcome, pd.DataFrame]:
    """Score the samples of a folder, and write the tables of scores.

    Returns
    -------
    Outcome
    DataFrame
        The columns of `scores_neighbors.csv`, in the order of the cache's rows.

    Raises
    ------
    GpuvisError
        The cache was changed in the meantime, its labels are not classes, or the files cannot be written.
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
        backend=record.describe_backend(*task.selection, task.job.worker),
        versions=machine.versions(),
        written=record.now(),
        found={**scores.counts(), "classes": len(labels.names), **scores.details},
        worst=tables.worst(by_neighbors, MOST_LISTED),
        notes=list(job.notes),
    )
    with steps("save"):
        save_record(job.out / RECORD, run)  # if this run dies now, the next one may replace its files
        written = (tables.of_centroids(cache.table, labels, scores), by_neighbors)
        run.outputs = {name: _save_table(job.out / name, table) for name, table in zip(SCORES, written, strict=True)}
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
    """Return the counts of suspects and duplicates, and the most suspicious labels, as lines of text."""
    from gpuvis.labels import tables

    counts = run.found
    near, equal = (
        f"{counts[name]:,}, of another label: {counts[f'{name}_other_label']:,}"
        for name in ("near_duplicates", "duplicates")
    )
    suspects = f"{folder}: suspects: {counts['suspects']:,} of {run.input.rows:,} labels"
    return f"{suspects}; rows with a near-duplicate: {near}; with an equal one: {equal}", *tables.lines(run.worst)
