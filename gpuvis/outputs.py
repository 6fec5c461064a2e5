"""What a run leaves behind: names, refusal to overwrite, staleness."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from gpuvis import atomic, fingerprint
from gpuvis.errors import OutputError, OutputExistsError
from gpuvis.pages import MARKS, STATIC, Page
from gpuvis.settings import Method, Settings


class Action(Enum):
    """What is to be done for one map."""

    COMPUTE = "compute"
    DRAW = "draw"
    NOTHING = "nothing"


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
        for path in (self.coords, self.page, self.record, *self.drawn(page)):
            if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where it may not look
                raise OutputError(f"{path} is a folder, where a file has to be written; move it away")

    def sweep(self) -> None:
        """Remove what a process that died had begun to write."""
        for path in (self.coords, self.page, self.record, *map(self.static, STATIC)):
            atomic.beside(path).unlink(missing_ok=True)

    def read_record(self) -> dict[str, Any] | None:
        """Return the run record; None where there is none, or it is not one of ours."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            told, name = record["input"], record["backend"]["name"]
            parts = record["effective"], record["outputs"], record["steps"], told["fingerprint"], told.get("info", {})
            whole = record["effective"]["method"] == self.method and "page" in record and isinstance(name, str)
            counted = isinstance(told["rows"], int) and isinstance(told["columns"], int)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        return record if whole and counted and all(isinstance(part, dict) for part in parts) else None

    def read_own_record(self) -> dict[str, Any] | None:
        """Return the run record; None where it is not that of the coordinates which lie beside it."""
        record = self.read_record()
        return record if record and not _foreign(self.coords, record["outputs"]) else None

    def action(
        self, cache: Path, settings: Settings, page: Page | None, content: Callable[[], dict[str, Any]]
    ) -> Action:
        """Tell what is to be done, before anything is computed.

        Parameters
        ----------
        cache : Path
            The cache folder.
        settings : Settings
            What is asked now.
        page : Page or None
            What the page is to show; None: no page.
        content : callable
            Gives the fingerprint of the cache.

        Raises
        ------
        OutputExistsError
            There are outputs that are not what would be made now.
        """
        written = (self.coords, self.record, *self.drawn(page))
        there = [path for path in written if os.path.exists(path)]  # noqa: PTH110  Path.exists may raise
        if not there:
            return Action.COMPUTE
        record = self.read_record()
        reason = self._stale(record, cache, settings, content) if record else "no run record vouches for it"
        reason = reason or self._altered(record or {}, page)
        if record is None or reason:
            raise _refusal(there[0], reason)
        if page is None:
            return Action.NOTHING
        whole = all(path.exists() and record["outputs"].get(path.name) for path in self.drawn(page))
        whole = whole and all((self.folder / name).exists() for name in record.get("needed_by_page", ()))
        return Action.NOTHING if whole and record["page"] == page.describe(cache) else Action.DRAW

    def check_ours(self, page: Page | None) -> None:
        """Check that what is to be drawn replaces nothing that something else has made or changed.

        Raises
        ------
        OutputExistsError
        """
        sums = (self.read_own_record() or {}).get("outputs", {})
        for path in self.drawn(page):
            if reason := _foreign(path, sums):
                raise _refusal(path, reason)

    def _stale(
        self, record: dict[str, Any], cache: Path, settings: Settings, content: Callable[[], dict[str, Any]]
    ) -> str:
        """Say why a record cannot stand for what is asked now; empty if it can."""
        told = record["input"]
        try:
            if told["fingerprint"] != content():
                other = Path(str(told.get("folder"))) != Path(os.path.abspath(cache))
                return f"it is the map of {told.get('folder')}" if other else "the cache has changed since"
        except OSError as error:
            return f"the cache cannot be compared with it ({error.strerror})"
        before = record["effective"]
        now = settings.fitted_to(told["rows"], told["columns"])[0].describe(self.method)
        keys = before.keys() | now.keys()
        if str(record.get("repeatable")).startswith("identical"):  # --deterministic asks for no more
            keys -= {"deterministic"}
        changed = sorted(key for key in keys if before.get(key) != now.get(key))
        if changed:
            told = (f"{k} {_shown(before.get(k))} (now {_shown(now.get(k))})" for k in changed)
            return f"it was made with {', '.join(told)}"
        return ""

    def _altered(self, record: dict[str, Any], page: Page | None) -> str:
        """Say which file is not the one that the record vouches for; empty if all are."""
        sums = record.get("outputs", {})
        if not self.coords.exists():
            return f"{self.coords.name} is missing"
        return next(filter(None, (_foreign(path, sums) for path in (self.coords, *self.drawn(page)))), "")

    def save_coords(self, coords: np.ndarray) -> str:
        """Save the coordinates as a plain `.npy` file with no pickle, and return their SHA-256."""
        with _saving(self.coords) as temporary:
            with temporary.open("wb") as file:
                np.save(file, np.ascontiguousarray(coords, np.float32), allow_pickle=False)
            return fingerprint.of_file(temporary)

    def load_coords(self) -> np.ndarray:
        """Load saved coordinates."""
        coords: np.ndarray = np.load(self.coords, allow_pickle=False)
        return coords

    def save_drawn(self, path: Path, content: bytes) -> str:
        """Save the page or a picture, and return its SHA-256."""
        with _saving(path) as temporary:
            temporary.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def save_record(self, record: dict[str, Any]) -> None:
        """Save the run record."""
        with _saving(self.record) as temporary:
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))  # file names need not be UTF-8


def is_ours(path: Path) -> bool:
    """Tell whether a page or a picture was drawn by gpuvis."""
    return MARKS[path.suffix] in path.read_bytes() if path.suffix in MARKS else False


def _foreign(path: Path, sums: dict[str, Any]) -> str:
    """Say why a file is not one of those that a record vouches for; empty if it is, or is not there."""
    if not path.exists():
        return ""
    if path.name not in sums:
        return "" if is_ours(path) else f"{path.name} was made by something else"
    known = sums[path.name]  # None: it was about to be drawn
    return f"{path.name} was changed after it was made" if known and fingerprint.of_file(path) != known else ""


def _refusal(path: Path, reason: str) -> OutputExistsError:
    return OutputExistsError(
        f"{path} is there already and {reason}; use --overwrite to replace it, or another --out_prefix to keep both"
    )


def _shown(value: object) -> object:
    return "none" if value is None else value


@contextmanager
def _saving(path: Path) -> Iterator[Path]:
    try:
        with atomic.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror or error}") from error
