"""The files of one map: save them, and decide whether they are up to date."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from gpuvis.errors import CacheError, OutputError, OutputExistsError
from gpuvis.io import fingerprint
from gpuvis.io.files import check_ordinary, replacing
from gpuvis.page.options import MARKS, STATIC, PageOptions
from gpuvis.results.folder import Folder
from gpuvis.results.record import RunRecord, ScoresRecord
from gpuvis.settings import METHODS, MethodName, Settings


@dataclass(frozen=True)
class Outputs:
    """The files of one map.

    Attributes
    ----------
    folder : Path
        Where they lie.
    prefix : str
    method : str
    """

    folder: Path
    prefix: str
    method: MethodName

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

    def drawn(self, page: PageOptions | None) -> list[Path]:
        """Return what is drawn for a page: itself, and pictures."""
        return [self.page, *map(self.static, page.static)] if page else []

    def check_free(self, page: PageOptions | None) -> None:
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

    def read_record(self) -> RunRecord | None:
        """Return the run record; None where there is none, or it is not one of ours."""
        record = RunRecord.read(self.record)
        return record if record and record.method == self.method else None

    def read_own_record(self) -> RunRecord | None:
        """Return the run record; None where it is not that of the coordinates which lie beside it."""
        record = self.read_record()
        is_own = record and record.outputs.get(self.coords.name) and not foreign(self.coords, record.outputs)
        return record if is_own else None

    def save_coords(self, coords: np.ndarray, record: RunRecord, to_come: Iterable[Path]) -> None:
        """Save the coordinates, and before they take their place the record of a run that is not finished.

        It has their SHA-256, and names the files that are to come: whatever dies from here on, the next run knows
        which files are its own to write.
        """
        with _saving_array(self.coords, coords) as sha256:
            record.outputs = {self.coords.name: sha256}
            self.begin(record, to_come)

    def begin(self, record: RunRecord, files: Iterable[Path]) -> None:
        """Save a record that says which files are about to be written."""
        record.outputs |= dict.fromkeys(path.name for path in files)
        record.page, record.finished = None, False
        self.save_record(record)

    def save_quality(self, quality: np.ndarray) -> str:
        """Save the recall of each point, and return the SHA-256 of the file."""
        with _saving_array(self.quality, quality) as sha256:
            return sha256

    def load_quality(self, record: RunRecord) -> np.ndarray | None:
        """Load what is measured of each point; None where a record does not vouch for it."""
        known = record.outputs.get(self.quality.name)
        if not known or not self.quality.is_file() or fingerprint.of_file(self.quality) != known:
            return None
        found = load_array(self.quality)
        return found.astype(np.float32) if found.shape == (record.input.rows,) else None

    def save_drawn(self, path: Path, content: bytes) -> str:
        """Save the page or a picture, and return its SHA-256."""
        with saving(path) as temporary:
            temporary.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def save_record(self, record: RunRecord) -> None:
        """Save the run record."""
        save_record(self.record, record)


def of_coords(path: Path) -> Outputs | None:
    """Return the files of a map by the path of its coordinates; None if that is not how they are named here."""
    found = re.fullmatch(rf"(.+)_({'|'.join(METHODS)})_coords\.npy", path.name, re.DOTALL)
    return Outputs(path.parent, found[1], found[2]) if found else None


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


def save_record(path: Path, record: RunRecord | ScoresRecord) -> None:
    """Save a record."""
    with saving(path) as temporary:
        temporary.write_bytes(record.to_json().encode("utf-8", "backslashreplace"))  # file names need not be UTF-8


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
        message = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise CacheError(f"{path} cannot be read: {message}; expected numbers as numpy.save writes them") from None
    if found.dtype.kind not in "fiu":
        raise CacheError(f"{path} holds {found.dtype}; expected numbers; save it so")
    return found


@contextmanager
def _saving_array(path: Path, values: np.ndarray) -> Iterator[str]:
    """Write a plain `.npy` file with no pickle, give its SHA-256, and at the end put it into its place."""
    with saving(path) as temporary:
        # Into a file of the system NumPy writes past Python, and does not hear that the disk is full at the last bytes.
        with temporary.open("wb") as file:
            np.save(SimpleNamespace(write=file.write), np.ascontiguousarray(values, np.float32), allow_pickle=False)
        yield fingerprint.of_file(temporary)


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
        message = os.strerror(error.errno) if error.errno else error  # Arrow has words of its own
        raise OutputError(f"{path} could not be written: {message}") from error


class Action(Enum):
    """The action for one map."""

    COMPUTE = "compute"
    FINISH = "finish"  # measure and draw saved coordinates
    NOTHING = "nothing"


class Status(NamedTuple):
    """The status of one map: the action it needs, and its record.

    Attributes
    ----------
    action : Action
    record : RunRecord or None
        Of the map that is there; None: no record vouches for it.
    changed : str
        What has changed since that map was made; empty: nothing.
    """

    action: Action
    record: RunRecord | None = None
    changed: str = ""


def status(files: Outputs, folder: Folder, settings: Settings, page: PageOptions | None, quality: str) -> Status:
    """Decide whether a map must be computed, measured or drawn again, or is up to date.

    Parameters
    ----------
    files : Outputs
    folder : Folder
        The cache.
    settings : Settings
        What is asked now.
    page : PageOptions or None
        What the page is to show; None: no page.
    quality : {"auto", "full", "none"}
        What is to be measured.

    Raises
    ------
    OutputExistsError
        There are outputs that are not what would be made now.
    """
    written = [files.coords, files.record, *files.drawn(page), *([] if quality == "none" else [files.quality])]
    there = [path for path in written if os.path.exists(path)]  # noqa: PTH110  Path.exists may raise
    if not there:
        return Status(Action.COMPUTE)
    record = files.read_record()
    if record is None:
        raise _refusal(there[0], no_record(files.record))
    died = _died(files, record)
    reason = "" if died else _stale(files, record, folder, settings)
    if reason := reason or _altered(files, record.outputs, written, died=died):
        raise _refusal(there[0], reason)
    if died:
        return Status(Action.COMPUTE, record)
    if not record.finished or is_unmeasured(files, record, quality):
        return Status(Action.FINISH, record)
    is_drawn = page is None or _is_drawn(files, record, folder, page)
    return Status(Action.NOTHING if is_drawn else Action.FINISH, record)


def _died(files: Outputs, record: RunRecord) -> bool:
    """Tell whether a record is that of a run which died before its coordinates were in their place."""
    sha256 = record.outputs.get(files.coords.name, "")
    if record.finished or sha256 is None:
        return sha256 is None
    return not files.coords.is_file() or fingerprint.of_file(files.coords) != sha256


def _is_drawn(files: Outputs, record: RunRecord, folder: Folder, page: PageOptions) -> bool:
    """Tell whether the page is there, whole, and shows what it would show now."""
    whole = all(path.exists() and record.outputs.get(path.name) for path in files.drawn(page))
    whole = whole and all(map(os.path.exists, (files.folder / name for name in record.needed_by_page)))
    return whole and bool(record.page == folder.shown(page))


def no_record(path: Path) -> str:
    """Say why no record vouches for files that are there."""
    there = os.path.lexists(path)
    return f"{path.name} is damaged, or not one of gpuvis" if there else "no run record vouches for it"


def check_ours(files: Outputs, page: PageOptions | None) -> None:
    """Check that what is to be drawn replaces nothing that something else has made or changed.

    Raises
    ------
    OutputExistsError
    """
    record = files.read_own_record()
    sums = record.outputs if record else {}
    for path in files.drawn(page):
        if reason := foreign(path, sums):
            raise _refusal(path, reason)


def is_unmeasured(files: Outputs, record: RunRecord, quality: str) -> bool:
    """Tell whether something is to be measured that was not yet: its run may have died before, or asked for less."""
    measured = record.quality
    if quality == "none":
        return False
    if not measured or not files.quality.exists() or not record.outputs.get(files.quality.name):
        return True
    return quality == "full" and bool(measured.get("points", 0) < record.input.rows)


def of_saved(files: Outputs, folder: Folder) -> Status:
    """Return the status of saved coordinates, whatever they were made of.

    Of a cache that is not there any more, nothing is known to have changed.
    """
    record = files.read_own_record()
    if record is None:
        changed = f"{files.coords.name} is not the map that its record tells of" if files.read_record() else ""
        return Status(Action.FINISH, None, changed)
    try:
        differing = fingerprint.differing(record.input.fingerprint, folder.fingerprint)
    except OSError:
        differing = []
    changed = f"the cache has changed since the {files.method} map was made" if differing else ""
    return Status(Action.FINISH, record, changed)


def _stale(files: Outputs, record: RunRecord, folder: Folder, settings: Settings) -> str:
    """Say why a record cannot stand for what is asked now; empty if it can."""
    source = record.input
    try:
        if changed := fingerprint.differing(source.fingerprint, folder.fingerprint):
            other = Path(source.folder) != Path(os.path.abspath(folder.path))
            since = f"the cache has changed since ({', '.join(changed)})"
            return f"it is the map of {source.folder}" if other else since
    except OSError as error:
        return f"the cache cannot be compared with it ({error.strerror})"
    before = record.effective
    now = settings.fitted_to(source.rows, source.columns)[0].describe(files.method)
    keys = before.keys() | now.keys()
    if str(record.repeatable).startswith("identical"):  # --deterministic asks for no more
        keys -= {"deterministic"}
    changed = sorted(key for key in keys if before.get(key) != now.get(key))
    if changed:
        differences = (f"{k} {_shown(before.get(k))} (now {_shown(now.get(k))})" for k in changed)
        return f"it was made with {', '.join(differences)}"
    return ""


def _altered(files: Outputs, sums: dict[str, str | None], written: list[Path], *, died: bool) -> str:
    """Say which file is not the one that the record vouches for; empty if all are.

    `died`: the coordinates may be those of an earlier run, or missing.
    """
    if not died and not files.coords.exists() and sums.get(files.coords.name, ""):
        return f"{files.coords.name} is missing"
    if died:
        sums = {**sums, files.coords.name: None}
    return next(filter(None, (foreign(path, sums) for path in written if path != files.record)), "")


def _refusal(path: Path, reason: str) -> OutputExistsError:
    return OutputExistsError(
        f"{path} is there already and {reason}; use --overwrite to replace it, or another --out_prefix to keep both"
    )


def _shown(value: object) -> object:
    return "none" if value is None else value
