"""A cache folder and its output folder: each file is read once, when it is first needed, and kept."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis.errors import CacheError
from gpuvis.io import cache, fingerprint, pt, table
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
    """A cache folder and its output folder. Each part is read when it is first needed, and kept.

    A pickled `Folder` contains what was read, so another process does not read it again.

    Parameters
    ----------
    path, out : Path
        The cache folder and the output folder.
    outputs : iterable of Path
        The output files that `stamp` includes.

    Attributes
    ----------
    stamp : tuple
        Inode, size and time of each file. It differs from the stamp of a later `Folder` if a file has changed since.
    rows : int
        Number of rows of the embeddings; 0 before `look` is called.
    table_bytes : int
        Size of `metadata.csv` in bytes; 0 unless `look` has read that file.
    """

    def __init__(self, path: Path, out: Path, outputs: Iterable[Path] = ()) -> None:
        self.path, self.out = path, out
        files = (*outputs, *prediction_files(path), *(out / name for name in (*SCORES, RECORD)))
        self.stamp = fingerprint.stamp_of_cache(path), fingerprint.stamp(files)
        self.rows = self.table_bytes = 0
        self._scores: pd.DataFrame | None = None

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the cache's content.

        Raises
        ------
        OSError
            A file is missing or cannot be read.
        """
        return fingerprint.of_cache(self.path)

    @cached_property
    def head(self) -> cache.Head:
        """Everything in the cache but the values of its embeddings.

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
        """Read the head; or only the shape of the embeddings, if `metadata.csv` is larger than `most_bytes`.

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
        if self.has_head:
            return self.head.table
        with suppress(FileNotFoundError):  # `table.read` reports it
            check_readable(self.path / TABLE)
        return table.read(self.path / TABLE)

    @cached_property
    def labels(self) -> torch.Tensor | np.ndarray | None:
        """The labels in `labels.pt`, one for each row of the table; None if there is no such file.

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
        """The scores and predictions that pages show as extra columns."""
        return read_annotations(self.table, self.path, self.out, self._scores)

    @cached_property
    def _annotation_sums(self) -> dict[str, str | None]:
        return annotation_sums(self.path, self.out)

    def take_scores(self, scores: pd.DataFrame) -> None:
        """Use new scores, which were just written; row i belongs to row i of the table."""
        self._scores = scores
        vars(self).pop("annotations", None)
        vars(self).pop("_annotation_sums", None)

    def describe_page(self, page: PageOptions) -> dict[str, Any]:
        """Describe what a page shows, ready for JSON: its options, and hashes of the files it is drawn from.

        A page is up to date if its record holds the same description.
        """
        description = {**page.describe(self.path), "beside": self._annotation_sums}
        return description | ({"images": self._image_stamp(page)} if page.thumbnails else {})

    def _image_stamp(self, page: PageOptions) -> str | None:
        """Return the hash by which a changed image is noticed; None if the images are not found."""
        root = image_links.folder_of(page.image_root, self.path)
        try:
            rows = self.table
        except CacheError:
            return None
        return image_links.stamp(root, rows[FILE_NAME].tolist()) if root and FILE_NAME in rows else None
