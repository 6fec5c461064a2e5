"""Choose the colour of each point, and the order in which points are drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.colors import sequential

from gpuvis.page import columns, palette
from gpuvis.page.columns import Column

if TYPE_CHECKING:
    import pandas as pd

FAINT = "#d4d4d4"  # the colour of points without a number, which lie below the others
SHADES = 256  # number of colours on the scale for numbers
ENDS = (2, 98)  # percentiles of the numbers at the ends of the scale: a few extreme ones would leave one colour for all
LOW_MATTERS = {"recall"}  # columns whose low numbers are those to look at; of others, the high ones
DIVERGING = ("#b2182b", "#b8b8b8", "#2166ac")  # the colours of negative numbers, of zero and of positive ones


@dataclass(frozen=True, eq=False)
class Coloring:
    """The colours of the points of a map.

    Attributes
    ----------
    column : Column or None
        The column that the colours show; None if all points have the same colour.
    rgb : ndarray of shape (N, 3), uint8
    order : ndarray of shape (N,), integer
        The points in the order in which they are drawn. A class is drawn over classes at least twice as common; within
        one range of frequency, classes are mixed.
    """

    column: Column | None
    rgb: np.ndarray
    order: np.ndarray


def of_table(coords: np.ndarray, table: pd.DataFrame, color_by: str) -> Coloring:
    """Colour points by a column of their table, or by the labels if there is no such column.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    table : pandas.DataFrame with N rows
        All strings.
    color_by : str
        Name of the column.
    """
    name, _ = choose_column(table, color_by)
    return of_column(coords, next((column for column in columns.of_table(table, name) if column.name == name), None))


def of_column(coords: np.ndarray, column: Column | None) -> Coloring:
    """Colour points of shape (N, 2) by a column; None gives all the same colour."""
    order = _mixed(len(coords))
    if column is None:
        return Coloring(None, palette.from_hex(palette.colors(1))[np.zeros(len(coords), int)], order)
    if column.is_scale:
        numbers, scale = column.numbers, Scale.of(column)
        blank = np.isnan(numbers)
        fractions = np.clip((np.nan_to_num(numbers) - scale.low) / (scale.high - scale.low), 0, 1)
        shades = np.where(blank, SHADES, np.floor(fractions * (SHADES - 1) + 0.5))  # a half rounded as by the page
        order = order[np.argsort(~blank[order], kind="stable")]
        return Coloring(column, palette.from_hex([*scale.ramp, FAINT])[shades.astype(int)], order)
    counts = np.bincount(column.codes, minlength=len(column.values))
    tiers = np.log2(np.maximum(counts, 1)).astype(np.int8)
    order = order[np.argsort(-tiers[column.codes[order]], kind="stable")]
    return Coloring(column, palette.from_hex(column.colors)[column.codes], order)


def _mixed(count: int) -> np.ndarray:
    """Return the numbers from 0 to `count` - 1 in a scattered order, by steps of the golden section.

    If rows are sorted by class and drawn in their own order, the last class covers all others.
    """
    step = round(count * palette.GOLDEN) or 1
    while math.gcd(step, count) > 1:
        step += 1
    return np.arange(count) * step % count


def choose_column(table: pd.DataFrame, color_by: str) -> tuple[str | None, list[str]]:
    """Choose the column that colours the points.

    Parameters
    ----------
    table : pandas.DataFrame
    color_by : str
        The requested column.

    Returns
    -------
    name : str or None
        The requested column; if it is missing or blank, the first column of labels; None if there is none.
    notes : list of str
        A note if it is not the requested column.
    """
    for name in (color_by, *columns.LABELS):
        if name in table and bool((table[name] != "").any()):
            notes = [f"--color_by column {color_by!r} {_reason(table, color_by)}: {name} is used"]
            return name, [] if name == color_by else notes
    reason = _reason(table, color_by)
    return None, [f"--color_by column {color_by!r} {reason}, and there are no labels: one colour is used"]


def _reason(table: pd.DataFrame, column: str) -> str:
    return "is blank in every row" if column in table else "is not in metadata.csv"


@dataclass(frozen=True)
class Scale:
    """The colours of a column of numbers.

    Attributes
    ----------
    low, high : float
        The numbers at the ends of the scale; those beyond have the colours of the ends.
    kind : {"high", "low", "diverging"}
        Which numbers stand out: the high ones, the low ones, or both sides of zero.
    """

    low: float
    high: float
    kind: str

    @classmethod
    def of(cls, column: Column) -> Scale:
        """Choose the scale of a column. It is symmetric about zero if numbers lie on both sides of it."""
        numbers = column.numbers[np.isfinite(column.numbers)]
        low, high = map(float, np.percentile(numbers, ENDS))
        if low < 0 < high and not column.date_unit:
            end = max(-low, high)
            return cls(-end, end, "diverging")
        if low == high:
            low, high = float(numbers.min()), float(numbers.max())
        kind = "low" if column.name in LOW_MATTERS else "high"
        return cls(low, high if high > low else low + 1.0, kind)

    @property
    def ramp(self) -> list[str]:
        """The colours from low to high, on white: the numbers that matter are dark."""
        return {"high": ramp()[::-1], "low": ramp(), "diverging": diverging()}[self.kind]


def constants() -> dict[str, Any]:
    """Return the colours that do not depend on the map, for the data of a page."""
    return {
        "ramp": ramp(),
        "diverging": diverging(),
        "plain": palette.colors(1)[0],
        "faint": FAINT,
        "clear": palette.CLEAR,
    }


def ramp() -> list[str]:
    """Return the colours of the scale for numbers, from dark to light: viridis (Smith, van der Walt 2015)."""
    return _between([_hex(color) for color in sequential.Viridis])


def diverging() -> list[str]:
    """Return the colours of numbers on both sides of zero, from negative to positive."""
    return _between(DIVERGING)


def _between(colors: Sequence[str]) -> list[str]:
    """Return `SHADES` colours, of which some are given at even steps."""
    knots = palette.from_hex(colors).astype(float)
    positions, knot_positions = np.linspace(0, len(knots) - 1, SHADES), np.arange(len(knots))
    channels = [np.interp(positions, knot_positions, channel) for channel in knots.T]
    return palette.to_hex(np.stack(channels, -1).round().astype(int))


def _hex(color: str) -> str:
    """Return a colour of plotly, which may be written rgb(…), as #rrggbb."""
    return color if color.startswith("#") else palette.to_hex(np.array([re.findall(r"\d+", color)], int))[0]
