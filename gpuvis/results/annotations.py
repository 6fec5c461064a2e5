"""Read extra columns for a map's table from files: scores and predictions. Recall joins them from memory."""

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
from gpuvis.io.table import has_values
from gpuvis.io.table import read as read_table
from gpuvis.page.columns import PREDICTED, SUGGESTED
from gpuvis.results.record import ScoresRecord

if TYPE_CHECKING:
    import pandas as pd

MISSED, CORRECT = "mis_", "correct_"  # prefixes of prediction tables: samples that a model got wrong, or right
RECORD = "scores_run.json"
MEASURES = (SUSPICION, OUTLIER_SCORE, MARGIN, ISOLATION)
SUGGESTION_COLUMNS = {SUSPICION, SUSPECT, SUGGESTED_NUMBER, SUGGESTED_WORD}
LIKELY = 0.5  # from this suspicion on, the suggested label is nearer than the given one


def prediction_files(cache: Path) -> list[Path]:
    """Return the prediction tables in a folder, those of missed samples first."""
    try:
        return [path for start in (MISSED, CORRECT) for path in sorted(cache.glob(f"{start}*.csv")) if path.is_file()]
    except OSError:
        return []  # the folder cannot be listed; reading the cache reports that


def _prediction_columns(table: pd.DataFrame, paths: list[Path], notes: list[str]) -> dict[str, list[str]]:
    """Return what each model predicted, and whether all models or only some missed a sample.

    If a model's tables do not list a sample, the model may have been right or wrong, or may never have seen it. So a
    sample is "correct by all" or "missed by all" only if every model lists it. A file name that occurs twice, in the
    metadata or among the predictions, is ignored.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
        The metadata.
    paths : list of Path
        The prediction tables, as `prediction_files` returns them.
    notes : list of str
        A note is appended for each table that cannot be shown, or only in part.

    Returns
    -------
    dict of str to list of str
        Columns by name; empty if there are no predictions.
    """
    if FILE_NAME not in table:
        notes += [f"not shown: {path.name}: {TABLE} has no column {FILE_NAME}" for path in paths]
        return {}
    names = table[FILE_NAME]
    has_unique_name = ((names != "") & ~names.duplicated(keep=False)).to_numpy()
    columns: dict[str, np.ndarray] = {}
    missed, correct = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)  # numbers of models
    listed_by: dict[str, np.ndarray] = {}  # for each model, which rows its tables list
    for model, is_missed, predictions in _prediction_tables(paths, names, notes):
        earlier = listed_by.setdefault(model, np.zeros(len(table), bool))
        listed = names.isin(predictions.index).to_numpy() & has_unique_name
        new = listed & ~earlier
        if n_repeated := int((listed & earlier).sum()):
            notes.append(
                f"{CORRECT}{model}.csv: samples that are in {MISSED}{model}.csv too, and taken as missed: "
                f"{n_repeated:,}"
            )
        listed_by[model] = earlier | new
        for title, values in ((PREDICTED, _labels(predictions)), ("probability ", predictions.get("top3_prob_1"))):
            if values is not None:
                column = columns.setdefault(f"{title}{model}", np.full(len(table), "", object))
                column[new] = values.reindex(names[new]).to_numpy(object)
        (missed if is_missed else correct)[new] += 1
    if not listed_by:
        return {}
    models = len(listed_by)
    results = {"correct by all": correct == models, "missed by all": missed == models, "missed by some": missed > 0}
    summary = np.select(list(results.values()), list(results), "")
    return {"predictions": summary.tolist(), **{name: values.tolist() for name, values in columns.items()}}


def _labels(predictions: pd.DataFrame) -> pd.Series | None:
    """Return the predicted words; the numbers where there is no word."""
    word, number = predictions.get("predicted_word_label"), predictions.get("predicted_label")
    return number if word is None else word if number is None else word.where(word != "", number)


def _prediction_tables(
    paths: list[Path], names: pd.Series, notes: list[str]
) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """Yield for each table its model, whether it lists missed samples, and its rows, indexed by file name."""
    for path in paths:
        is_missed = path.name.startswith(MISSED)
        try:
            rows = read_table(path)
            if FILE_NAME not in rows:
                raise CacheError(f"{path.name} has no column {FILE_NAME}")
        except CacheError as error:
            notes.append(f"not shown: {error}")
            continue
        unmatched = rows[FILE_NAME][~rows[FILE_NAME].isin(names)]
        if len(unmatched):
            notes.append(f"{path.name}: {_describe_unmatched(unmatched, names, len(rows))}")
        if len(unmatched) < len(rows) or rows.empty:  # otherwise the model has seen none of our samples
            model = path.stem.removeprefix(MISSED if is_missed else CORRECT)
            yield model, is_missed, rows.drop_duplicates(FILE_NAME, keep=False).set_index(FILE_NAME)


def _describe_unmatched(unmatched: pd.Series, names: pd.Series, count: int) -> str:
    """Describe predictions whose file names are not in the metadata, and what to do about them.

    `count`: the number of all predictions in the file.
    """
    example = next(filter(None, names), None)
    left_out = f"{len(unmatched):,} of {count:,}, as {unmatched.iloc[0]!r}"
    advice = f"write the names as they are there, as {example!r}" if example else "it names no files"
    return f"rows left out, which match no {FILE_NAME} of {TABLE}: {left_out}; {advice}"


