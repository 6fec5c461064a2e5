"""Columns from files that lie beside a map: scores, predictions, recall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io import fingerprint
from gpuvis.io.schema import (
    COUNTS,
    EMBEDDINGS,
    FILE_NAME,
    ISOLATION,
    MARGIN,
    NUMBER,
    OUTLIER_SCORE,
    SCORES,
    SUGGESTED_NUMBER,
    SUGGESTED_WORD,
    SUSPECT,
    SUSPICION,
    TABLE,
)
from gpuvis.page.columns import PREDICTED, SUGGESTED
from gpuvis.results.record import ScoresRecord

if TYPE_CHECKING:
    import pandas as pd

MISSED, CORRECT = "mis_", "correct_"  # how the names of tables begin: of samples that a model has missed, or not
RECORD = "scores_run.json"
MEASURES = (SUSPICION, OUTLIER_SCORE, MARGIN, ISOLATION)
JUDGED = {SUSPICION, SUSPECT, SUGGESTED_NUMBER, SUGGESTED_WORD}
LIKELY = 0.5  # suspicion from which on the suggested label is nearer than the given one


def prediction_files(cache: Path) -> list[Path]:
    """Return the tables of predictions in a folder, those of missed samples first."""
    try:
        return [path for start in (MISSED, CORRECT) for path in sorted(cache.glob(f"{start}*.csv")) if path.is_file()]
    except OSError:
        return []  # of a folder that may not be looked into, which whoever reads it reports


def of_table(table: pd.DataFrame, paths: list[Path], notes: list[str]) -> dict[str, list[str]]:
    """Return what each model predicted, and whether all of them, some or none were right.

    Of a sample that is in no table of a model nothing is known: the model may have been right or wrong, or have never
    seen it. So "by all" is said only where each model has the sample in a table of its own. A name that is there twice,
    of the samples or of the predictions, tells nothing.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
    paths : list of Path
        What `prediction_files` gave.
    notes : list of str
        Is added to where a table, or a part of it, cannot be shown.

    Returns
    -------
    dict of str to list of str
        Columns; none if there are no predictions.
    """
    if FILE_NAME not in table:
        notes += [f"not shown: {path.name}: {TABLE} has no column {FILE_NAME}" for path in paths]
        return {}
    names = table[FILE_NAME]
    alone = ((names != "") & ~names.duplicated(keep=False)).to_numpy()
    found: dict[str, np.ndarray] = {}
    missed, correct = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    by_model: dict[str, np.ndarray] = {}  # which samples each has predicted
    for model, is_missed, rows in _by_model(paths, names, notes):
        before = by_model.setdefault(model, np.zeros(len(table), bool))
        listed = names.isin(rows.index).to_numpy() & alone
        known = listed & ~before
        if both := int((listed & before).sum()):
            notes.append(
                f"{CORRECT}{model}.csv: samples that are in {MISSED}{model}.csv too, and taken as missed: {both:,}"
            )
        by_model[model] = before | known
        for title, values in ((PREDICTED, _labels(rows)), ("probability ", rows.get("top3_prob_1"))):
            if values is not None:
                column = found.setdefault(f"{title}{model}", np.full(len(table), "", object))
                column[known] = values.reindex(names[known]).to_numpy(object)
        (missed if is_missed else correct)[known] += 1
    if not by_model:
        return {}
    models = len(by_model)
    kinds = {"correct by all": correct == models, "missed by all": missed == models, "missed by some": missed > 0}
    together = np.select(list(kinds.values()), list(kinds), "")
    return {"predictions": together.tolist(), **{name: values.tolist() for name, values in found.items()}}


def _labels(rows: pd.DataFrame) -> pd.Series | None:
    """Return the predicted words, or numbers where there are none."""
    word, number = rows.get("predicted_word_label"), rows.get("predicted_label")
    return number if word is None else word if number is None else word.where(word != "", number)


def _by_model(paths: list[Path], names: pd.Series, notes: list[str]) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """Give the tables by file name, each with its model and whether it is of samples that were missed."""
    from gpuvis.io.table import read as read_table

    for path in paths:
        is_missed = path.name.startswith(MISSED)
        try:
            rows = read_table(path)
            if FILE_NAME not in rows:
                raise CacheError(f"{path.name} has no column {FILE_NAME}")
        except CacheError as error:
            notes.append(f"not shown: {error}")
            continue
        strange = rows[FILE_NAME][~rows[FILE_NAME].isin(names)]
        if len(strange):
            notes.append(f"{path.name}: {_unmatched(strange, names, len(rows))}")
        if len(strange) < len(rows) or rows.empty:  # else it is of other samples: this model has not seen ours
            model = path.stem.removeprefix(MISSED if is_missed else CORRECT)
            yield model, is_missed, rows.drop_duplicates(FILE_NAME, keep=False).set_index(FILE_NAME)


def _unmatched(strange: pd.Series, names: pd.Series, rows: int) -> str:
    """Say what is to be done about predictions of samples that are not there."""
    example = next(filter(None, names), None)
    problem = (
        f"rows left out, which match no {FILE_NAME} of {TABLE}: {len(strange):,} of {rows:,}, as {strange.iloc[0]!r}"
    )
    return (
        f"{problem}; write the names as they are there, as {example!r}" if example else f"{problem}; it names no files"
    )


def _sum(path: Path) -> str | None:
    try:
        return fingerprint.of_file(path)
    except OSError:
        return None  # it cannot be shown either


@dataclass(frozen=True)
class Annotations:
    """Columns that lie beside a map, for the rows of its table.

    Attributes
    ----------
    columns : dict of str to list of str
        By name; blank where nothing is known of a row.
    notes : list of str
        Why a file is not shown, or not all of it.
    """

    columns: dict[str, list[str]]
    notes: list[str]

    def joined(self, table: pd.DataFrame, recall: np.ndarray | None = None) -> pd.DataFrame:
        """Return a table with these columns, but for empty ones and those that are there already.

        `recall`, of shape (N,), is that of each point of the map; NaN where it is not known.
        """
        columns = self.columns | ({} if recall is None else {"recall": _texts(recall)})
        new = {name: values for name, values in columns.items() if name not in table and not set(values) <= {"", "0"}}
        return table.assign(**new)


def annotation_sums(cache: Path, out: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file that holds columns, by its name; None: it cannot be read."""
    return {path.name: _sum(path) for path in (*_scores(out), *prediction_files(cache))}


