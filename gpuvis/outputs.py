"""What a run leaves behind: names, refusal to overwrite, staleness, the run record."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from gpuvis import atomic, fingerprint
from gpuvis.errors import OutputError, OutputExistsError
from gpuvis.settings import Method, Page, Settings


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

    def read_record(self) -> dict[str, Any]:
        """Return the run record; empty where there is none that can be read."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def action(self, cache: Path, settings: Settings, page: Page | None, overwrite: bool) -> Action:
        """Tell what is to be done, before anything is computed.

        Parameters
        ----------
        cache : Path
            The cache folder.
        settings : Settings
            What is asked now.
        page : Page or None
            What the page is to show; None: no page.
        overwrite : bool
            Compute again whatever is there.

        Raises
        ------
        OutputExistsError
            There are outputs that are not what would be made now.
        """
        there = [path for path in (self.coords, self.page, self.record) if path.exists()]
        if overwrite or not there:
            return Action.COMPUTE
        reason = self._stale(cache, settings, page)
        if reason:
            raise OutputExistsError(
                f"{self.folder}: {there[0].name} is there already and {reason}; "
                "use --overwrite to replace it, or another --out_prefix to keep both"
            )
        record = self.read_record()
        drawn = self.page.exists() and record["outputs"].get(self.page.name) and record["page"] == _plain(page)
        return Action.NOTHING if page is None or drawn else Action.DRAW

    def _stale(self, cache: Path, settings: Settings, page: Page | None) -> str:
        """Say why the outputs cannot stand for what is asked now; empty if they can."""
        record = self.read_record()
        try:
            told, size, written = record["input"]["fingerprint"], record["input"], record["outputs"]
            before, shape = record["effective"], (size["rows"], size["columns"])
            asked = settings.fitted_to(*shape)[0].describe(self.method)
            sums = dict(written)
        except (KeyError, TypeError, ValueError):
            return f"no run record ({self.record.name}) vouches for it"
        try:
            if told != fingerprint.of_cache(cache):
                return "the cache has changed since"
        except OSError as error:
            return f"the cache cannot be compared with it ({error.strerror})"
        if before != asked:
            changed = sorted(key for key in before.keys() | asked.keys() if before.get(key) != asked.get(key))
            return "it was made with " + ", ".join(f"{k} {before.get(k)} (now {asked.get(k)})" for k in changed)
        return self._altered(sums, page)

    def _altered(self, sums: dict[str, str | None], page: Page | None) -> str:
        for path in (self.coords, self.page):
            there, told = path.exists(), sums.get(path.name)
            if path == self.coords and not (there and told):
                return f"{path.name} is missing"
            if told and there and fingerprint.of_file(path) != told:
                return f"{path.name} was changed after it was made"
            if there and page and path.name not in sums:
                return f"{path.name} was made by something else"
        return ""

    def save_coords(self, coords: np.ndarray) -> None:
        """Save the coordinates: a plain `.npy` file with no pickle."""
        with _saving(self.coords) as temporary, temporary.open("wb") as file:
            np.save(file, np.ascontiguousarray(coords, np.float32), allow_pickle=False)

    def load_coords(self) -> np.ndarray:
        """Load saved coordinates."""
        coords: np.ndarray = np.load(self.coords, allow_pickle=False)
        return coords

    def save_page(self, html: str) -> None:
        """Save the page."""
        with _saving(self.page) as temporary:
            temporary.write_text(html, encoding="utf-8")

    def save_record(self, record: dict[str, Any], page: Page | None, drawn: bool) -> None:
        """Save the run record, with the SHA-256 of the outputs that it vouches for.

        A page that is not drawn yet stands in it with no hash: an older page of that name may then be replaced.
        """
        sums: dict[str, str | None] = {self.coords.name: fingerprint.of_file(self.coords)}
        if page or self.page.exists():
            sums[self.page.name] = fingerprint.of_file(self.page) if drawn else None
        record = {**record, "page": _plain(page), "outputs": sums}
        with _saving(self.record) as temporary:
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))  # file names need not be UTF-8


def _plain(page: Page | None) -> dict[str, Any] | None:
    return {**asdict(page), "hover": list(page.hover)} if page else None


@contextmanager
def _saving(path: Path) -> Iterator[Path]:
    try:
        with atomic.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror or error}") from error


def check_writable(folder: Path, needed_bytes: int) -> None:
    """Check that files of so many bytes can be written to a folder, which need not be there yet.

    Raises
    ------
    OutputError
        It is read-only, something else stands in its place, or the disk is full.
    """
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"{there} is not a folder, so nothing can be written to {folder}; choose another --out-dir")
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OutputError(f"{there} is read-only; use --out-dir to write the outputs elsewhere")
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise OutputError(
            f"{there} has {free >> 20} MiB free, but the outputs need about {needed_bytes >> 20}; make room there"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other runs; the lock goes with the process, however that ends.

    Raises
    ------
    OutputExistsError
        Another run is writing there.
    OutputError
        The folder cannot be written to.
    """
    path = folder / ".gpuvis.lock"
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputExistsError(f"{folder}: another gpuvis is writing maps here; wait until it ends") from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from None
    try:
        yield
    finally:
        try:
            path.unlink(missing_ok=True)
        finally:  # an interrupt may have come between
            path.unlink(missing_ok=True)
            lock.release()
