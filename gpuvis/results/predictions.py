"""What models predicted of the samples, from tables that lie beside a cache: which samples all of them missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpuvis.errors import CacheError
from gpuvis.io.folders import COLUMNS, TABLE
from gpuvis.page.columns import PREDICTED

if TYPE_CHECKING:
    import pandas as pd

NAME = COLUMNS[0]
MISSED, CORRECT = "mis_", "correct_"  # how the names of tables begin: of samples that a model has missed, or not


def files(cache: Path) -> list[Path]:
    """Return the tables of predictions in a folder, those of missed samples first."""
    return [path for start in (MISSED, CORRECT) for path in sorted(cache.glob(f"{start}*.csv")) if path.is_file()]


def of_table(table: pd.DataFrame, paths: list[Path], notes: list[str]) -> dict[str, list[str]]:
    """Return what each model predicted, and whether all of them, some or none were right.

    Of a sample that is in no table of a model nothing is known: the model may have been right or wrong, or have never
    seen it. So "by all" is said only where each model has the sample in a table of its own. A name that is there twice,
    of the samples or of the predictions, tells nothing.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
    paths : list of Path
        What `files` gave.
    notes : list of str
        Is added to where a table, or a part of it, cannot be shown.

    Returns
    -------
    dict of str to list of str
        Columns; none if there are no predictions.
    """
    if NAME not in table:
        notes += [f"not shown: {path.name}: {TABLE} has no column {NAME}" for path in paths]
        return {}
    names = table[NAME]
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
    from gpuvis.io.table import read

    for path in paths:
        is_missed = path.name.startswith(MISSED)
        try:
            rows = read(path)
            if NAME not in rows:
                raise CacheError(f"{path.name} has no column {NAME}")
        except CacheError as error:
            notes.append(f"not shown: {error}")
            continue
        strange = rows[NAME][~rows[NAME].isin(names)]
        if len(strange):
            notes.append(f"{path.name}: {_unmatched(strange, names, len(rows))}")
        if len(strange) < len(rows) or rows.empty:  # else it is of other samples: this model has not seen ours
            model = path.stem.removeprefix(MISSED if is_missed else CORRECT)
            yield model, is_missed, rows.drop_duplicates(NAME, keep=False).set_index(NAME)


def _unmatched(strange: pd.Series, names: pd.Series, rows: int) -> str:
    """Say what is to be done about predictions of samples that are not there."""
    example = next(filter(None, names), None)
    told = f"rows left out, which match no {NAME} of {TABLE}: {len(strange):,} of {rows:,}, as {strange.iloc[0]!r}"
    return f"{told}; write the names as they are there, as {example!r}" if example else f"{told}; it names no files"
