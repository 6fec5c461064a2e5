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
        The output folder.
    prefix : str
        Start of the file names.
    method : str
        A key of METHODS.
    """

    folder: Path
    prefix: str
    method: MethodName

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.prefix}_{self.method}{ending}"

    @property
    def coords(self) -> Path:
        """The coordinates: (N, 2), float32; row i belongs to row i of the cache."""
        return self._path("_coords.npy")

    @property
    def quality(self) -> Path:
        """The recall of each point: (N,), float32; NaN where it was not measured."""
        return self._path("_quality.npy")

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self._path(".html")

    @property
    def record(self) -> Path:
        """The run record, written last."""
        return self._path("_run.json")

    def static(self, file_format: str) -> Path:
        """Return the path of a picture for papers; `file_format` is one of `gpuvis.page.options.STATIC`."""
        return self._path(f".{file_format}")

    def drawn(self, page: PageOptions | None) -> list[Path]:
        """Return the paths of the page and its pictures; empty if `page` is None."""
        return [self.page, *map(self.static, page.static)] if page else []

    def check_free(self, page: PageOptions | None) -> None:
        """Check that no folder has the path of an output file.

        Raises
        ------
        OutputError
        """
        check_free(self.coords, self.quality, self.page, self.record, *self.drawn(page))

    @property
    def files(self) -> list[Path]:
        """All files that a run may write for this map."""
        return [self.coords, self.quality, self.page, self.record, *map(self.static, STATIC)]

    def read_record(self) -> RunRecord | None:
        """Return the run record; None if it is missing, not valid, or of another method."""
        record = RunRecord.read(self.record)
        return record if record and record.method == self.method else None

    def read_own_record(self) -> RunRecord | None:
        """Return the run record; None also if it does not describe the coordinates in the same folder."""
        record = self.read_record()
        describes = record and record.outputs.get(self.coords.name) and not why_foreign(self.coords, record.outputs)
        return record if describes else None

    def save_coords(self, coords: np.ndarray, record: RunRecord, pending: Iterable[Path]) -> None:
        """Save the coordinates and, just before they replace older ones, the record of an unfinished run.

        The record holds the SHA-256 of the coordinates, and names the pending files, which are written later. If the
        process dies before the end, the next run recognises these files as outputs of gpuvis.
        """
        with _saving_array(self.coords, coords) as sha256:
            record.outputs = {self.coords.name: sha256}
            self.save_unfinished(record, pending)

    def save_unfinished(self, record: RunRecord, pending: Iterable[Path]) -> None:
        """Save the record of an unfinished run, which names the files that are about to be written."""
        record.outputs |= dict.fromkeys(path.name for path in pending)
        record.page, record.finished = None, False
        self.save_record(record)

    def save_quality(self, quality: np.ndarray) -> str:
        """Save the recall of each point, and return the SHA-256 of the file."""
        with _saving_array(self.quality, quality) as sha256:
            return sha256

    def load_quality(self, record: RunRecord) -> np.ndarray | None:
        """Load the recall of each point; None if the file is missing, or not the one in the record."""
        sha256 = record.outputs.get(self.quality.name)
        if not sha256 or not self.quality.is_file() or fingerprint.of_file(self.quality) != sha256:
            return None
        recall = load_array(self.quality)
        return recall.astype(np.float32) if recall.shape == (record.input.rows,) else None

    def save_drawn(self, path: Path, content: bytes) -> str:
        """Save the page or a picture, and return its SHA-256."""
        with saving(path) as temporary:
            temporary.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def save_record(self, record: RunRecord) -> None:
        """Save the run record."""
        save_record(self.record, record)


def of_coords(path: Path) -> Outputs | None:
    """Return the files of the map with these coordinates; None if the path is not named as gpuvis names them."""
    match = re.fullmatch(rf"(.+)_({'|'.join(METHODS)})_coords\.npy", path.name, re.DOTALL)
    return Outputs(path.parent, match[1], match[2]) if match else None


def check_free(*paths: Path) -> None:
    """Check that no folder has the path of an output file.

    Raises
    ------
    OutputError
    """
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where it has no permission
            raise OutputError(f"{path} is a folder, where a file has to be written; move it away")


def is_ours(path: Path) -> bool:
    """Return whether gpuvis drew a page or a picture."""
    return MARKS[path.suffix] in path.read_bytes() if path.suffix in MARKS else False


def why_foreign(path: Path, sums: dict[str, Any]) -> str:
    """Return why a file is not an output of the recorded run; empty if it is one, or does not exist.

    `sums`: the SHA-256 of each output by its name, as in the record.
    """
    if not path.exists():
        return ""
    if not path.is_file():
        return f"{path.name} is no ordinary file"
    if path.name not in sums:
        return "" if is_ours(path) else f"{path.name} was made by something else"
    sha256 = sums[path.name]  # None if the run was about to write the file
    return f"{path.name} was changed after it was made" if sha256 and fingerprint.of_file(path) != sha256 else ""


def save_record(path: Path, record: RunRecord | ScoresRecord) -> None:
    """Save a record."""
    with saving(path) as temporary:
        temporary.write_bytes(record.to_json().encode("utf-8", "backslashreplace"))  # file names need not be UTF-8


def load_array(path: Path) -> np.ndarray:
    """Memory-map a `.npy` file. A damaged header then cannot demand more memory than the file has bytes.

    Raises
    ------
    CacheError
        The file cannot be read, or holds no real numbers.
    """
    try:
        check_ordinary(path)
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # noqa: BLE001  a damaged header raises nearly anything
        message = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise CacheError(f"{path} cannot be read: {message}; expected numbers as numpy.save writes them") from None
    if array.dtype.kind not in "fiu":
        raise CacheError(f"{path} holds {array.dtype}; expected numbers, so save it as float32")
    return array


@contextmanager
def _saving_array(path: Path, values: np.ndarray) -> Iterator[str]:
    """Write a `.npy` file without pickle to a temporary path, and yield its SHA-256. At the end it replaces `path`."""
    with saving(path) as temporary:
        # NumPy writes to a real file without Python, and then misses the error if the disk fills up at the last bytes.
        with temporary.open("wb") as file:
            np.save(SimpleNamespace(write=file.write), np.ascontiguousarray(values, np.float32), allow_pickle=False)
        yield fingerprint.of_file(temporary)


@contextmanager
def saving(path: Path) -> Iterator[Path]:
    """Yield a temporary path, whose file replaces `path` at the end.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        message = os.strerror(error.errno) if error.errno else error  # Arrow's message differs from the system's
        raise OutputError(f"{path} could not be written: {message}") from error


