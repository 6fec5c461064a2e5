"""A cache folder with its output folder, read lazily, each file once, and remembered for the jobs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis.errors import CacheError
from gpuvis.io import cache, fingerprint, pt
from gpuvis.io.agreement import check_embeddings, flat_labels
from gpuvis.io.folders import check_files, check_readable
from gpuvis.io.schema import EMBEDDINGS, FILE_NAME, LABELS, SCORES, TABLE
from gpuvis.page import image_links
from gpuvis.results.annotations import RECORD, Annotations, annotation_sums, prediction_files, read_annotations

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from gpuvis.page.options import PageOptions


class Folder:
    """A cache folder and the folder of its outputs. Each part is read when it is first needed, and kept.

    It can be pickled; another process then knows what was read.

    Parameters
    ----------
    path, out : Path
    outputs : iterable of Path
        Other files that decide what is to be done.

    Attributes
    ----------
    stamp : tuple
        Differs from that of a later `Folder` if one of its files was replaced or changed in between.
    rows : int
        Of the embeddings; 0: `look` was not called.
    table_bytes : int
        The size of `metadata.csv`, if `look` has read it.
    """

    def __init__(self, path: Path, out: Path, outputs: Iterable[Path] = ()) -> None:
        self.path, self.out = path, out
        files = (*outputs, *prediction_files(path), *(out / name for name in (*SCORES, RECORD)))
        self.stamp = fingerprint.stamp_of_cache(path), fingerprint.stamp(files)
        self.rows = self.table_bytes = 0
        self._scores: pd.DataFrame | None = None

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the cache, which differs from that of a cache with other content.

        Raises
        ------
        OSError
            A file is missing or cannot be read.
        """
        return fingerprint.of_cache(self.path)

    @cached_property
    def head(self) -> cache.Head:
        """The cache but for the values of its embeddings.

        Raises
        ------
        CacheError
        """
        return cache.look(self.path, vars(self).get("table"))

    @property
    def has_head(self) -> bool:
        """Whether the head was read."""
        return "head" in vars(self)

    def look(self, most_bytes: float) -> None:
        """Read the head, but of a folder with a larger `metadata.csv` only the shape of the embeddings.

        Raises
        ------
        CacheError
        """
        check_files(self.path)
        path = self.path / EMBEDDINGS
        size = (self.path / TABLE).stat().st_size
        if size <= most_bytes:
            self.table_bytes = size
            self.rows = self.head.shape[0]
        else:
            embeddings = pt.read_mapped(path)
            check_embeddings(path, embeddings)
            self.rows = len(embeddings)

    @cached_property
    def table(self) -> pd.DataFrame:
        """`metadata.csv`, every column as strings.

        Raises
        ------
        CacheError
        """
        from gpuvis.io import table

        if self.has_head:
            return self.head.table
        with suppress(FileNotFoundError):  # which the reader reports
            check_readable(self.path / TABLE)
        return table.read(self.path / TABLE)

    @cached_property
    def labels(self) -> torch.Tensor | np.ndarray | None:
        """`labels.pt`, a label for each row of the table.

        Raises
        ------
        CacheError
        """
        path = self.path / LABELS
        if self.has_head or not path.exists():
            return self.head.labels if self.has_head else None
        return flat_labels(path, cache.read_labels(path, pt.read), len(self.table))

    @cached_property
    def annotations(self) -> Annotations:
        """The columns that lie beside the maps."""
        return read_annotations(self.table, self.path, self.out, self._scores)

    @cached_property
    def _sums(self) -> dict[str, str | None]:
        return annotation_sums(self.path, self.out)

    def take_scores(self, scores: pd.DataFrame) -> None:
        """Take new scores, which were just written, a row for each of the table."""
        self._scores = scores
        vars(self).pop("annotations", None)
        vars(self).pop("_sums", None)

    def shown(self, page: PageOptions) -> dict[str, Any]:
        """Return what a page shows, ready for JSON: its options, and what tells the files it reads from others."""
        shown = {**page.describe(self.path), "beside": self._sums}
        return shown | ({"images": self._images(page)} if page.thumbnails else {})

    def _images(self, page: PageOptions) -> str | None:
        """Return what tells the images of thumbnails from others."""
        root = image_links.folder_of(page.image_root, self.path)
        try:
            table = self.table
        except CacheError:
            return None
        return image_links.stamp(root, table[FILE_NAME].tolist()) if root and FILE_NAME in table else None
