"""What lies beside a map and is shown with it: scores of its samples, and predictions of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis import fingerprint
from gpuvis.errors import CacheError
from gpuvis.folders import COLUMNS, EMBEDDINGS, SCORES
from gpuvis.page import columns

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.pages import Page

NAME, NUMBER, _, _ = COLUMNS
RECORD = "scores_run.json"
MISSED, CORRECT = "mis_", "correct_"  # how tables of predictions begin: files that a model has missed, or not
MEASURES = (columns.SUSPICION, "outlier_score", "margin", "isolation")
JUDGED = {columns.SUSPICION, columns.SUSPECT, "suggested_num_label", "suggested_word_label"}
COUNTS = (
    *("near_duplicates", "near_duplicates_other_label", "near_duplicate_row"),
    *("duplicates", "duplicates_other_label"),
)
LIKELY = 0.5  # suspicion from which on the suggested label is nearer than the given one


def described(page: Page, cache: Path, out: Path) -> dict[str, Any]:
    """Return what a page shows, with what tells the files beside it from others, ready for JSON."""
    return {**page.describe(cache), "beside": {path.name: _sum(path) for path in (*_scores(out), *_predictions(cache))}}


def _sum(path: Path) -> str | None:
    try:
        return fingerprint.of_file(path)
    except OSError:
        return None  # it cannot be shown either


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a folder's scores; None where there is none, or it is not one of ours."""
    try:
        run = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        parts = run["input"], run["input"]["fingerprint"], run["outputs"], run["found"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return run if all(isinstance(part, dict) for part in parts) and isinstance(run.get("worst"), list) else None


def joined(table: pd.DataFrame, recall: np.ndarray | None, cache: Path, out: Path) -> tuple[pd.DataFrame, list[str]]:
    """Add columns to the table of a map.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
        All strings.
    recall : ndarray of shape (N,), optional
        Of each point; NaN where it is not known.
    cache, out : Path
        The folders in which predictions and scores lie.

    Returns
    -------
    table : pandas.DataFrame
        With more columns, all strings, blank where nothing is known. None that says nothing, and none that is there
        already.
    notes : list of str
        Why a file is not shown.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    for path in _scores(out):
        try:
            found |= _of_scores(table, path, cache)
        except CacheError as error:
            notes.append(f"not shown: {error}")
        except (KeyError, ValueError, OverflowError) as error:
            notes.append(f"not shown: {path.name} holds something else than scores: {error}")
    found |= _of_predictions(table, _predictions(cache), notes)
    if recall is not None:
        found["recall"] = _texts(recall)
    said = {name: values for name, values in found.items() if name not in table and not set(values) <= {"", "0"}}
    return table.assign(**said), notes


def _scores(out: Path) -> list[Path]:
    """Return the table of scores that tells most, if there is one."""
    return [path for name in reversed(SCORES) if (path := out / name).is_file()][:1]


def _predictions(cache: Path) -> list[Path]:
    return [path for start in (MISSED, CORRECT) for path in sorted(cache.glob(f"{start}*.csv")) if path.is_file()]


def _of_scores(table: pd.DataFrame, path: Path, cache: Path) -> dict[str, Any]:
    """Return the columns of scores, in the order of the rows."""
    from gpuvis.table import read

    if not _is_of(path.parent, cache):
        raise CacheError(f"{path.name} is of earlier embeddings; gpuvis outliers --overwrite makes it anew")
    scores = read(path)
    scores = _by_row(scores, table, path) if "row" in scores else _by_name(scores, table, path)
    numbers = {name: scores[name].replace("", "nan").to_numpy(np.float64) for name in MEASURES if name in scores}
    found: dict[str, Any] = {name: _texts(values) for name, values in numbers.items()}
    if set(scores) >= JUDGED:
        word, number = (scores[f"suggested_{kind}_label"].to_numpy(object) for kind in ("word", "num"))
        likely = numbers[columns.SUSPICION] >= LIKELY
        found[columns.SUSPECT] = scores[columns.SUSPECT].tolist()
        found[columns.SUGGESTED] = np.where(likely, np.where(word == "", number, word), "").tolist()
    return found | {name: scores[name].tolist() for name in COUNTS if name in scores}


def _is_of(out: Path, cache: Path) -> bool:
    """Tell whether scores are of the embeddings that are there; of those that are not, nothing is known."""
    run = read_record(out)
    try:
        return not run or run["input"]["fingerprint"].get(EMBEDDINGS) == fingerprint.of_tensor(cache / EMBEDDINGS)
    except OSError:
        return True


def _by_row(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    place = {row: k for k, row in enumerate(scores["row"].tolist())}
    order = [place.get(str(row), -1) for row in range(len(table))]
    known = [name for name in (NAME, NUMBER) if name in table and name in scores and bool((table[name] != "").any())]
    if len(scores) == len(table) and min(order) >= 0:
        scores = scores.iloc[order].reset_index(drop=True)
        if all(scores[name].tolist() == table[name].tolist() for name in known):
            return scores
    raise CacheError(f"{path.name} is of other samples; gpuvis outliers --overwrite makes it anew")


def _by_name(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    if NAME not in table or NAME not in scores or scores[NAME].duplicated().any():
        raise CacheError(f"{path.name} cannot be told to rows: file names are missing, or there twice")
    return scores.set_index(NAME).reindex(table[NAME]).fillna("").reset_index(drop=True)


def _of_predictions(table: pd.DataFrame, paths: list[Path], notes: list[str]) -> dict[str, Any]:
    """Return what each model predicted, and whether all, some or none of them were right.

    A name that is there twice, of the samples or of the predictions, tells nothing.
    """
    if NAME not in table:
        return {}
    found: dict[str, Any] = {}
    names = table[NAME]
    alone = ((names != "") & ~names.duplicated(keep=False)).to_numpy()
    missed, judged = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    by_model: dict[str, np.ndarray] = {}
    for model, is_missed, rows in _by_model(paths, notes):
        before = by_model.get(model, np.zeros(len(table), bool))
        known = names.isin(rows.index).to_numpy() & alone & ~before
        by_model[model] = before | known
        for title, values in ((columns.PREDICTED, _labels(rows)), ("probability ", rows.get("top3_prob_1"))):
            if values is not None:
                column = found.setdefault(f"{title}{model}", np.full(len(table), "", object))
                column[known] = values.reindex(names[known]).to_numpy(object)
        judged += known
        missed += known & is_missed
    kinds = {"": judged == 0, "correct by all": missed == 0, "missed by all": missed == judged}
    together = np.select(list(kinds.values()), list(kinds), "missed by some")
    return {"predictions": together.tolist(), **{name: values.tolist() for name, values in found.items()}}


def _labels(rows: pd.DataFrame) -> pd.Series | None:
    """Return the predicted words, or numbers where there are none."""
    word, number = rows.get("predicted_word_label"), rows.get("predicted_label")
    return number if word is None else word if number is None else word.where(word != "", number)


def _by_model(paths: list[Path], notes: list[str]) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """Give the tables of predictions by file name, each with its model and whether it is of files that were missed."""
    from gpuvis.table import read

    for path in paths:
        is_missed = path.name.startswith(MISSED)
        try:
            rows = read(path)
            if NAME not in rows:
                raise CacheError(f"{path.name} has no column {NAME}")
        except CacheError as error:
            notes.append(f"not shown: {error}")
            continue
        model = path.stem.removeprefix(MISSED if is_missed else CORRECT)
        yield model, is_missed, rows.drop_duplicates(NAME, keep=False).set_index(NAME)


def _texts(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values.tolist()]
