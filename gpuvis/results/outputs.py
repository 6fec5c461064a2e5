"""What a run leaves behind: its files, and how they are written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpuvis.errors import CacheError, OutputError
from gpuvis.io import fingerprint
from gpuvis.io.files import check_ordinary, replacing
from gpuvis.page.options import MARKS, STATIC, Page
from gpuvis.results import schema
from gpuvis.settings import Method


@dataclass(frozen=True)
class Outputs:
    """The files of one map.

    Attributes
    ----------
    folder : Path
        Where they lie.
    prefix : str
    method : {"umap", "tsne"}
    """

    folder: Path
    prefix: str
    method: Method

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.prefix}_{self.method}{ending}"

    @property
    def coords(self) -> Path:
        """The coordinates: float32, (N, 2), row i for row i of the cache."""
        return self._path("_coords.npy")

    @property
    def quality(self) -> Path:
        """How far to trust each point: float32, (N,), NaN where that was not measured."""
        return self._path("_quality.npy")

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self._path(".html")

    @property
    def record(self) -> Path:
        """The run record, written last."""
        return self._path("_run.json")

    def static(self, kind: str) -> Path:
        """Return the path of a picture that is drawn besides the page."""
        return self._path(f".{kind}")

    def drawn(self, page: Page | None) -> list[Path]:
        """Return what is drawn for a page: itself, and pictures."""
        return [self.page, *map(self.static, page.static)] if page else []

    def check_free(self, page: Page | None) -> None:
        """Check that no folder stands in the place of a file.

        Raises
        ------
        OutputError
        """
        check_free(self.coords, self.quality, self.page, self.record, *self.drawn(page))

    @property
    def files(self) -> list[Path]:
        """All that may be written."""
        return [self.coords, self.quality, self.page, self.record, *map(self.static, STATIC)]

    def read_record(self) -> dict[str, Any] | None:
        """Return the run record; None where there is none, or it is not one of ours."""
        record = schema.read(self.record, schema.MAP)
        return record if record and record["effective"]["method"] == self.method else None

    def read_own_record(self) -> dict[str, Any] | None:
        """Return the run record; None where it is not that of the coordinates which lie beside it."""
        record = self.read_record()
        is_own = record and record["outputs"].get(self.coords.name) and not foreign(self.coords, record["outputs"])
        return record if is_own else None

    def save_coords(self, coords: np.ndarray) -> str:
        """Save the coordinates, and return their SHA-256."""
        return _save_array(self.coords, coords)

    def save_quality(self, quality: np.ndarray) -> str:
        """Save what is measured of each point, and return its SHA-256."""
        return _save_array(self.quality, quality)

    def load_quality(self, record: dict[str, Any]) -> np.ndarray | None:
        """Load what is measured of each point; None where a record does not vouch for it."""
        known = record["outputs"].get(self.quality.name)
        if not known or not self.quality.is_file() or fingerprint.of_file(self.quality) != known:
            return None
        found = load_array(self.quality)
        return found.astype(np.float32) if found.shape == (record["input"]["rows"],) else None

    def save_drawn(self, path: Path, content: bytes) -> str:
        """Save the page or a picture, and return its SHA-256."""
        with saving(path) as temporary:
            temporary.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def save_record(self, record: dict[str, Any]) -> None:
        """Save the run record."""
        save_json(self.record, record)


def of_coords(path: Path) -> Outputs | None:
    """Return the files of a map by the path of its coordinates; None if that is not how they are named here."""
    found = re.fullmatch(r"(.+)_(umap|tsne)_coords\.npy", path.name, re.DOTALL)
    return Outputs(path.parent, found[1], "umap" if found[2] == "umap" else "tsne") if found else None


def check_free(*paths: Path) -> None:
    """Check that no folder stands in the place of a file.

    Raises
    ------
    OutputError
    """
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where it may not look
            raise OutputError(f"{path} is a folder, where a file has to be written; move it away")


def is_ours(path: Path) -> bool:
    """Tell whether a page or a picture was drawn by gpuvis."""
    return MARKS[path.suffix] in path.read_bytes() if path.suffix in MARKS else False


def foreign(path: Path, sums: dict[str, Any]) -> str:
    """Say why a file is not one of those that a record vouches for; empty if it is, or is not there."""
    if not path.exists():
        return ""
    if not path.is_file():
        return f"{path.name} is no ordinary file"
    if path.name not in sums:
        return "" if is_ours(path) else f"{path.name} was made by something else"
    known = sums[path.name]  # None: it was about to be drawn
    return f"{path.name} was changed after it was made" if known and fingerprint.of_file(path) != known else ""


def save_json(path: Path, told: dict[str, Any]) -> None:
    """Save a record."""
    with saving(path) as temporary:
        text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))  # file names need not be UTF-8


def load_array(path: Path) -> np.ndarray:
    """Return the numbers of a `.npy` file, mapped, so that no more memory is taken than the file has.

    Raises
    ------
    CacheError
        It cannot be read, or holds no real numbers.
    """
    try:
        check_ordinary(path)
        found = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # noqa: BLE001  a damaged header raises nearly anything
        told = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise CacheError(f"{path} cannot be read: {told}; expected numbers as numpy.save writes them") from None
    if found.dtype.kind not in "fiu":
        raise CacheError(f"{path} holds {found.dtype}; expected numbers; save it so")
    return found


def _save_array(path: Path, values: np.ndarray) -> str:
    """Save a plain `.npy` file with no pickle, and return its SHA-256."""
    with saving(path) as temporary:
        # Into a file of the system NumPy writes past Python, and does not hear that the disk is full at the last bytes.
        with temporary.open("wb") as file:
            np.save(SimpleNamespace(write=file.write), np.ascontiguousarray(values, np.float32), allow_pickle=False)
        return fingerprint.of_file(temporary)


@contextmanager
def saving(path: Path) -> Iterator[Path]:
    """Give a temporary path, and put that file in the place of `path` at the end.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else error  # Arrow has words of its own
        raise OutputError(f"{path} could not be written: {told}") from error
