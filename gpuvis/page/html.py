"""Build the page: coordinates and columns in one HTML file that works offline."""

from __future__ import annotations

import base64
import hashlib
import html
from concurrent.futures import Future
from functools import cache as once
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from gpuvis.io.schema import SUSPECT
from gpuvis.page import coloring, columns, icon, palette, subsample, template
from gpuvis.page.coloring import Painted
from gpuvis.page.columns import Column
from gpuvis.page.image_links import Images
from gpuvis.page.options import GENERATOR, Page
from gpuvis.page.pack import Pack, compressed
from gpuvis.signals import run_in_thread

if TYPE_CHECKING:
    import pandas as pd

WHOLE_ROWS = 250_000  # up to which coordinates are sent as they are; above, in 65,536 steps along each axis
STEPS = (1 << 16) - 1
SCRIPTS = ("data", "map", "overlay", "panel", "review", "filter", "legend", "find", "select", "controls", "main")
CDN_HOST = "https://cdn.plot.ly"


def prepare(page: Page) -> None:
    """Begin, beside other work, with what is the same for all pages."""
    if page.plotlyjs == "inline":
        _plotly_packed()


def draw(
    coords: np.ndarray,
    table: pd.DataFrame,
    page: Page,
    caption: str,
    neighbors: np.ndarray | None = None,
    images: Images | None = None,
    plotly_js: str | None = None,
) -> tuple[str, list[str]]:
    """Draw a map.

    Parameters
    ----------
    coords : ndarray of shape (N, 2), float32
    table : pandas.DataFrame with N rows
        All strings; row i describes point i.
    page : Page
        What to show.
    caption : str
        One line that says what the map is, perhaps one that says how far to trust it, and one for each warning.
    neighbors : ndarray of shape (N, k), optional
        The rows nearest to each in the original space, nearest first.
    images : Images, optional
        Where the images are.
    plotly_js : str, optional
        The address of plotly.js as the page is to load it; None: the page holds it.

    Returns
    -------
    html : str
        The page; equal input gives equal text.
    notes : list of str
        Where the page differs from what was asked.
    """
    notes = [f"--hover column {name!r} is not in metadata.csv" for name in page.hover if name not in table]
    wanted, more = coloring.chosen(table, page.color_by)
    made = columns.of_table(table, wanted)
    painted = coloring.of_column(coords, next((column for column in made if column.name == wanted), None))
    pack, rows = Pack(), _shown(coords, table, painted)
    some = slice(None) if rows is None else rows
    header = {
        "caption": caption,
        "total": len(coords),
        "shown": len(coords[some]),
        "rows": None if rows is None else pack.numbers(rows.astype(np.uint32)),
        "coords": _coords(pack, coords[some]),
        "columns": _columns(pack, made, some),
        "review": columns.review(made),
        "colorBy": wanted,
        "hover": [name for name in page.hover if name in table],
        "ramp": coloring.ramp(),
        "plain": palette.colors(1)[0],
        "grey": coloring.GREY,
        "theme": page.theme,
        "imageRoot": images.link if images else None,
    }
    if neighbors is not None and rows is None:  # else some of them are not on the page
        ids = neighbors.astype(np.min_scalar_type(len(coords) - 1))
        header["neighbors"] = {"k": ids.shape[1], "ids": pack.numbers(ids.T.ravel())}
    sheets = images.sheets if images else None
    if sheets:
        header["thumbnails"] = {"across": sheets.across, "places": pack.numbers(sheets.places[some])}
    parts = {
        "generator": GENERATOR,
        "policy": _policy(plotly_js),
        "title": html.escape(caption.partition("\n")[0]),
        "icon": icon.small(coords[painted.order], painted.rgb[painted.order]),
        "style": template.text("page.css"),
        "data": pack.sealed(header),
        "thumbnails": "".join(_held(f"thumbnails-{k}", file) for k, file in enumerate(sheets.files if sheets else [])),
        "plotly.js": _plotly(plotly_js),
        "script": script(),
    }
    return template.filled("page.html", parts), notes + more


def _shown(coords: np.ndarray, table: pd.DataFrame, painted: Painted) -> np.ndarray | None:
    """Return the rows that are drawn; None: all of them."""
    codes = painted.column.codes if painted.column else np.empty(0, np.uint8)
    suspects = (table[SUSPECT] == columns.YES).to_numpy() if SUSPECT in table else None
    return subsample.rows(coords, codes, suspects)


def _coords(pack: Pack, coords: np.ndarray) -> list[dict[str, Any]]:
    if len(coords) <= WHOLE_ROWS:
        return [pack.numbers(axis.astype(np.float32)) for axis in coords.T]
    found = []
    for axis in coords.T.astype(np.float64):
        low, step = float(axis.min()), float(np.ptp(axis)) / STEPS or 1.0
        found.append({**pack.numbers(np.round((axis - low) / step).astype(np.uint16)), "low": low, "step": step})
    return found


def _columns(pack: Pack, made: list[Column], some: slice | np.ndarray) -> list[dict[str, Any]]:
    """Describe each column for the browser. Codes that follow from those of another are not sent."""
    found: list[dict[str, Any]] = []
    for number, column in enumerate(made):
        header: dict[str, Any] = {"name": column.name, "scale": column.is_scale}
        if not column.values:
            found.append({**header, "texts": pack.texts(column.texts.iloc[some].tolist())})
            continue
        header |= {"values": column.values, "colors": column.colors, "families": column.families}
        for other, leader in enumerate(made[:number]):
            leads = len(leader.values) >= len(column.values) and "codes" in found[other]
            which = columns.follows(column, leader) if leads else None
            if which is not None:
                header |= {"leader": other, "which": which.tolist()}
                break
        else:
            header["codes"] = pack.numbers(column.codes[some])
        found.append(header)
    return found


def _policy(plotly_js: str | None) -> str:
    """Return what the page may load: plotly.js if it is elsewhere, and images, which a reader may keep anywhere."""
    scripts = "" if plotly_js is None else f" {CDN_HOST}" if plotly_js.startswith("https:") else " 'self' file:"
    return (
        f"default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'{scripts}; style-src 'unsafe-inline'; "
        "img-src data: blob: file: http: https:; form-action 'none'; base-uri 'none'"
    )


def _plotly(address: str | None) -> str:
    """Return what gives the page plotly.js."""
    if address is None:
        return _held("plotly", _plotly_packed().result())
    check = ""
    if address.startswith("https:"):
        digest = base64.b64encode(hashlib.sha256(get_plotlyjs().encode()).digest()).decode()
        check = f' integrity="sha256-{digest}" crossorigin="anonymous"'
    return f'<script src="{html.escape(address)}"{check}></script>'


def _held(name: str, content: str) -> str:
    return f'<script type="application/octet-stream" id="{name}">{content}</script>'


@once
def _plotly_packed() -> Future[str]:
    return run_in_thread(lambda: compressed(get_plotlyjs().encode()))


def script() -> str:
    """Return the page's scripts, joined."""
    return "\n".join(template.text(f"{name}.js") for name in SCRIPTS)


def plotly_file() -> tuple[str, str]:
    """Return the name and the content of plotly.js, for pages that share it."""
    return f"plotly-{get_plotlyjs_version()}.min.js", get_plotlyjs()


def plotly_cdn() -> str:
    """Return where plotly's makers keep this version of it."""
    return f"{CDN_HOST}/{plotly_file()[0]}"
