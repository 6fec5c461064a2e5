"""Prepare the columns of a page: as classes, numbers or dates on a scale, or plain texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from gpuvis.io.schema import (
    COLUMNS,
    FILE_NAME,
    ISOLATION,
    MARGIN,
    NUMBER,
    OUTLIER_SCORE,
    PARENT,
    SUSPECT,
    SUSPICION,
    WORD,
)
from gpuvis.page import palette

if TYPE_CHECKING:
    import pandas as pd

LABELS = (WORD, NUMBER)  # columns that may hold the class of a point; the first that exists is used
SUGGESTED = "suggested_label"  # name of the column with the labels that neighbours suggest
YES = "yes"  # the value of a suspect in the column of suspects
DOUBTS = (SUSPICION, OUTLIER_SCORE)  # columns that may rank doubtful labels; the first that exists is used
PREDICTED = "predicted "  # start of the names of columns with predicted labels
PROBABILITY = "probability "  # and of those with their probabilities
MEASURES = {*DOUBTS, MARGIN, ISOLATION, "recall"}  # always on a scale, even if all values are 0 or 1
MEANINGS = {  # of columns that gpuvis adds, for readers who see them for the first time
    "recall": "the share of its nearest neighbours that this map keeps near",
    SUSPICION: "from 0 to 1; above 0.5 another class is nearer than its own",
    SUSPECT: "whether its label is worth a second look",
    SUGGESTED: "the other class that is nearest",
    OUTLIER_SCORE: "how unlike its class it is",
    MARGIN: "how much more it is like its own class than like the next one",
    ISOLATION: "how far off its nearest neighbours are; large: an odd image",
    "near_duplicates": "how many others are as good as equal",
    "duplicates": "how many others are equal",
    "predictions": "whether all models were right, or none",
}
SCALE_VALUES = 256  # a column with more distinct numbers is shown on a scale, not as classes
# Numbers that NumPy and a browser read alike: not 1_000 or 0x10, nor digits of other scripts.
DECIMAL = re.compile(r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)? *")
ID_DIGITS = 16  # whole numbers of so many digits are identifiers, which a scale would not tell apart
# Dates as ISO 8601 and cameras (EXIF) write them: 2024-05-01, 2024:05:01 17:30:12, 2024-05-01T17:30:12.25Z.
DATE = re.compile(r"[0-9]{4}([-/:])[0-9]{2}\1[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|\+00:00)?)?")
DAY, MINUTE = 86_400_000, 60_000  # milliseconds
FEW_DAYS = 3  # up to here, dates are shown with the time of day
LARGEST = 1e300  # the largest number on a scale; differences of larger ones overflow


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the table.

    Attributes
    ----------
    name : str
    texts : pandas.Series of N str
        The value of each row; blank if it has none.
    values : list of str
        The distinct values in the order of the legend; empty if nearly all rows differ.
    codes : ndarray of shape (N,), unsigned
        For each row the index of its value in `values`; of length 0 if `values` is empty.
    colors : list of str
        The colour of each value.
    families : list of str
        The colour of each value by its parent class: one hue for each parent, shades of it for its classes. Empty if
        there are no parents.
    is_scale : bool
        The values are measurements or dates, not names of classes.
    date_unit : int
        If the values are dates: how many milliseconds are told apart, a day or a minute; else 0.
    """

    name: str
    texts: pd.Series
    values: list[str]
    codes: np.ndarray
    colors: list[str]
    families: list[str]
    is_scale: bool
    date_unit: int = 0

    @property
    def meaning(self) -> str:
        """What the column tells, if gpuvis has added it; else empty."""
        if self.name.startswith(PREDICTED):
            return f"the class that the model {self.name.removeprefix(PREDICTED)} says it is"
        if self.name.startswith(PROBABILITY):
            return f"how sure the model {self.name.removeprefix(PROBABILITY)} is, from 0 to 1"
        return MEANINGS.get(self.name, "")

    @cached_property
    def numbers(self) -> np.ndarray:
        """The values as numbers, NaN where they are blank; dates as whole units, in milliseconds since 1970."""
        if self.date_unit:
            return _milliseconds(self.texts) // self.date_unit * self.date_unit
        numbers: np.ndarray = np.where(self.texts == "", "nan", self.texts).astype(np.float64)
        return numbers

    def written(self, number: float) -> str:
        """Write a number of a scale: a date as such."""
        if not self.date_unit:
            return f"{number:.6g}"
        unit: Literal["D", "m"] = "D" if self.date_unit == DAY else "m"
        return str(np.datetime_as_string(np.datetime64(int(number), "ms"), unit)).replace("T", " ")


