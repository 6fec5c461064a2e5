"""Draw a map as a picture for papers: PNG, SVG or PDF."""

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
from gpuvis.page.coloring import Coloring
from gpuvis.page.options import MADE_BY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES, DPI = (7.0, 5.6), 300
DATES = 5  # written on a colour bar
MAX_NAMED = 40  # most classes in the legend, which names the largest
MAX_LARGE_TYPE = 20  # a longer legend is set in smaller type
MAX_NAME_LENGTH = 32
METADATA = {  # without dates, so that equal input gives equal bytes
    "svg": {"Date": None, "Creator": MADE_BY},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": MADE_BY},
    "png": {"Software": MADE_BY},
}
STYLE: Any = {
    "svg.hashsalt": MADE_BY,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 8,
    "text.parse_math": False,  # a $ in a name is a dollar sign
}


def draw(coords: np.ndarray, colored: Coloring, caption: str, file_format: str) -> bytes:
    """Draw a map as a picture.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    colored : Coloring
        The colours of the points.
    caption : str
        One line of text below the map.
    file_format : {"png", "svg", "pdf"}

    Returns
    -------
    bytes
        The content of the file; equal input gives equal bytes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_aspect("equal", "datalim")
        axes.set_axis_off()
        size = float(np.clip(6000 / len(coords), 0.4, 18))
        order = colored.order
        (x, y), colors = _scaled(coords[order]).T, colored.rgb[order] / 255
        axes.scatter(x, y, s=size, c=colors, linewidths=0, rasterized=True, alpha=0.85)
        _legend(figure, axes, colored)
        figure.supxlabel(_printable(caption), fontsize=6, color="0.4", wrap=True)
        file = io.BytesIO()
        figure.savefig(file, format=file_format, dpi=DPI, metadata=METADATA[file_format])
    return file.getvalue()


def _scaled(coords: np.ndarray) -> np.ndarray:
    """Scale coordinates to -1 … 1: the axes are hidden, and differences of very large numbers would overflow."""
    return coords.astype(np.float64) / (float(np.abs(coords).max()) or 1.0)


def _legend(figure: Figure, axes: Axes, colored: Coloring) -> None:
    """Add a colour bar for numbers, or a legend of the largest classes."""
    column = colored.column
    if column is None:
        return
    title = _printable(column.name)
    if column.is_scale:
        scale_of_numbers = coloring.Scale.of(column)
        scale = mpl.cm.ScalarMappable(
            mpl.colors.Normalize(scale_of_numbers.low, scale_of_numbers.high),
            mpl.colors.ListedColormap(scale_of_numbers.ramp),
        )
        bar = figure.colorbar(scale, ax=axes, label=title, shrink=0.6)
        if column.date_unit:
            ticks = np.linspace(scale_of_numbers.low, scale_of_numbers.high, DATES).tolist()
            bar.set_ticks(ticks, labels=[column.written(tick) for tick in ticks])
        return
    counts = np.bincount(column.codes, minlength=len(column.values))
    named = np.sort(np.argsort(-counts, kind="stable")[:MAX_NAMED])
    marks = [mpl.lines.Line2D([], [], ls="", marker="o", ms=4, mew=0, color=column.colors[k]) for k in named]
    names = [_short(column.values[k] or "(blank)") for k in named]
    if len(named) < len(counts):
        marks.append(mpl.lines.Line2D([], [], ls=""))
        names.append(f"and {len(counts) - len(named)} more")
    size = 8 if len(marks) <= MAX_LARGE_TYPE else 6
    legend = axes.legend(marks, names, title=title, title_fontsize=size, fontsize=size, handletextpad=0.2)
    legend.set(frame_on=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _short(name: str) -> str:
    name = " ".join(_printable(name).split())
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def _printable(text: str) -> str:
    """Replace characters that an SVG must not contain, and remove invisible ones, for which a PDF may have no glyph.

    An SVG must not contain control characters, surrogates and noncharacters.
    """
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return re.sub(r"[\ud800-\udfff\ufffe\uffff]", "�", re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text))
