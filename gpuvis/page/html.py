"""Put data, template and scripts together into the page: one HTML file, which works offline."""

from __future__ import annotations

import base64
import hashlib
import html
import logging
from concurrent.futures import Future
from dataclasses import asdict
from functools import cache as once
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from gpuvis.errors import DataError
from gpuvis.io.schema import SUSPECT
from gpuvis.page import coloring, columns, icon, subsample, template
from gpuvis.page.coloring import Coloring
from gpuvis.page.columns import Column
from gpuvis.page.heading import Heading
from gpuvis.page.image_links import Images
from gpuvis.page.options import GENERATOR, PageOptions
from gpuvis.page.pack import Pack, compressed
from gpuvis.signals import run_in_thread

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)
EXACT_ROWS = 250_000  # pages of more points hold rounded coordinates: 65,536 values on each axis
STEPS = (1 << 16) - 1
SCRIPTS = (
    "data",
    "map",
    "names",
    "overlay",
    "panel",
    "review",
    "confusion",
    "filter",
    "legend",
    "find",
    "select",
    "save",
    "controls",
    "main",
)
UNMEASURED = "How far this map can be trusted was not measured."
CDN_HOST = "https://cdn.plot.ly"


def prepare(page: PageOptions) -> None:
    """Start to compress plotly.js in another thread, if pages are to include it."""
    if page.plotlyjs == "inline":
        _plotly_packed()


def draw_page(
    coords: Any, table: Any = None, page: PageOptions | None = None, caption: str = "", neighbors: Any = None
) -> str:
    """Draw a map as one interactive HTML file, which works offline.

    Parameters
    ----------
    coords : array of shape (N, 2)
        The map.
    table : pandas.DataFrame with N rows, or its columns by name, optional
        Describes the points. Values are shown as strings.
    page : PageOptions, optional
    caption : str, optional
        Describes the map, in one line.
    neighbors : array of shape (N, k), optional
        Row numbers of the nearest neighbours of each point in the original space, nearest first.

    Returns
    -------
    str
        The page. Where it differs from its options, a warning is logged.

    Raises
    ------
    DataError
        coords is not a finite array of shape (N, 2), or the table or the neighbours have another number of rows, or a
        neighbour is no row.

    Examples
    --------
    >>> import numpy as np
    >>> coords = np.random.default_rng(0).normal(size=(60, 2))
    >>> page = gpuvis.draw(coords, {"file_name": [f"{row}.png" for row in range(60)]}, caption="Noise")
    >>> page.startswith("<!doctype html>")
    True
    """
    from gpuvis.io.table import strings

    points = np.asarray(coords, np.float32)
    if points.ndim != 2 or points.shape[1] != 2 or not points.size or not np.isfinite(points).all():
        raise DataError(f"coords has shape {points.shape}; expected finite numbers of shape (N, 2), N at least 1")
    rows = strings({} if table is None else table)
    rows = rows if len(rows.columns) else rows.reindex(range(len(points)))
    for name, values in (("table", rows), ("neighbors", neighbors)):
        if values is not None and len(values) != len(points):
            raise DataError(f"{name} has {len(values)} rows; expected {len(points)}, one for each point")
    indices = None if neighbors is None else np.asarray(neighbors)
    if indices is not None and (indices.ndim != 2 or not ((indices >= 0) & (indices < len(points))).all()):
        raise DataError(f"neighbors has shape {indices.shape}; expected rows from 0 to {len(points) - 1}, shape (N, k)")
    text, notes = draw(points, rows, page or PageOptions(), Heading(caption=caption), indices)
    for note in notes:
        logger.warning("%s", note)
    return text


def draw(
    coords: np.ndarray,
    table: pd.DataFrame,
    page: PageOptions,
    heading: Heading,
    neighbors: np.ndarray | None = None,
    images: Images | None = None,
    plotly_js: str | None = None,
) -> tuple[str, list[str]]:
    """Build the page of a map.

    Parameters
    ----------
    coords : ndarray of shape (N, 2), float32
    table : pandas.DataFrame with N rows
        All strings; row i describes point i.
    page : PageOptions
        Options of the page.
    heading : Heading
        What the page says about the map.
    neighbors : ndarray of shape (N, k), optional
        Indices of the nearest rows of each row in the original space, nearest first.
    images : Images, optional
        Links to the images, or thumbnails of them.
    plotly_js : str, optional
        Address from which the page loads plotly.js; None: the page includes it.

    Returns
    -------
    html : str
        The page; equal input gives equal text.
    notes : list of str
        Where the page differs from its options.
    """
    hover_notes = [f"--hover column {name!r} is not in metadata.csv" for name in page.hover if name not in table]
    color_by, color_notes = coloring.choose_column(table, page.color_by)
    page_columns = columns.of_table(table, color_by)
    colored = coloring.of_column(coords, next((column for column in page_columns if column.name == color_by), None))
    pack, rows = Pack(), _drawn_rows(coords, table, colored)
    selection = slice(None) if rows is None else rows
    header = {
        "heading": heading.to_json(),
        "total": len(coords),
        "shown": len(coords[selection]),
        "rows": None if rows is None else pack.numbers(rows.astype(np.uint32)),
        "coords": _coords(pack, coords[selection]),
        "columns": _columns(pack, page_columns, selection),
        "review": columns.review(page_columns),
        "colorBy": color_by,
        "hover": [name for name in page.hover if name in table],
        **coloring.constants(),
        "theme": page.theme,
        "imageRoot": images.link if images else None,
    }
    if neighbors is not None and rows is None:  # in a subsample, some neighbours are not on the page
        indices = neighbors.astype(np.min_scalar_type(len(coords) - 1))
        header["neighbors"] = {"k": indices.shape[1], "ids": pack.numbers(indices.T.ravel())}
    sheets = images.sheets if images else None
    if sheets:
        header["thumbnails"] = {"across": sheets.across, "places": pack.numbers(sheets.places[selection])}
    parts = {
        "title": html.escape(heading.title),
        "verdict": html.escape(heading.verdict or UNMEASURED),
        "picture": icon.svg(coords, colored.rgb, colored.order),
        "icon": icon.data_url(coords[colored.order], colored.rgb[colored.order]),
        "data": pack.encoded(header),
        "thumbnails": _thumbnail_tags(sheets.files if sheets else []),
    }
    return template.fill("page.html", parts | _program(plotly_js)), hover_notes + color_notes