def of_table(table: pd.DataFrame, color_by: str | None) -> list[Column]:
    """Return the columns of a table of strings.

    Parameters
    ----------
    table : pandas.DataFrame with N rows
        All strings.
    color_by : str or None
        Name of the column that colours the points. It gets classes or a scale, however many distinct values it has.
    """
    uncolored = [_column(table[name], name == color_by) for name in table.columns]
    by_name = {column.name: column for column in uncolored}
    colored = [_colored(column, by_name) for column in uncolored]
    labels = [column for name in LABELS[::-1] for column in colored if column.name == name]
    label_colors: dict[str, str] = {}
    for column in labels:
        label_colors |= dict(zip(column.values, column.colors, strict=True))
    return [_with_label_colors(column, label_colors) if _holds_labels(column.name) else column for column in colored]


def _holds_labels(name: str) -> bool:
    """Return whether a column holds suggested or predicted labels."""
    return name == SUGGESTED or name.startswith(PREDICTED)


def _with_label_colors(column: Column, label_colors: dict[str, str]) -> Column:
    """Give suggested or predicted labels the same colours as the labels themselves."""
    label_colors = label_colors | {"": palette.GREY}
    pairs = zip(column.values, column.colors, strict=True)
    return replace(column, colors=[str(label_colors.get(value, color)) for value, color in pairs])


