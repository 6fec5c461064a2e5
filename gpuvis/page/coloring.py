"""The colour of each point, and the order in which points are drawn."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from plotly.colors import sequential

from gpuvis.page import columns, palette
from gpuvis.page.columns import Column

if TYPE_CHECKING:
    import pandas as pd

GREY, SHADES = palette.GREY, 256  # where there is no number, and how many colours numbers have


@dataclass(frozen=True, eq=False)
class Painted:
    """Points and their colours.

    Attributes
    ----------
    column : Column or None
        That gives the colours; None: all have the same.
    rgb : ndarray of shape (N, 3), uint8
    order : ndarray of shape (N,), integer
        In which points are drawn: rarer classes over classes at least twice as common, others mixed.
    """

    column: Column | None
    rgb: np.ndarray
    order: np.ndarray


def of_table(coords: np.ndarray, table: pd.DataFrame, asked: str) -> Painted:
    """Colour the points of a table by a column, or by the labels if there is none of that name."""
    name, _ = chosen(table, asked)
    return of_column(coords, next((c for c in columns.of_table(table, name) if c.name == name), None))


def of_column(coords: np.ndarray, column: Column | None) -> Painted:
    """Colour points by a column."""
    order = _mixed(len(coords))
    if column is None:
        return Painted(None, palette.rgb(palette.colors(1))[np.zeros(len(coords), int)], order)
    if column.is_scale:
        low, high = ends(column)
        share = (_numbers(column) - low) / (high - low if high > low else 1.0)
        at = np.where(np.isfinite(share), np.round(np.nan_to_num(share) * (SHADES - 1)), SHADES).astype(int)
        return Painted(column, palette.rgb([*ramp(), GREY])[at], order)
    counts = np.bincount(column.codes, minlength=len(column.values))
    tiers = np.log2(np.maximum(counts, 1)).astype(np.int8)
    order = order[np.argsort(-tiers[column.codes[order]], kind="stable")]
    return Painted(column, palette.rgb(column.colors)[column.codes], order)


def _mixed(count: int) -> np.ndarray:
    """Return the whole numbers below a count in the order of the golden section.

    Of rows that lie sorted by class, the last class would otherwise cover all others.
    """
    step = round(count * palette.GOLDEN) or 1
    while math.gcd(step, count) > 1:
        step += 1
    return np.arange(count) * step % count


def chosen(table: pd.DataFrame, asked: str) -> tuple[str | None, list[str]]:
    """Find the column to colour by: the one asked for, or else the labels; and say so."""
    for name in (asked, *columns.LABELS):
        if name in table and bool((table[name] != "").any()):
            return name, [] if name == asked else [f"--color_by column {asked!r} {_lack(table, asked)}: {name} is used"]
    return None, [f"--color_by column {asked!r} {_lack(table, asked)}, and there are no labels: one colour is used"]


def _lack(table: pd.DataFrame, column: str) -> str:
    return "is blank in every row" if column in table else "is not in metadata.csv"


def ends(column: Column) -> tuple[float, float]:
    """Return the least and the largest number of a column."""
    numbers = _numbers(column)
    return float(np.nanmin(numbers)), float(np.nanmax(numbers))


def _numbers(column: Column) -> np.ndarray:
    return np.where(column.texts == "", "nan", column.texts).astype(np.float64)


def ramp() -> list[str]:
    """Return the colours of the scale for numbers, from low to high: viridis (Smith, van der Walt 2015)."""
    known = palette.rgb(map(_hex, sequential.Viridis)).astype(float)
    at, places = np.linspace(0, len(known) - 1, SHADES), np.arange(len(known))
    return palette.written(np.stack([np.interp(at, places, channel) for channel in known.T], -1).round().astype(int))


def _hex(color: str) -> str:
    """Return one of plotly's colours, which may be written rgb(…), as #rrggbb."""
    return color if color.startswith("#") else palette.written(np.array([re.findall(r"\d+", color)], int))[0]