class Action(Enum):
    """What to do for one map."""

    COMPUTE = "compute"
    FINISH = "finish"  # measure and draw saved coordinates
    NOTHING = "nothing"


class Status(NamedTuple):
    """The status of one map: the action it needs, and its record.

    Attributes
    ----------
    action : Action
    record : RunRecord or None
        The record of the existing map; None if no valid record describes it.
    changed : str
        What has changed since the map was made; empty if nothing has.
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
        The requested settings.
    page : PageOptions or None
        The requested page; None: no page.
    quality : {"auto", "full", "none"}
        The requested measures.

    Raises
    ------
    OutputExistsError
        There are outputs other than those that the run would make.
    """
    outputs = [files.coords, files.record, *files.drawn(page), *([] if quality == "none" else [files.quality])]
    existing = [path for path in outputs if os.path.exists(path)]  # noqa: PTH110  Path.exists may raise
    if not existing:
        return Status(Action.COMPUTE)
    record = files.read_record()
    if record is None:
        raise _refusal(existing[0], no_record(files.record))
    has_died = _has_died(files, record)
    reason = "" if has_died else _stale(files, record, folder, settings)
    if reason := reason or _altered(files, record.outputs, outputs, has_died=has_died):
        raise _refusal(existing[0], reason)
    if has_died:
        return Status(Action.COMPUTE, record)
    if not record.finished or is_unmeasured(files, record, quality):
        return Status(Action.FINISH, record)
    is_drawn = page is None or _is_drawn(files, record, folder, page)
    return Status(Action.NOTHING if is_drawn else Action.FINISH, record)


def _has_died(files: Outputs, record: RunRecord) -> bool:
    """Return whether the recorded run died before it had saved its coordinates."""
    sha256 = record.outputs.get(files.coords.name, "")
    if record.finished or sha256 is None:
        return sha256 is None
    return not files.coords.is_file() or fingerprint.of_file(files.coords) != sha256


