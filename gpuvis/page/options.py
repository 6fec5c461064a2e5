"""PageOptions: what a page shows (colour, images, theme, pictures for papers). Flags are in cli/options.py."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpuvis.io.schema import IMAGES
from gpuvis.settings import require

THEMES = ("auto", "light", "dark")
PLOTLYJS = ("inline", "shared", "cdn")
STATIC = ("png", "svg", "pdf")
URLS = ("http://", "https://", "file://")
MADE_BY = "gpuvis"
GENERATOR = f'<meta name="generator" content="{MADE_BY}">'
MARKS = {  # bytes by which a page or a picture made by gpuvis is recognised
    ".html": GENERATOR.encode(),
    ".png": f"Software\0{MADE_BY}".encode(),
    ".svg": f"<dc:title>{MADE_BY}</dc:title>".encode(),
    ".pdf": f"/Creator ({MADE_BY})".encode(),
}
MOST_ROWS_SEARCHED = 10_000  # for more rows, no neighbours in the original space are searched by default
MOST_ROWS_SHOWN = 500_000  # for more rows, a page never includes the neighbours: these rows take about 17 MB


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Options of the HTML page. None of them changes the map.

    Attributes
    ----------
    color_by : str
        Column of `metadata.csv` that colours the points.
    hover : tuple of str
        Columns that are shown first in the description of a point.
    image_root : str or None
        Folder or URL that the file names are relative to; None: the folder `images` of the cache, if it exists.
    thumbnails : bool
        Include small images in the page.
    neighbors : bool or None
        Include the nearest neighbours of each point in the original space; None: only up to 10,000 rows.
    theme : {"auto", "light", "dark"}
        Colours of the page; auto: as set in the reader's system.
    plotlyjs : {"inline", "shared", "cdn"}
        Source of plotly.js: included in each page, one file at the root of the batch, or the server of its makers.
    static : tuple of {"png", "svg", "pdf"}
        Formats of pictures to draw in addition to the page.

    Raises
    ------
    SettingsError
        An option has a value that is not allowed, or `image_root` is no existing folder.
    """

    color_by: str = "ground_truth_word_label"
    hover: tuple[str, ...] = ("file_name", "ground_truth_word_label", "ground_truth_num_label")
    image_root: str | None = None
    thumbnails: bool = False
    neighbors: bool | None = None
    theme: str = "auto"
    plotlyjs: str = "inline"
    static: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.theme in THEMES, "theme", "one of " + ", ".join(THEMES), self.theme)
        require(self.plotlyjs in PLOTLYJS, "plotlyjs", "one of " + ", ".join(PLOTLYJS), self.plotlyjs)
        require(set(self.static) <= set(STATIC), "static", "some of " + ", ".join(STATIC), self.static)
        root = self.image_root
        if root is not None and not root.startswith(URLS):
            require(os.path.isdir(root), "image_root", "a folder that is there, or a URL", root)  # noqa: PTH112
        if self.thumbnails and root is not None:
            require(not root.startswith(URLS), "image_root", "a folder, if thumbnails are to be made of it", root)

    def wants_neighbors(self, rows: int) -> bool:
        """Return whether the page of a map of `rows` points includes their nearest neighbours."""
        max_rows = MOST_ROWS_SEARCHED if self.neighbors is None else MOST_ROWS_SHOWN if self.neighbors else 0
        return 2 <= rows <= max_rows

    def describe(self, cache: Path) -> dict[str, Any]:
        """Return the options as they apply to a cache folder, ready for JSON; `image_root` is resolved."""
        root = self.image_root
        if root is None:
            root = IMAGES if os.path.isdir(cache / IMAGES) else None  # noqa: PTH112  Path.is_dir raises
        elif not root.startswith(URLS):
            root = os.path.abspath(root)
        return {**asdict(self), "hover": list(self.hover), "static": list(self.static), "image_root": root}


Page = PageOptions
