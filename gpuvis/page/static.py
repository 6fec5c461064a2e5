"""The map as a picture for papers: PNG, SVG or PDF."""

from __future__ import annotations

import io
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gpuvis.page import coloring
from gpuvis.page.coloring import Painted
from gpuvis.page.options import MADE_BY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES, DPI = (7.0, 5.6), 300
MOST_NAMED = 40  # classes in the legend, the largest
ROOMY = 20  # of them in the usual size of type
LONGEST = 32  # letters of a name
STEADY = {  # equal input gives equal bytes
    "svg": {"Date": None, "Creator": MADE_BY},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": MADE_BY},
    "png": {"Software": MADE_BY},
}
STYLE: Any = {
    "svg.hashsalt": MADE_BY,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 8,
    "text.parse_math": False,  # names are text
}


def draw(coords: np.ndarray, painted: Painted, caption: str, kind: str) -> bytes:
    """Draw a map as a picture.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    painted : Painted
        Their colours.
    caption : str
        Stands below the map.
    kind : {"png", "svg", "pdf"}

    Returns
    -------
    bytes
        The file's content; equal input gives equal bytes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_aspect("equal", "datalim")
        axes.set_axis_off()
        size = float(np.clip(6000 / len(coords), 0.4, 18))
        order = painted.order
        (x, y), colors = _within_reach(coords[order]).T, painted.rgb[order] / 255
        axes.scatter(x, y, s=size, c=colors, linewidths=0, rasterized=True, alpha=0.85)
        _legend(figure, axes, painted)
        figure.supxlabel(_writable(caption), fontsize=6, color="0.4", wrap=True)
        file = io.BytesIO()
        figure.savefig(file, format=kind, dpi=DPI, metadata=STEADY[kind])
    return file.getvalue()


def _within_reach(coords: np.ndarray) -> np.ndarray:
    """Return coordinates from -1 to 1: the axes are not seen, and of very large numbers differences overflow."""
    return coords.astype(np.float64) / (float(np.abs(coords).max()) or 1.0)


def _legend(figure: Figure, axes: Axes, painted: Painted) -> None:
    column = painted.column
    if column is None:
        return
    title = _writable(column.name)
    if column.is_scale:
        low, high = coloring.ends(column)
        scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, high), mpl.colors.ListedColormap(coloring.ramp()))
        figure.colorbar(scale, ax=axes, label=title, shrink=0.6)
        return
    counts = np.bincount(column.codes, minlength=len(column.values))
    named = np.sort(np.argsort(-counts, kind="stable")[:MOST_NAMED])
    marks = [mpl.lines.Line2D([], [], ls="", marker="o", ms=4, mew=0, color=column.colors[k]) for k in named]
    names = [_short(column.values[k] or "(blank)") for k in named]
    if len(named) < len(counts):
        marks.append(mpl.lines.Line2D([], [], ls=""))
        names.append(f"and {len(counts) - len(named)} more")
    size = 8 if len(marks) <= ROOMY else 6
    legend = axes.legend(marks, names, title=title, title_fontsize=size, fontsize=size, handletextpad=0.2)
    legend.set(frame_on=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _short(name: str) -> str:
    name = " ".join(_writable(name).split())
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _writable(text: str) -> str:
    """Return a text without what no SVG may hold: control characters, and what stands for no character.

    And without what is not seen, of which a PDF may have no glyph.
    """
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return re.sub(r"[\ud800-\udfff\ufffe\uffff]", "�", re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text))
