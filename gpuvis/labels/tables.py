"""Build the tables scores_centroid.csv, in the format that other viewers read, and scores_neighbors.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gpuvis.io.schema import (
    COLUMNS,
    COUNTS,
    FILE_NAME,
    NUMBER,
    SUGGESTED_NUMBER,
    SUGGESTED_WORD,
    SUSPECT,
    SUSPICION,
    WORD,
)
from gpuvis.labels.classes import Classes
from gpuvis.labels.outliers import Outliers

BOTTOM = 0.05  # quantile of similarities in a class below which a row is at the bottom
DIGITS = 6  # decimal places in the table with all scores; the other one keeps full precision, as viewers expect


def of_centroids(table: pd.DataFrame, classes: Classes, scores: Outliers) -> pd.DataFrame:
    """Return the table `scores_centroid.csv`: the similarity of each row to the centroid of its class, and its rank.

    The worst rows come first; rows with equal scores are sorted by label, then by name. In a class, rows with equal
    scores are ranked in the order of the matrix, and rows without a score come last. Rows without a class have rank 0
    of 0.

    Parameters
    ----------
    table : DataFrame with N rows
        The metadata.
    classes : Classes
    scores : Outliers
    """
    codes, own = classes.codes, scores.similarities.own
    frame = _head(table, classes)
    frame["sim_to_centroid"], frame["outlier_score"] = own, 1 - own
    by_class = frame.groupby(codes)
    ranks = by_class["outlier_score"].rank(method="first", ascending=False, na_option="bottom")
    sizes = np.where(codes >= 0, np.bincount(codes + 1)[codes + 1], 0)
    frame["class_size"], frame["rank_in_class"] = sizes, np.where(codes >= 0, ranks, 0).astype(np.int64)
    frame["pct_rank_in_class"] = np.where(codes >= 0, frame["rank_in_class"] / np.maximum(sizes, 1), np.nan)
    bottom = by_class["sim_to_centroid"].quantile(BOTTOM).reindex(codes).to_numpy()
    frame["is_bottom_5pct"] = np.where(own <= bottom, "True", "False")  # NaN compares as False
    order = frame.assign(label=codes).sort_values(
        ["outlier_score", "label", FILE_NAME], ascending=[False, True, True], kind="stable", na_position="last"
    )
    return order.drop(columns="label")


def of_neighbors(table: pd.DataFrame, classes: Classes, scores: Outliers) -> pd.DataFrame:
    """Return the table `scores_neighbors.csv`: the votes of neighbours on each label, and every other score of a row.

    The most suspicious labels come first; equally suspicious ones are in the order of the matrix; rows whose suspicion
    is not defined come last. Parameters as in `of_centroids`.
    """
    votes, similarities = scores.votes, scores.similarities
    margin = similarities.without - similarities.other
    frame = _head(table, classes)
    frame.insert(0, "row", np.arange(len(table)))
    frame[SUSPICION] = votes.suspicion
    frame[SUSPECT] = np.where(votes.suspect, "yes", "")
    frame[SUGGESTED_NUMBER] = _named(classes.numbers, votes.suggested)
    frame[SUGGESTED_WORD] = _named(classes.words, votes.suggested)
    frame["disagreement"] = votes.disagreement
    frame["sim_to_centroid_without"] = similarities.without
    frame["nearest_other_num_label"] = _named(classes.numbers, similarities.nearest)
    frame["nearest_other_word_label"] = _named(classes.words, similarities.nearest)
    frame["sim_to_nearest_other"] = similarities.other
    frame["margin"] = margin
    frame["outlier_score"] = 1 - similarities.own
    frame["isolation"] = scores.isolation
    for name in COUNTS:
        frame[name] = _or_blank(getattr(scores, name))
    frame = frame.iloc[np.argsort(-votes.suspicion, kind="stable")]
    return frame.round(DIGITS)


def _head(table: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """Return the standard columns of metadata, blank if missing, with the numbers of classes filled in."""
    frame = pd.DataFrame({name: table.get(name, "") for name in COLUMNS}, index=table.index, dtype="str")
    if not bool((frame[NUMBER] != "").any()):
        frame[NUMBER] = _named(classes.numbers, classes.codes)
    return frame


def _named(names: Sequence[str], codes: np.ndarray) -> np.ndarray:
    """Return the name of each row's class; blank for -1."""
    named: np.ndarray = np.array([*names, ""], object)[codes]
    return named


def _or_blank(counts: np.ndarray) -> pd.Series:
    """Return counts as a column, blank where they are below 0."""
    return pd.Series(counts, dtype="Int64").where(counts >= 0)


def worst(scores: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """Return the most suspicious labels that have a suggestion, ready for JSON.

    Parameters
    ----------
    scores : DataFrame
        As `of_neighbors` returns it.
    count : int
        How many rows to return at most.
    """
    suggested = (scores[SUGGESTED_NUMBER] != "") | (scores[SUGGESTED_WORD] != "")
    suspicious = scores[suggested & scores[SUSPICION].notna()].head(count)
    names = ("row", FILE_NAME, NUMBER, WORD, SUSPICION, SUSPECT, SUGGESTED_NUMBER, SUGGESTED_WORD)
    rows: list[dict[str, Any]] = suspicious[list(names)].to_dict("records")
    return rows


def lines(worst: list[dict[str, Any]]) -> list[str]:
    """Return the rows of `worst` as lines of text, below a line with the names of the columns."""
    rows = [
        (
            f"{row['suspicion']:.4f}{'!' if row['suspect'] else ' '}",
            str(row["row"]),
            _short(row[WORD] or row[NUMBER]),
            _short(row[SUGGESTED_WORD] or row[SUGGESTED_NUMBER]),
            _short(row[FILE_NAME]),
        )
        for row in worst
    ]
    table = [(SUSPICION, "row", "label", "suggested", "file"), *rows] if rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def _short(text: str, most: int = 48) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