def _sha256(path: Path) -> str | None:
    try:
        return fingerprint.of_file(path)
    except OSError:
        return None  # the page cannot show the file either


@dataclass(frozen=True)
class Annotations:
    """Extra columns for the rows of a map's table.

    Attributes
    ----------
    columns : dict of str to list of str
        Columns by name; blank in rows without a value.
    notes : list of str
        Why a file is not shown, or only in part.
    """

    columns: dict[str, list[str]]
    notes: list[str]

    def joined(self, table: pd.DataFrame, recall: np.ndarray | None = None) -> pd.DataFrame:
        """Return a table with these columns added, except empty ones and those that it has already.

        `recall`, (N,): the recall of each point of the map, added as a column; NaN where it was not measured.
        """
        columns = self.columns | ({} if recall is None else {"recall": _texts(recall)})
        new = {name: values for name, values in columns.items() if name not in table and not set(values) <= {"", "0"}}
        return table.assign(**new)


def annotation_sums(cache: Path, out: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file of annotations by its name; None if it cannot be read."""
    return {path.name: _sha256(path) for path in (*_scores_file(out), *prediction_files(cache))}


def read_annotations(table: pd.DataFrame, cache: Path, out: Path, scores: pd.DataFrame | None = None) -> Annotations:
    """Read the scores and the predictions of a cache.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
        The metadata, all strings.
    cache, out : Path
        The cache folder, which holds the predictions, and the output folder, which holds the scores.
    scores : pandas.DataFrame with N rows, optional
        The scores, in the order of `table`. None: they are read from their file, if it exists.
    """
    columns: dict[str, list[str]] = {}
    notes: list[str] = []
    if scores is not None:
        columns = _score_columns(scores)
    else:
        for path in _scores_file(out):
            try:
                columns = _score_columns(_read_scores(table, path, cache))
            except CacheError as error:
                notes.append(f"not shown: {error}")
            except (KeyError, ValueError, OverflowError) as error:
                notes.append(f"not shown: {path.name} holds something else than scores: {error}")
    return Annotations(columns | _prediction_columns(table, prediction_files(cache), notes), notes)


def _scores_file(out: Path) -> list[Path]:
    """Return the most detailed score file of an output folder, in a list that is empty if there is none."""
    return [path for name in reversed(SCORES) if (path := out / name).is_file()][:1]


def _read_scores(table: pd.DataFrame, path: Path, cache: Path) -> pd.DataFrame:
    """Return the scores in a file, in the order of the table's rows."""
    if not _scores_match_embeddings(path.parent, cache):
        raise CacheError(f"{path.name} is of earlier embeddings; gpuvis outliers --overwrite makes it again")
    scores = read_table(path)
    return _by_row(scores, table, path) if "row" in scores else _by_name(scores, table, path)


def _score_columns(scores: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of scores that a page shows; the scores may hold numbers, or strings read from a file."""
    numbers = {name: scores[name].replace("", "nan").to_numpy(np.float64) for name in MEASURES if name in scores}
    columns = {name: _texts(values) for name, values in numbers.items()}
    if set(scores) >= SUGGESTION_COLUMNS:
        word, number = (scores[name].to_numpy(object) for name in (SUGGESTED_WORD, SUGGESTED_NUMBER))
        likely = numbers[SUSPICION] >= LIKELY
        columns[SUSPECT] = scores[SUSPECT].tolist()
        columns[SUGGESTED] = np.where(likely, np.where(word == "", number, word), "").tolist()
    return columns | {name: scores[name].astype("string").fillna("").tolist() for name in COUNTS if name in scores}


def _scores_match_embeddings(out: Path, cache: Path) -> bool:
    """Return whether the scores are those of the current embeddings; True also if they cannot be compared."""
    run = ScoresRecord.read(out / RECORD)
    try:
        return not run or run.input.fingerprint.get(EMBEDDINGS) == fingerprint.of_tensor(cache / EMBEDDINGS)
    except OSError:
        return True


def _by_row(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Sort scores by their column `row`, after checking that they are of the same samples as the table."""
    position = {row: k for k, row in enumerate(scores["row"].tolist())}
    order = [position.get(str(row), -1) for row in range(len(table))]
    shared = [name for name in (FILE_NAME, NUMBER) if name in scores and has_values(table, name)]
    if len(scores) == len(table) and min(order) >= 0:
        scores = scores.iloc[order].reset_index(drop=True)
        if all(scores[name].tolist() == table[name].tolist() for name in shared):
            return scores
    raise CacheError(f"{path.name} is of other samples; gpuvis outliers --overwrite makes it again")


def _by_name(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Match scores to the rows of the table by file name; rows without scores become blank."""
    if FILE_NAME not in table or FILE_NAME not in scores or scores[FILE_NAME].duplicated().any():
        raise CacheError(
            f"{path.name} cannot be matched to rows: its file names or those of {TABLE} are missing, "
            "or a name occurs twice"
        )
    return scores.set_index(FILE_NAME).reindex(table[FILE_NAME]).fillna("").reset_index(drop=True)


def _texts(values: np.ndarray) -> list[str]:
    """Return numbers as text with four decimal places; blank for NaN."""
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values.tolist()]