def _program(plotly_js: str | None) -> dict[str, str]:
    """Return the parts of the page that are the same for all maps."""
    return {
        "generator": GENERATOR,
        "policy": _policy(plotly_js),
        "style": template.text("page.css"),
        "plotly.js": _plotly(plotly_js),
        "script": script(),
    }


def _drawn_rows(coords: np.ndarray, table: pd.DataFrame, colored: Coloring) -> np.ndarray | None:
    """Return the rows that are drawn; None: all of them."""
    codes = colored.column.codes if colored.column else np.empty(0, np.uint8)
    suspects = (table[SUSPECT] == columns.YES).to_numpy() if SUSPECT in table else None
    return subsample.rows(coords, codes, suspects)


def _coords(pack: Pack, coords: np.ndarray) -> list[dict[str, Any]]:
    """Pack each axis of the coordinates, and return its header."""
    if len(coords) <= EXACT_ROWS:
        return [pack.numbers(axis.astype(np.float32)) for axis in coords.T]
    headers = []
    for axis in coords.T.astype(np.float64):
        low, step = float(axis.min()), float(np.ptp(axis)) / STEPS or 1.0
        headers.append({**pack.numbers(np.round((axis - low) / step).astype(np.uint16)), "low": low, "step": step})
    return headers


def _columns(pack: Pack, page_columns: list[Column], selection: slice | np.ndarray) -> list[dict[str, Any]]:
    """Pack the selected rows of each column, and return its header.

    Codes that follow from those of an earlier column are not packed: the header names that column as the leader.
    """
    headers: list[dict[str, Any]] = []
    for number, column in enumerate(page_columns):
        header: dict[str, Any] = {"name": column.name, "meaning": column.meaning, "scale": column.is_scale}
        if column.is_scale:
            header |= {"range": asdict(coloring.Scale.of(column)), "dateUnit": column.date_unit}
        if not column.values:
            headers.append({**header, "texts": pack.texts(column.texts.iloc[selection].tolist())})
            continue
        header |= {"values": column.values, "colors": column.colors, "families": column.families}
        if not isinstance(selection, slice):
            header["counts"] = np.bincount(column.codes, minlength=len(column.values)).tolist()
        for other, leader in enumerate(page_columns[:number]):
            may_lead = len(leader.values) >= len(column.values) and "codes" in headers[other]
            codes = columns.implied_codes(column, leader) if may_lead else None
            if codes is not None:
                header |= {"leader": other, "which": codes.tolist()}
                break
        else:
            header["codes"] = pack.numbers(column.codes[selection])
        headers.append(header)
    return headers


def _policy(plotly_js: str | None) -> str:
    """Return the page's content security policy. It allows images from anywhere, since readers choose their folder."""
    scripts = "" if plotly_js is None else f" {CDN_HOST}" if plotly_js.startswith("https:") else " 'self' file:"
    return (
        f"default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'{scripts}; style-src 'unsafe-inline'; "
        "img-src data: blob: file: http: https:; form-action 'none'; base-uri 'none'"
    )


def _plotly(address: str | None) -> str:
    """Return the tag that includes plotly.js in the page, or loads it from an address."""
    if address is None:
        return _data_tag("plotly", _plotly_packed().result())
    check = ""
    if address.startswith("https:"):
        digest = base64.b64encode(hashlib.sha256(get_plotlyjs().encode()).digest()).decode()
        check = f' integrity="sha256-{digest}" crossorigin="anonymous"'
    return f'<script src="{html.escape(address)}"{check}></script>'


def _thumbnail_tags(sheet_files: list[str]) -> str:
    return "".join(_data_tag(f"thumbnails-{k}", file) for k, file in enumerate(sheet_files))


def _data_tag(name: str, content: str) -> str:
    return f'<script type="application/octet-stream" id="{name}">{content}</script>'


@once
def _plotly_packed() -> Future[str]:
    return run_in_thread(lambda: compressed(get_plotlyjs().encode()))


def script() -> str:
    """Return the scripts of the page, joined."""
    return "\n".join(template.text(f"{name}.js") for name in SCRIPTS)


def plotly_file() -> tuple[str, str]:
    """Return the file name and the content of plotly.js, for pages that share one copy."""
    return _plotly_name(), get_plotlyjs()


def plotly_cdn() -> str:
    """Return the address of this version of plotly.js on the server of its makers."""
    return f"{CDN_HOST}/{_plotly_name()}"


def _plotly_name() -> str:
    return f"plotly-{get_plotlyjs_version()}.min.js"
