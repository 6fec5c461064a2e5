"""The columns of a page: classes, numbers on a scale, or plain texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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

LABELS = (WORD, NUMBER)  # what names the class of a point: the first that is there
# What a page knows of how far labels can be trusted, if the table has it.
SUGGESTED = "suggested_label"
YES = "yes"  # of a suspect
DOUBTS = (SUSPICION, OUTLIER_SCORE)  # by which the worst points come first: the first that is there
PREDICTED = "predicted "  # how the names of columns begin that hold labels too
MEASURES = {*DOUBTS, MARGIN, ISOLATION, "recall"}  # on a scale, also where all are 0 or 1
SCALE_VALUES = 256  # a column with more different numbers is drawn on a scale, not as classes
# What NumPy and a browser read alike: not 1_000 or 0x10, nor digits of other scripts.
DECIMAL = re.compile(r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)? *")
LARGEST = 1e300  # on a scale; of larger numbers, differences overflow


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the table.

    Attributes
    ----------
    name : str
    texts : pandas.Series of str
        The value of each row; blank where there is none.
    values : list of str
        The different values in the order of a legend; empty if nearly all differ.
    codes : ndarray of shape (N,), unsigned
        Which of them each row has; of length 0 if there are none.
    colors : list of str
        The colour of each value.
    families : list of str
        The same by its parent class: shades of one hue for each; empty where there are no parents.
    is_scale : bool
        The values are measurements rather than the names of classes.
    """

    name: str
    texts: pd.Series
    values: list[str]
    codes: np.ndarray
    colors: list[str]
    families: list[str]
    is_scale: bool


def of_table(table: pd.DataFrame, wanted: str | None) -> list[Column]:
    """Return the columns of a table of strings; that which is wanted for its colours has classes, or a scale."""
    columns = [_column(table[name], name == wanted) for name in table.columns]
    named = {column.name: column for column in columns}
    made = [_colored(column, named) for column in columns]
    labels = [column for name in LABELS[::-1] for column in made if column.name == name]
    known = {value: color for column in labels for value, color in zip(column.values, column.colors, strict=True)}
    return [_as_labels(column, known) if _is_of_labels(column.name) else column for column in made]


def _is_of_labels(name: str) -> bool:
    return name == SUGGESTED or name.startswith(PREDICTED)


def _as_labels(column: Column, known: dict[str, str]) -> Column:
    """Give the labels of a column the colours that they have as the labels of the samples."""
    known = known | {"": palette.GREY}
    return replace(column, colors=[str(known.get(*pair)) for pair in zip(column.values, column.colors, strict=True)])


def _column(texts: pd.Series, wanted: bool) -> Column:
    name = str(texts.name)
    codes, uniques = texts.factorize()
    found = [str(value) for value in uniques.tolist()]
    recurring = len(found) <= max(SCALE_VALUES, len(codes) // 2)
    # The usual columns name classes and files, however many numbers they hold.
    is_scale = name not in COLUMNS and not _is_of_labels(name) and _is_scale(found, name in MEASURES)
    if (name == FILE_NAME or is_scale or not recurring) and not (wanted and not is_scale):
        found, codes = [], codes[:0]
    return Column(name, texts, found, codes, [], [], is_scale)


def _is_scale(values: list[str], measured: bool) -> bool:
    present = [value for value in values if value]
    if not present or not all(map(DECIMAL.fullmatch, present)):
        return False
    numbers = np.array(present, np.float64)
    fit = np.abs(numbers).max() <= LARGEST
    return bool(fit and (measured or np.any(numbers % 1) or len(present) > SCALE_VALUES))


def _colored(column: Column, named: dict[str, Column]) -> Column:
    """Put the values of a column in order, and give each its colour.

    A class keeps its own number where it has one, and with it its colour, also where other classes are missing.
    """
    if not column.values:
        return column
    numbers = _numbers(column, named)
    if numbers is None:
        rank = {value: k for k, value in enumerate(palette.in_order(column.values))}
        numbers = [rank[value] for value in column.values]
    order = np.argsort(numbers, kind="stable")
    place = np.empty(len(order), np.min_scalar_type(len(order) - 1))
    place[order] = np.arange(len(order))
    shades = palette.colors(max(numbers) + 1)
    families = _families(column, named, numbers)
    return replace(
        column,
        values=[column.values[k] for k in order],
        codes=place[column.codes],
        colors=[shades[numbers[k]] for k in order],
        families=[families[k] for k in order] if families else [],
    )


def _numbers(column: Column, named: dict[str, Column]) -> list[int] | None:
    """Return the class number of each value; None if they have none, or two have the same."""
    numbered = named.get(NUMBER) if column.name == WORD else column
    which = follows(numbered, column) if numbered and numbered.values else None
    if numbered is None or which is None:
        return None
    texts = [numbered.values[k] for k in which]
    if not all(map(_is_number, texts)):
        return None
    numbers = [int(text) for text in texts]
    return numbers if len(set(numbers)) == len(numbers) and max(numbers) < palette.MOST else None


def _is_number(label: str) -> bool:
    return label.isdecimal() and len(label) < 5


def _families(column: Column, named: dict[str, Column], numbers: list[int]) -> list[str]:
    parent = named.get(PARENT)
    if column.name not in {WORD, NUMBER} or parent is None or not 1 < len(parent.values) < len(column.values):
        return []
    which = follows(parent, column)
    if which is None:
        return []
    rank = {value: k for k, value in enumerate(palette.in_order(parent.values))}
    parents = [rank[parent.values[k]] for k in which]
    if all(map(_is_number, parent.values)):  # its own number, whatever others are on the page
        parents = [int(parent.values[k]) for k in which]
    return palette.families(parents, numbers)


def follows(column: Column, leader: Column) -> np.ndarray | None:
    """Return the code in one column that goes with each code in another; None if that does not tell it."""
    which = np.zeros(len(leader.values), column.codes.dtype)
    which[leader.codes] = column.codes
    return which if np.array_equal(which[leader.codes], column.codes) else None


def review(made: list[Column]) -> dict[str, int]:
    """Return which columns tell how far labels can be trusted, as far as there are such, and the code of a suspect."""
    place = {column.name: k for k, column in enumerate(made) if column.values != [""]}
    found = {"label": next((place[name] for name in LABELS if name in place), None)}
    found["doubt"] = next((place[name] for name in DOUBTS if name in place and made[place[name]].is_scale), None)
    if SUSPECT in place and YES in made[place[SUSPECT]].values:
        found |= {"suspect": place[SUSPECT], "yes": made[place[SUSPECT]].values.index(YES)}
    found["suggested"] = place.get(SUGGESTED)
    return {part: number for part, number in found.items() if number is not None}
