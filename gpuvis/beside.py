"""What lies beside a map and is shown with it: scores of its samples, and predictions of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis import fingerprint
from gpuvis.errors import CacheError
from gpuvis.folders import COLUMNS, SCORES

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.pages import Page

NAME, NUMBER, WORD, _ = COLUMNS
MISSED, CORRECT = "mis_", "correct_"  # how tables of predictions begin: files that a model has missed, or not
MEASURES = ("suspicion", "outlier_score", "margin", "isolation")
COUNTS = ("near_duplicates", "near_duplicates_other_label", "near_duplicate_row", "duplicates")
LIKELY = 0.5  # suspicion from which on the suggested label is nearer than the given one


def described(page: Page, cache: Path, out: Path) -> dict[str, Any]:
    """Return what a page shows, with what tells the files beside it from others, ready for JSON."""
    files = {path.name: fingerprint.of_file(path) for path in (*_scores(out), *_predictions(cache))}
    return {**page.describe(cache), "beside": files}


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
    notes = []
    for read, paths in ((_of_scores, _scores(out)), (_of_predictions, _predictions(cache))):
        try:
            found |= read(table, paths)
        except (CacheError, KeyError, ValueError) as error:
            notes.append(f"not shown: {error}")
    if recall is not None:
        found["recall"] = _texts(recall)
    said = {name: values for name, values in found.items() if name not in table and not set(values) <= {"", "0"}}
    return table.assign(**said), notes


def _scores(out: Path) -> list[Path]:
    """Return the table of scores that tells most, if there is one."""
    return [path for name in reversed(SCORES) if (path := out / name).is_file()][:1]


def _predictions(cache: Path) -> list[Path]:
    return sorted(path for start in (MISSED, CORRECT) for path in cache.glob(f"{start}*.csv"))


def _of_scores(table: pd.DataFrame, paths: list[Path]) -> dict[str, Any]:
    """Return the columns of scores, in the order of the rows."""
    from gpuvis.table import read

    for path in paths:
        scores = read(path)
        scores = _by_row(scores, table, path) if "row" in scores else _by_name(scores, table, path)
        numbers = {name: scores[name].replace("", "nan").to_numpy(np.float64) for name in MEASURES if name in scores}
        found: dict[str, Any] = {name: _texts(values) for name, values in numbers.items()}
        if "suspicion" in found:
            word, number = (scores[f"suggested_{kind}_label"].to_numpy(object) for kind in ("word", "num"))
            likely = numbers["suspicion"] >= LIKELY
            found["suspect"] = scores["suspect"].tolist()
            found["suggested_label"] = np.where(likely, np.where(word == "", number, word), "").tolist()
        return found | {name: scores[name].tolist() for name in COUNTS if name in scores}
    return {}


def _by_row(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    order = np.argsort(scores["row"].to_numpy(np.int64), kind="stable")
    scores = scores.iloc[order].reset_index(drop=True)
    known = [name for name in (NAME, NUMBER) if name in table and name in scores]
    same = scores["row"].tolist() == [str(row) for row in range(len(table))]
    same = same and all(scores[name].tolist() == table[name].tolist() for name in known)
    if not same:
        raise CacheError(f"{path.name} is of other samples; gpuvis outliers --overwrite makes it anew")
    return scores


def _by_name(scores: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    if NAME not in table or NAME not in scores or scores[NAME].duplicated().any():
        raise CacheError(f"{path.name} cannot be told to rows: file names are missing, or there twice")
    return scores.set_index(NAME).reindex(table[NAME]).fillna("").reset_index(drop=True)


def _of_predictions(table: pd.DataFrame, paths: list[Path]) -> dict[str, Any]:
    """Return what each model predicted, and whether all, some or none of them were right."""
    if NAME not in table:
        return {}
    found: dict[str, Any] = {}
    names, missed, judged = table[NAME], np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    for model, is_missed, rows in _by_model(paths):
        known = names.isin(rows.index).to_numpy() & (names != "").to_numpy()
        told = rows.reindex(names)
        for title, column in (("predicted", "predicted_label"), ("probability", "top3_prob_1")):
            if column == "predicted_label" and "predicted_word_label" in told:
                word, number = told["predicted_word_label"], told.get("predicted_label", told["predicted_word_label"])
                values = word.where(word != "", number)
            elif column in told:
                values = told[column]
            else:
                continue
            before = found.get(f"{title} {model}", np.full(len(table), "", object))
            found[f"{title} {model}"] = np.where(known & (before == ""), values.fillna("").to_numpy(object), before)
        judged += known
        missed += known & is_missed
    kinds = {"": judged == 0, "correct by all": missed == 0, "missed by all": missed == judged}
    together = np.select(list(kinds.values()), list(kinds), "missed by some")
    return {"predictions": together.tolist(), **{name: values.tolist() for name, values in found.items()}}


def _by_model(paths: list[Path]) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """Give the tables of predictions by file name, each with its model and whether it is of files that were missed."""
    from gpuvis.table import read

    for path in paths:
        is_missed = path.name.startswith(MISSED)
        rows = read(path)
        if NAME not in rows:
            raise CacheError(f"{path.name} has no column {NAME}")
        model = path.stem.removeprefix(MISSED if is_missed else CORRECT)
        yield model, is_missed, rows.drop_duplicates(NAME).set_index(NAME)


def _texts(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values.tolist()]
