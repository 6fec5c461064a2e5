"""Coordinates and columns become a page: one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import html
import re
from functools import cache as once
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from gpuvis.folders import COLUMNS
from gpuvis.page import palette
from gpuvis.settings import Page

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("ground_truth_word_label", "ground_truth_num_label")
BLANK, GREY = "(blank)", "#bbbbbb"
MOST_POINTS = 1_000_000  # a browser draws no more of them in reasonable time
SVG_POINTS = 10_000  # up to here vector graphics are quick, and need no WebGL
LEGEND_CLASSES = 200  # above this, a trace for each class is slow and a legend of them unreadable
SCALE_VALUES = 256  # a column with more different numbers is drawn on a scale, not as classes

Trace = dict[str, Any]  # as plotly.js takes it
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": True,
    "showSendToCloud": False,  # Plotly 7 shows that button unless told not to
    "modeBarButtons": [["toImage"], ["pan2d", "zoom2d", "select2d", "lasso2d"], ["resetScale2d"]],
}


def draw(coords: np.ndarray, table: pd.DataFrame, page: Page, caption: str) -> tuple[str, list[str]]:
    """Draw a map.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    table : pandas.DataFrame with N rows
        All strings; row i describes point i.
    page : Page
        What to show.
    caption : str
        One line that says what the map is.

    Returns
    -------
    html : str
        The page; equal input gives equal text.
    notes : list of str
        Where the page differs from what was asked.
    """
    coords, table, caption = _sample(coords, table, caption)
    hover = [name for name in page.hover if name in table]
    notes = [f"--hover column {name!r} is not in metadata.csv" for name in page.hover if name not in table]
    column, more = _color_column(table, page.color_by)
    plot = to_html(
        {"data": _traces(coords, table, hover, column), "layout": _layout(column)},
        config=CONFIG,
        include_plotlyjs=False,
        full_html=False,
        div_id="gpuvis-map",
        default_height="100%",
        validate=False,  # it takes longer than all the rest
    )
    template, plotly_js = _surroundings()
    parts = {"caption": html.escape(caption), "plotly.js": plotly_js, "plot": plot}
    return re.sub(r"\{\{(.+?)\}\}", lambda mark: parts[mark[1]], template), notes + more


@once
def _surroundings() -> tuple[str, str]:
    """Return what surrounds the figure, and plotly.js, which are the same for every page."""
    return resources.files("gpuvis.page").joinpath("page.html").read_text(encoding="utf-8"), get_plotlyjs()


def _sample(coords: np.ndarray, table: pd.DataFrame, caption: str) -> tuple[np.ndarray, pd.DataFrame, str]:
    """Return as many points as can be drawn; the table's index tells their rows."""
    table = table.reset_index(drop=True)
    if len(coords) <= MOST_POINTS:
        return coords, table, caption
    keep = np.sort(np.random.default_rng(0).choice(len(coords), MOST_POINTS, replace=False))
    return coords[keep], table.iloc[keep], f"{caption} · {MOST_POINTS:,} of {len(coords):,} points shown"


def _color_column(table: pd.DataFrame, asked: str) -> tuple[str | None, list[str]]:
    """Find the column to colour by: the one asked for, or else the labels."""
    for name in (asked, *LABELS):
        if name in table and bool((table[name] != "").any()):
            return name, [] if name == asked else [f"--color_by column {asked!r} {_lack(table, asked)}: {name} is used"]
    return None, [f"--color_by column {asked!r} {_lack(table, asked)}, and there are no labels: one colour is used"]


def _lack(table: pd.DataFrame, column: str) -> str:
    return "is blank in every row" if column in table else "is not in metadata.csv"


def _traces(coords: np.ndarray, table: pd.DataFrame, hover: list[str], column: str | None) -> list[Trace]:
    if column is None:
        return [_trace(coords, table, hover, np.arange(len(coords)), palette.colors(1)[0])]
    values = table[column].to_numpy(object)
    # The usual columns name classes and files, however many numbers they hold.
    numbers = None if column in COLUMNS else _scale(values)
    if numbers is not None:
        return _measured(coords, table, list(dict.fromkeys((column, *hover))), numbers)
    order = _order(table, column)
    codes = np.array([order[value] for value in values.tolist()])
    colors = np.array(palette.colors(max(order.values()) + 1))
    if len(order) > LEGEND_CLASSES:
        shown = list(dict.fromkeys((column, *hover)))
        return [_trace(coords, table, shown, np.arange(len(coords)), colors[codes].tolist())]
    return [
        _trace(coords, table, hover, rows, colors[k], f"{_text(name or BLANK)} ({len(rows):,})")
        for name, k in order.items()
        for rows in [np.flatnonzero(codes == k)]
    ]


