"""PageOptions: what a page shows."""

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
MARKS = {  # what stands in a page or a picture that was drawn here
    ".html": GENERATOR.encode(),
    ".png": f"Software\0{MADE_BY}".encode(),
    ".svg": f"<dc:title>{MADE_BY}</dc:title>".encode(),
    ".pdf": f"/Creator ({MADE_BY})".encode(),
}
MOST_ROWS_SEARCHED = 10_000  # up to which neighbours in the original space are found without being asked for
MOST_ROWS_SHOWN = 500_000  # of which a page has room for the neighbours: some 17 MB


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the HTML page shows. None of this changes the map.

    Attributes
    ----------
    color_by : str
        Column of `metadata.csv` that colours the points.
    hover : tuple of str
        Columns that come first where a point is described.
    image_root : str or None
        Folder or URL that the files' names are below; None: `images` beside `metadata.csv`, if they are there.
    thumbnails : bool
        The page holds small images.
    neighbors : bool or None
        The page holds the true nearest neighbours of each point; None: up to 10,000 rows.
    theme : {"auto", "light", "dark"}
        auto: as the reader's system is set.
    plotlyjs : {"inline", "shared", "cdn"}
        Where plotly.js is: in each page, once at the root of the batch, or at plotly's makers.
    static : tuple of {"png", "svg", "pdf"}
        Pictures to draw besides.

    Raises
    ------
    SettingsError
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
        """Tell whether the nearest neighbours of so many rows are to be found, and have room."""
        most = MOST_ROWS_SEARCHED if self.neighbors is None else MOST_ROWS_SHOWN if self.neighbors else 0
        return 2 <= rows <= most

    def describe(self, cache: Path) -> dict[str, Any]:
        """Return all of it, and what it comes to for a cache folder, ready for JSON."""
        root = self.image_root
        if root is None:
            root = IMAGES if os.path.isdir(cache / IMAGES) else None  # noqa: PTH112  Path.is_dir raises
        elif not root.startswith(URLS):
            root = os.path.abspath(root)
        return {**asdict(self), "hover": list(self.hover), "static": list(self.static), "image_root": root}
