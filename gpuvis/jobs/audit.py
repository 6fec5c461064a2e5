"""Score the samples of a folder, and write the tables of scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis import machine
from gpuvis.errors import CacheError, DataError, OutputExistsError
from gpuvis.io import cache, fingerprint
from gpuvis.io.schema import SCORES
from gpuvis.jobs.outcome import Outcome
from gpuvis.labels import classes, outliers
from gpuvis.results import outputs, record, saved_map
from gpuvis.results.annotations import RECORD
from gpuvis.results.outputs import foreign, save_record, saving
from gpuvis.results.record import ScoresRecord

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.backends.base import Backend
    from gpuvis.jobs.job import Job
    from gpuvis.timing import StepTimer

LISTED = 20
NAMES = ("near_duplicate", "duplicate")
ROW_BYTES = 500  # of the files, about


def up_to_date(folder: Path, content: Callable[[], dict[str, Any]]) -> ScoresRecord | None:
    """Return the record of the scores of a folder if they are of this cache; None: they are to be written.

    Parameters
    ----------
    content : callable
        Gives what tells the cache from others.

    Raises
    ------
    OutputExistsError
        There are files that are not what would be written now.
    """
    there = [path for path in files(folder) if path.exists()]
    if not there:
        return None
    run = ScoresRecord.read(folder / RECORD)
    reason = _reason(folder, run, content) if run else outputs.no_record(folder / RECORD)
    if reason:
        raise OutputExistsError(f"{there[0]} is there already and {reason}; use --overwrite to replace it")
    return run if run and all(run.outputs.get(name) for name in SCORES) else None


def _reason(folder: Path, run: ScoresRecord, content: Callable[[], dict[str, Any]]) -> str:
    """Say why scores may not be replaced, or kept; empty if they may."""
    try:
        if files := fingerprint.differing(run.input.fingerprint, content()):
            return f"the cache has changed since ({', '.join(files)})"
        missing = next((name for name in SCORES if run.outputs.get(name) and not (folder / name).exists()), None)
        changed = next(filter(None, (foreign(folder / name, run.outputs) for name in SCORES)), "")
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


def audit(job: Job, backend: Backend, reason: str, steps: StepTimer) -> Outcome:
    """Score the samples of a folder, and write what was found.

    Raises
    ------
    GpuvisError
        The cache cannot be read or changes meanwhile, its labels are no classes, or the files cannot be written.
    """
    start = time.perf_counter()
    with steps("read"):
        stamp = fingerprint.stamp(job.folder)
        found, planned = saved_map.read(job.folder, outliers.search(job.settings.threads), backend)
        source = record.CacheRecord.of(found, fingerprint.of_cache(job.folder))
    labels = classes.of(found.table, found.labels, backend.factorize)
    try:
        with steps("outliers"), backend.working(planned[0]):
            scores = outliers.measure(found.embeddings, labels.codes, backend, planned)
    except DataError as error:
        raise DataError(f"{job.folder} {error}") from None
    if fingerprint.stamp(job.folder) != stamp:
        raise CacheError(f"{job.folder}: the cache was written again while it was read; run again")
    run = ScoresRecord(
        input=source,
        outputs=dict.fromkeys(SCORES),
        backend=record.of_backend(backend, reason),
        versions=machine.versions(),
        written=record.now(),
        found={**scores.counts(), "classes": len(labels.names), **scores.details},
    )
    with steps("save"):
        _write(job.out, run, found, labels, scores)
    run.steps = steps.of("read", "outliers", "save")
    save_record(job.out / RECORD, run)
    seconds, paths = time.perf_counter() - start, tuple(files(job.out))
    rows, columns = found.embeddings.shape
    return Outcome(job.folder, "scored", "outliers", rows, columns, seconds, paths, lines=_lines(job.folder, run))


def _write(folder: Path, run: ScoresRecord, found: cache.Cache, labels: Any, scores: outliers.Outliers) -> None:
    """Write the tables; the record tells before that they may be replaced, and after it what they are."""
    from gpuvis.labels import tables as score_tables

    made = (score_tables.of_centroids, score_tables.of_neighbors)
    tables = {name: make(found.table, labels, scores) for name, make in zip(SCORES, made, strict=True)}
    run.worst = score_tables.worst(tables[SCORES[1]], LISTED)
    save_record(folder / RECORD, run)
    run.outputs = {name: _save_table(folder / name, table) for name, table in tables.items()}


def _save_table(path: Path, rows: pd.DataFrame) -> str:
    from gpuvis.io import table

    with saving(path) as temporary:
        table.write(temporary, rows)
        return fingerprint.of_file(temporary)


def _lines(folder: Path, run: ScoresRecord) -> tuple[str, ...]:
    """Say what was found: counts, and the worst."""
    from gpuvis.labels import tables as score_tables

    found, rows = run.found, run.input.rows
    near, equal = (f"{found[f'{name}s']:,}, of another label: {found[f'{name}s_other_label']:,}" for name in NAMES)
    counts = f"{folder}: suspects: {found['suspects']:,} of {rows:,} labels"
    duplicates = f"rows with a near-duplicate: {near}; with an equal one: {equal}"
    return f"{counts}; {duplicates}", *score_tables.lines(run.worst)