def read_annotations(table: pd.DataFrame, cache: Path, out: Path, scores: pd.DataFrame | None = None) -> Annotations:
    """Read the columns that lie beside a map.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
        That of the cache, all strings.
    cache, out : Path
        The folders of predictions, and of scores.
    scores : pandas.DataFrame, optional
        The scores of this cache, a row for each of the table; None: they are read if they are there.
    """
    columns: dict[str, list[str]] = {}
    notes: list[str] = []
    if scores is not None:
        columns = _score_columns(scores)
    else:
        for path in _scores(out):
            try:
                columns = _score_columns(_read_scores(table, path, cache))
            except CacheError as error:
                notes.append(f"not shown: {error}")
            except (KeyError, ValueError, OverflowError) as error:
                notes.append(f"not shown: {path.name} holds something else than scores: {error}")
    return Annotations(columns | of_table(table, prediction_files(cache), notes), notes)


def _scores(out: Path) -> list[Path]:
    """Return the table of scores that tells most, if there is one."""
    return [path for name in reversed(SCORES) if (path := out / name).is_file()][:1]


def _read_scores(table: pd.DataFrame, path: Path, cache: Path) -> pd.DataFrame:
    """Return a table of scores in the order of the rows."""
    from gpuvis.io.table import read as read_table

    if not _is_of(path.parent, cache):
        raise CacheError(f"{path.name} is of earlier embeddings; gpuvis outliers --overwrite makes it anew")
    scores = read_table(path)
    return _by_row(scores, table, path) if "row" in scores else _by_name(scores, table, path)


def _score_columns(scores: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns that a page shows, of scores as they are in memory or in a file."""
    numbers = {name: scores[name].replace("", "nan").to_numpy(np.float64) for name in MEASURES if name in scores}
    columns = {name: _texts(values) for name, values in numbers.items()}
    if set(scores) >= JUDGED:
        word, number = (scores[name].to_numpy(object) for name in (SUGGESTED_WORD, SUGGESTED_NUMBER))
        likely = numbers[SUSPICION] >= LIKELY
        columns[SUSPECT] = scores[SUSPECT].tolist()
        columns[SUGGESTED] = np.where(likely, np.where(word == "", number, word), "").tolist()
    return columns | {name: scores[name].astype("string").fillna("").tolist() for name in COUNTS if name in scores}


def _is_of(out: Path, cache: Path) -> bool:
    """Tell whether scores are of the embeddings that are there; of those that are not, nothing is known."""
    run = ScoresRecord.read(out / RECORD)
    try:
        return not run or run.input.fingerprint.get(EMBEDDINGS) == fingerprint.of_tensor(cache / EMBEDDINGS)
    except OSError:
        return True


def _by_row(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    place = {row: k for k, row in enumerate(scores["row"].tolist())}
    order = [place.get(str(row), -1) for row in range(len(table))]
    known = [
        name for name in (FILE_NAME, NUMBER) if name in table and name in scores and bool((table[name] != "").any())
    ]
    if len(scores) == len(table) and min(order) >= 0:
        scores = scores.iloc[order].reset_index(drop=True)
        if all(scores[name].tolist() == table[name].tolist() for name in known):
            return scores
    raise CacheError(f"{path.name} is of other samples; gpuvis outliers --overwrite makes it anew")


def _by_name(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    if FILE_NAME not in table or FILE_NAME not in scores or scores[FILE_NAME].duplicated().any():
        raise CacheError(f"{path.name} cannot be told to rows: file names are missing, or there twice")
    return scores.set_index(FILE_NAME).reindex(table[FILE_NAME]).fillna("").reset_index(drop=True)


def _texts(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values.tolist()]