def _order(table: pd.DataFrame, column: str) -> dict[str, int]:
    """Give each class its number, in the order of the legend.

    A class keeps its own number where it has one, and with it its colour, also where other classes are missing.
    """
    names = table[column]
    told = "ground_truth_num_label" if column == "ground_truth_word_label" else column
    if told in table:
        pairs = set(zip(names.tolist(), table[told].tolist(), strict=True))
        numbers = {name: int(number) for name, number in pairs if number.isdecimal() and len(number) < 5}
        if len(pairs) == len(numbers) == len(set(numbers.values())) and max(numbers.values()) < palette.MOST:
            return dict(sorted(numbers.items(), key=lambda item: item[1]))
    return {name: k for k, name in enumerate(palette.in_order(names))}


def _scale(values: np.ndarray) -> np.ndarray | None:
    """Return the values as numbers, blanks as NaN, if they are measurements rather than the names of classes."""
    told = values != ""
    try:
        numbers = np.where(told, values, "nan").astype(np.float64)
    except ValueError:
        return None
    if not np.isfinite(numbers[told]).all():
        return None
    return numbers if np.any(numbers[told] % 1) or len(np.unique(numbers[told])) > SCALE_VALUES else None


def _measured(coords: np.ndarray, table: pd.DataFrame, shown: list[str], numbers: np.ndarray) -> list[Trace]:
    """Return the points on a scale, and those without a number in grey beneath them."""
    told, blank = np.flatnonzero(np.isfinite(numbers)), np.flatnonzero(np.isnan(numbers))
    trace = _trace(coords, table, shown, told, _packed(numbers[told]))
    bar = {"title": {"text": _text(shown[0])}}
    scale = {"colorbar": bar, **go.scatter.Marker(colorscale="Viridis", showscale=True).to_plotly_json()}
    trace["marker"] = dict(sorted({**trace["marker"], **scale}.items()))
    beneath = [_trace(coords, table, shown, blank, GREY, f"{BLANK} ({len(blank):,})")] if len(blank) else []
    return [*beneath, trace]


def _trace(
    coords: np.ndarray, table: pd.DataFrame, hover: list[str], rows: np.ndarray, color: Any, name: str | None = None
) -> Trace:
    size, opacity = _marker(len(coords))
    template, fields = _hover(table, hover, rows)
    return {
        "customdata": fields,
        "hovertemplate": template,
        "marker": {"color": color, "line": {"width": 0}, "opacity": opacity, "size": size},
        "mode": "markers",
        "name": name or "",
        "showlegend": name is not None,
        "x": _packed(coords[rows, 0]),
        "y": _packed(coords[rows, 1]),
        "type": "scatter" if len(coords) <= SVG_POINTS else "scattergl",
    }


def _packed(numbers: np.ndarray) -> dict[str, str]:
    """Return floating-point numbers as plotly.js reads them at once."""
    return {"dtype": f"f{numbers.itemsize}", "bdata": base64.b64encode(numbers.tobytes()).decode("ascii")}


def _hover(table: pd.DataFrame, hover: list[str], rows: np.ndarray) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the text shown over a point. What is the same for all of them is written into it only once."""
    lines, fields = ["row: %{customdata[0]}"], [table.index[rows].tolist()]
    for name in hover:
        values = table[name].iloc[rows].tolist()
        if len(set(values)) == 1:
            value = _text(values[0]).replace("{", "&#123;")
        else:
            value = f"%{{customdata[{len(fields)}]}}"
            fields.append([_text(v) for v in values])
        lines.append(f"{_text(name).replace('{', '&#123;')}: {value}")
    return "<br>".join(lines) + "<extra></extra>", list(zip(*fields, strict=True))


def _text(value: str) -> str:
    """Escape a value: Plotly reads a small subset of HTML in names and hover texts."""
    return html.escape(value, quote=False)


def _marker(points: int) -> tuple[float, float]:
    for most, size, opacity in ((500, 9, 0.9), (5_000, 6, 0.85), (20_000, 4, 0.8), (100_000, 3, 0.7)):
        if points <= most:
            return size, opacity
    return 2, 0.5


@once
def _layout(column: str | None) -> dict[str, Any]:
    """Return the layout with Plotly's template "none" filled in."""
    axis = {"visible": False, "showgrid": False, "zeroline": False}
    asked = {
        "template": "none",
        "xaxis": axis,
        "yaxis": {**axis, "scaleanchor": "x"},
        "hovermode": "closest",
        "dragmode": "pan",
        "margin": {"l": 8, "r": 8, "t": 36, "b": 8},
        "legend": {"title": {"text": _text(column or "")}, "itemsizing": "constant"},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": "#222"}},
    }
    layout: dict[str, Any] = go.Figure(layout=asked).to_dict()["layout"]
    return layout