def _is_drawn(files: Outputs, record: RunRecord, folder: Folder, page: PageOptions) -> bool:
    """Return whether the page is complete, with all files it needs, and shows what a new one would show."""
    is_complete = all(path.exists() and record.outputs.get(path.name) for path in files.drawn(page))
    is_complete = is_complete and all(map(os.path.exists, (files.folder / name for name in record.needed_by_page)))
    return is_complete and bool(record.page == folder.describe_page(page))


def no_record(path: Path) -> str:
    """Return why existing outputs have no valid record: it is missing, or the file at `path` is no record."""
    exists = os.path.lexists(path)
    return f"{path.name} is damaged, or not one of gpuvis" if exists else "no run record vouches for it"


def check_ours(files: Outputs, page: PageOptions | None) -> None:
    """Check that the page and its pictures replace no files that another program made, or that were changed.

    Raises
    ------
    OutputExistsError
    """
    record = files.read_own_record()
    sums = record.outputs if record else {}
    for path in files.drawn(page):
        if reason := why_foreign(path, sums):
            raise _refusal(path, reason)


def is_unmeasured(files: Outputs, record: RunRecord, quality: str) -> bool:
    """Return whether requested measures are missing: the run may have died first, or fewer were requested then."""
    measures = record.quality
    if quality == "none":
        return False
    if not measures or not files.quality.exists() or not record.outputs.get(files.quality.name):
        return True
    return quality == "full" and bool(measures.get("points", 0) < record.input.rows)


def of_saved(files: Outputs, folder: Folder) -> Status:
    """Return the status of saved coordinates, even if the cache or the record does not match them.

    A cache that cannot be read counts as unchanged.
    """
    record = files.read_own_record()
    if record is None:
        changed = f"{files.coords.name} is not the map that its record describes" if files.read_record() else ""
        return Status(Action.FINISH, None, changed)
    try:
        differing = fingerprint.differing(record.input.fingerprint, folder.fingerprint)
    except OSError:
        differing = []
    changed = f"the cache has changed since the {files.method} map was made" if differing else ""
    return Status(Action.FINISH, record, changed)


def _stale(files: Outputs, record: RunRecord, folder: Folder, settings: Settings) -> str:
    """Return why the recorded map is not the requested one: another cache or settings; empty if it is."""
    source = record.input
    try:
        if changed := fingerprint.differing(source.fingerprint, folder.fingerprint):
            other = Path(source.folder) != Path(os.path.abspath(folder.path))
            since = f"the cache has changed since ({', '.join(changed)})"
            return f"it is the map of {source.folder}" if other else since
    except OSError as error:
        return f"the cache cannot be compared with it ({error.strerror})"
    before = record.effective
    fitted, _ = settings.fitted_to(source.rows, source.columns)
    now = fitted.describe(files.method)
    keys = before.keys() | now.keys()
    if str(record.repeatable).startswith("identical"):  # the map is repeatable without --deterministic
        keys -= {"deterministic"}
    changed = sorted(key for key in keys if before.get(key) != now.get(key))
    if changed:
        differences = (f"{k} {_or_none(before.get(k))} (now {_or_none(now.get(k))})" for k in changed)
        return f"it was made with {', '.join(differences)}"
    return ""


def _altered(files: Outputs, sums: dict[str, str | None], outputs: list[Path], *, has_died: bool) -> str:
    """Return which output is missing, or not the one in the record, and why; empty if there is none.

    `has_died`: the run died early, so the coordinates may be those of an earlier run, or missing.
    """
    if not has_died and not files.coords.exists() and sums.get(files.coords.name, ""):
        return f"{files.coords.name} is missing"
    if has_died:
        sums = {**sums, files.coords.name: None}
    return next(filter(None, (why_foreign(path, sums) for path in outputs if path != files.record)), "")


def _refusal(path: Path, reason: str) -> OutputExistsError:
    return OutputExistsError(
        f"{path} is there already and {reason}; use --overwrite to replace it, or another --out_prefix to keep both"
    )


def _or_none(value: object) -> object:
    return "none" if value is None else value
