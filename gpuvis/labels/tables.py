"""The two tables of scores: one that other viewers read, one with everything."""

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

BOTTOM = 0.05  # share of a class that is its bottom
DIGITS = 6  # after the point, of what no other program counts on


def of_centroids(table: pd.DataFrame, classes: Classes, found: Outliers) -> pd.DataFrame:
    """Return `scores_centroid.csv`: the similarity of each row to the centroid of its class, and its rank there.

    The worst come first; of equal scores, in the order of labels, then of names. Ranks of equal scores are in the
    order of the rows; rows without a score have the last ranks of their class; rows without a class, rank 0 of 0.
    """
    codes, own = classes.codes, found.similarities.own
    frame = _head(table, classes)
    frame["sim_to_centroid"], frame["outlier_score"] = own, 1 - own
    by_class = frame.groupby(codes)
    ranks = by_class["outlier_score"].rank(method="first", ascending=False, na_option="bottom")
    sizes = np.where(codes >= 0, np.bincount(codes + 1)[codes + 1], 0)
    frame["class_size"], frame["rank_in_class"] = sizes, np.where(codes >= 0, ranks, 0).astype(np.int64)
    frame["pct_rank_in_class"] = np.where(codes >= 0, frame["rank_in_class"] / np.maximum(sizes, 1), np.nan)
    bottom = by_class["sim_to_centroid"].quantile(BOTTOM).reindex(codes).to_numpy()
    frame["is_bottom_5pct"] = np.where(own <= bottom, "True", "False")  # no NaN is below anything
    order = frame.assign(label=codes).sort_values(
        ["outlier_score", "label", FILE_NAME], ascending=[False, True, True], kind="stable", na_position="last"
    )
    return order.drop(columns="label")


def of_neighbors(table: pd.DataFrame, classes: Classes, found: Outliers) -> pd.DataFrame:
    """Return `scores_neighbors.csv`: the votes of the nearest rows on each label, and every other score of a row.

    The most suspicious labels come first, of equal ones in the order of the rows; what nothing is known of is the last.
    """
    votes, near = found.votes, found.similarities
    margin = near.without - near.other
    frame = _head(table, classes)
    frame.insert(0, "row", np.arange(len(table)))
    frame[SUSPICION] = votes.suspicion
    frame[SUSPECT] = np.where(votes.suspect, "yes", "")
    frame[SUGGESTED_NUMBER] = _named(classes.numbers, votes.suggested)
    frame[SUGGESTED_WORD] = _named(classes.words, votes.suggested)
    frame["disagreement"] = votes.disagreement
    frame["sim_to_centroid_without"] = near.without
    frame["nearest_other_num_label"] = _named(classes.numbers, near.nearest)
    frame["nearest_other_word_label"] = _named(classes.words, near.nearest)
    frame["sim_to_nearest_other"] = near.other
    frame["margin"] = margin
    frame["outlier_score"] = 1 - near.own
    frame["isolation"] = found.isolation
    for name in COUNTS:
        frame[name] = _or_blank(getattr(found, name))
    frame = frame.iloc[np.argsort(-votes.suspicion, kind="stable")]
    return frame.round(DIGITS)


def _head(table: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """Return the usual columns, blank where the table has none, with the number of each row's class if it has one."""
    frame = pd.DataFrame({name: table.get(name, "") for name in COLUMNS}, index=table.index, dtype="str")
    if not bool((frame[NUMBER] != "").any()):
        frame[NUMBER] = _named(classes.numbers, classes.codes)
    return frame


def _named(names: Sequence[str], codes: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.array([*names, ""], object)[codes]
    return found


def _or_blank(whole: np.ndarray) -> pd.Series:
    return pd.Series(whole, dtype="Int64").where(whole >= 0)


def worst(scores: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """Return the most suspicious labels, ready for JSON; `scores`: what `of_neighbors` gave."""
    suggested = (scores[SUGGESTED_NUMBER] != "") | (scores[SUGGESTED_WORD] != "")
    shown = scores[suggested & scores[SUSPICION].notna()].head(count)
    names = ("row", FILE_NAME, NUMBER, WORD, SUSPICION, SUSPECT, SUGGESTED_NUMBER, SUGGESTED_WORD)
    rows: list[dict[str, Any]] = shown[list(names)].to_dict("records")
    return rows


def lines(found: list[dict[str, Any]]) -> list[str]:
    """Return what `worst` gave as lines of text, under a line of names."""
    rows = [
        (
            f"{one['suspicion']:.4f}{'!' if one['suspect'] else ' '}",
            str(one["row"]),
            _short(one[WORD] or one[NUMBER]),
            _short(one[SUGGESTED_WORD] or one[SUGGESTED_NUMBER]),
            _short(one[FILE_NAME]),
        )
        for one in found
    ]
    table = [(SUSPICION, "row", "label", "suggested", "file"), *rows] if rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def _short(text: str, most: int = 48) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