def _column(texts: pd.Series, colors_points: bool) -> Column:
    name = str(texts.name)
    codes, uniques = texts.factorize()
    values = [str(value) for value in uniques.tolist()]
    values_recur = len(values) <= max(SCALE_VALUES, len(codes) // 2)
    # The usual columns name classes and files, even if all their values are numbers.
    names_classes = name in COLUMNS or _holds_labels(name)
    date_unit = 0 if names_classes else _date_unit(values)
    is_scale = date_unit > 0 or (not names_classes and _is_scale(values, name in MEASURES))
    if (name == FILE_NAME or is_scale or not values_recur) and not (colors_points and not is_scale):
        values, codes = [], codes[:0]
    return Column(name, texts, values, codes, [], [], is_scale, date_unit)


def _is_scale(values: list[str], is_measure: bool) -> bool:
    """Return whether distinct values are measurements: all are numbers, and they are many or not whole."""
    present = [value for value in values if value]
    if not present or not all(map(DECIMAL.fullmatch, present)):
        return False
    numbers = np.array(present, np.float64)
    fits = np.abs(numbers).max() <= LARGEST and not any(map(_is_identifier, present))
    return bool(fits and (is_measure or np.any(numbers % 1) or len(present) > SCALE_VALUES))


def _date_unit(values: list[str]) -> int:
    """Return what is told apart of distinct dates: days or minutes; 0 if they are few, or not all are dates."""
    present = [value for value in values if value]
    if len(present) <= palette.CLEAR or not all(map(DATE.fullmatch, present)):
        return 0
    try:
        span = np.ptp(_milliseconds(present))
    except ValueError:  # there is no such day
        return 0
    return DAY if span > FEW_DAYS * DAY else MINUTE


def _milliseconds(texts: Iterable[str]) -> np.ndarray:
    """Return the minutes of dates in milliseconds since 1970, NaN where a text is blank."""
    dates = np.array([f"{text[:4]}-{text[5:7]}-{text[8:16]}" if text else "NaT" for text in texts], "datetime64[m]")
    return np.where(np.isnat(dates), np.nan, dates.astype("datetime64[ms]").astype(np.float64))


def _is_identifier(text: str) -> bool:
    return len(text) >= ID_DIGITS and text.strip(" +-").isdecimal()


def _colored(column: Column, by_name: dict[str, Column]) -> Column:
    """Sort the values of a column and give each a colour.

    A class that has a number is coloured by it, so it keeps its colour where other classes are missing.
    """
    if not column.values:
        return column
    numbers = _class_numbers(column, by_name)
    if numbers is None:
        ranks = {value: rank for rank, value in enumerate(palette.in_order(column.values))}
        numbers = [ranks[value] for value in column.values]
    order = np.argsort(numbers, kind="stable")
    new_codes = np.empty(len(order), np.min_scalar_type(len(order) - 1))
    new_codes[order] = np.arange(len(order))
    colors = palette.colors(max(numbers) + 1)
    families = _families(column, by_name, numbers)
    return replace(
        column,
        values=[column.values[k] for k in order],
        codes=new_codes[column.codes],
        colors=[colors[numbers[k]] for k in order],
        families=[families[k] for k in order] if families else [],
    )


def _class_numbers(column: Column, by_name: dict[str, Column]) -> list[int] | None:
    """Return the class number of each value of a column; None if a value has no number, or two values share one."""
    numbered = by_name.get(NUMBER) if column.name == WORD else column
    codes = implied_codes(numbered, column) if numbered and numbered.values else None
    if numbered is None or codes is None:
        return None
    texts = [numbered.values[code] for code in codes]
    if not all(map(_is_class_number, texts)):
        return None
    numbers = [int(text) for text in texts]
    return numbers if len(set(numbers)) == len(numbers) and max(numbers) < palette.MOST else None


def _is_class_number(label: str) -> bool:
    return label.isdecimal() and len(label) < 5


def _families(column: Column, by_name: dict[str, Column], numbers: list[int]) -> list[str]:
    """Return the colour of each value by its parent class; empty if the table has no useful parents."""
    parent = by_name.get(PARENT)
    if column.name not in {WORD, NUMBER} or parent is None or not 1 < len(parent.values) < len(column.values):
        return []
    codes = implied_codes(parent, column)
    if codes is None:
        return []
    ranks = {value: rank for rank, value in enumerate(palette.in_order(parent.values))}
    parents = [ranks[parent.values[code]] for code in codes]
    if all(map(_is_class_number, parent.values)):  # then a parent's colour does not depend on the other parents
        parents = [int(parent.values[code]) for code in codes]
    return palette.families(parents, numbers)


def implied_codes(column: Column, leader: Column) -> np.ndarray | None:
    """Return the code of a column that each code of another column implies.

    Returns
    -------
    ndarray of shape (len(leader.values),), or None
        None if rows with the same code in `leader` differ in `column`.
    """
    codes = np.zeros(len(leader.values), column.codes.dtype)
    codes[leader.codes] = column.codes
    return codes if np.array_equal(codes[leader.codes], column.codes) else None


def review(columns: list[Column]) -> dict[str, int]:
    """Return the positions of the columns that the page's review of labels uses.

    Returns
    -------
    dict of str to int
        Positions of the columns `label`, `doubt`, `suspect` and `suggested`, without those that are missing; `yes` is
        the code of a suspect in its column.
    """
    position = {column.name: k for k, column in enumerate(columns) if column.values != [""]}
    scales = [name for name in DOUBTS if name in position and columns[position[name]].is_scale]
    used = {"label": next((position[name] for name in LABELS if name in position), None)}
    used["doubt"] = position[scales[0]] if scales else None
    if SUSPECT in position and YES in columns[position[SUSPECT]].values:
        used |= {"suspect": position[SUSPECT], "yes": columns[position[SUSPECT]].values.index(YES)}
    used["suggested"] = position.get(SUGGESTED)
    return {key: number for key, number in used.items() if number is not None}
