"""What lies beside a map and is shown with it: scores of its samples, and predictions of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io import fingerprint
from gpuvis.io.folders import COLUMNS, EMBEDDINGS, SCORES, TABLE
from gpuvis.page import columns, image_links
from gpuvis.results import predictions, schema

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.page.options import Page

NAME, NUMBER, _, _ = COLUMNS
RECORD = "scores_run.json"
MEASURES = (columns.SUSPICION, "outlier_score", "margin", "isolation")
JUDGED = {columns.SUSPICION, columns.SUSPECT, "suggested_num_label", "suggested_word_label"}
COUNTS = (
    *("near_duplicates", "near_duplicates_other_label", "near_duplicate_row"),
    *("duplicates", "duplicates_other_label"),
)
LIKELY = 0.5  # suspicion from which on the suggested label is nearer than the given one


def described(page: Page, cache: Path, out: Path, table: pd.DataFrame | None = None) -> dict[str, Any]:
    """Return what a page shows, with what tells the files beside it from others, ready for JSON.

    `table`, that of the cache, is read if it is needed and not given.
    """
    paths = (*_scores(out), *predictions.files(cache))
    told = {**page.describe(cache), "beside": {path.name: _sum(path) for path in paths}}
    return told | ({"images": _images(page, cache, table)} if page.thumbnails else {})


def _images(page: Page, cache: Path, table: pd.DataFrame | None) -> str | None:
    """Return what tells the images of thumbnails from others."""
    from gpuvis.io.table import read

    root = image_links.folder_of(page.image_root, cache)
    try:
        rows = read(cache / TABLE) if table is None else table
    except CacheError:
        return None
    return image_links.stamp(root, rows[NAME].tolist()) if root and NAME in rows else None


def _sum(path: Path) -> str | None:
    try:
        return fingerprint.of_file(path)
    except OSError:
        return None  # it cannot be shown either


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a folder's scores; None where there is none, or it is not one of ours."""
    return schema.read(folder / RECORD, schema.SCORES)


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
        Why a file is not shown, or not all of it.
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
    found |= predictions.of_table(table, predictions.files(cache), notes)
    if recall is not None:
        found["recall"] = _texts(recall)
    said = {name: values for name, values in found.items() if name not in table and not set(values) <= {"", "0"}}
    return table.assign(**said), notes


def _scores(out: Path) -> list[Path]:
    """Return the table of scores that tells most, if there is one."""
    return [path for name in reversed(SCORES) if (path := out / name).is_file()][:1]


def _of_scores(table: pd.DataFrame, path: Path, cache: Path) -> dict[str, Any]:
    """Return the columns of scores, in the order of the rows."""
    from gpuvis.io.table import read

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


def _texts(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values.tolist()]
