"""How the files of a map stand: up to date, to be finished, or in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from gpuvis.errors import OutputExistsError
from gpuvis.io import fingerprint
from gpuvis.page.options import Page
from gpuvis.results import annotations as beside
from gpuvis.results.outputs import Outputs, foreign
from gpuvis.settings import Settings


class Action(Enum):
    """What is to be done for one map."""

    COMPUTE = "compute"
    FINISH = "finish"  # measure and draw saved coordinates
    NOTHING = "nothing"


def action(
    files: Outputs,
    cache: Path,
    settings: Settings,
    page: Page | None,
    quality: str,
    content: Callable[[], dict[str, Any]],
) -> Action:
    """Tell what is to be done for a map, before anything is computed.

    Parameters
    ----------
    files : Outputs
    cache : Path
        The cache folder.
    settings : Settings
        What is asked now.
    page : Page or None
        What the page is to show; None: no page.
    quality : {"auto", "full", "none"}
        What is to be measured.
    content : callable
        Gives the fingerprint of the cache.

    Raises
    ------
    OutputExistsError
        There are outputs that are not what would be made now.
    """
    written = [files.coords, files.record, *files.drawn(page), *([] if quality == "none" else [files.quality])]
    there = [path for path in written if os.path.exists(path)]  # noqa: PTH110  Path.exists may raise
    if not there:
        return Action.COMPUTE
    record = files.read_record()
    was_begun = record is not None and record["outputs"].get(files.coords.name, "") is None  # by a run that died
    reason = no_record(files.record) if record is None else ""
    if record and not was_begun:
        reason = _stale(files, record, cache, settings, content)
    reason = reason or _altered(files, record or {}, written)
    if record is None or reason:
        raise _refusal(there[0], reason)
    if was_begun:
        return Action.COMPUTE
    if is_unmeasured(files, record, quality):
        return Action.FINISH
    if page is None:
        return Action.NOTHING
    whole = all(path.exists() and record["outputs"].get(path.name) for path in files.drawn(page))
    whole = whole and all(map(os.path.exists, (files.folder / name for name in record.get("needed_by_page", ()))))
    return Action.NOTHING if whole and record["page"] == beside.described(page, cache, files.folder) else Action.FINISH


def no_record(path: Path) -> str:
    """Say why no record vouches for files that are there."""
    there = os.path.lexists(path)
    return f"{path.name} is damaged, or not one of gpuvis" if there else "no run record vouches for it"


def check_ours(files: Outputs, page: Page | None) -> None:
    """Check that what is to be drawn replaces nothing that something else has made or changed.

    Raises
    ------
    OutputExistsError
    """
    sums = (files.read_own_record() or {}).get("outputs", {})
    for path in files.drawn(page):
        if reason := foreign(path, sums):
            raise _refusal(path, reason)


def is_unmeasured(files: Outputs, record: dict[str, Any], quality: str) -> bool:
    """Tell whether something is to be measured that was not yet: its run may have died before, or asked for less."""
    told = record.get("quality")
    if quality == "none":
        return False
    if not told or not files.quality.exists() or not record["outputs"].get(files.quality.name):
        return True
    return quality == "full" and bool(told.get("points", 0) < record["input"]["rows"])


def of_saved(files: Outputs, cache: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the run record of saved coordinates, None if none vouches for them, and what has changed since, if any.

    A cache that is not there any more tells nothing.
    """
    run = files.read_own_record()
    if run is None:
        return None, f"{files.coords.name} is not the map that its record tells of" if files.read_record() else ""
    try:
        changed = fingerprint.differing(run["input"]["fingerprint"], fingerprint.of_cache(cache))
    except OSError:
        changed = []
    return run, f"the cache has changed since the {files.method} map was made" if changed else ""


def _stale(
    files: Outputs, record: dict[str, Any], cache: Path, settings: Settings, content: Callable[[], dict[str, Any]]
) -> str:
    """Say why a record cannot stand for what is asked now; empty if it can."""
    told = record["input"]
    try:
        if changed := fingerprint.differing(told["fingerprint"], content()):
            other = Path(str(told.get("folder"))) != Path(os.path.abspath(cache))
            since = f"the cache has changed since ({', '.join(changed)})"
            return f"it is the map of {told.get('folder')}" if other else since
    except OSError as error:
        return f"the cache cannot be compared with it ({error.strerror})"
    before = record["effective"]
    now = settings.fitted_to(told["rows"], told["columns"])[0].describe(files.method)
    keys = before.keys() | now.keys()
    if str(record.get("repeatable")).startswith("identical"):  # --deterministic asks for no more
        keys -= {"deterministic"}
    changed = sorted(key for key in keys if before.get(key) != now.get(key))
    if changed:
        told = (f"{k} {_shown(before.get(k))} (now {_shown(now.get(k))})" for k in changed)
        return f"it was made with {', '.join(told)}"
    return ""


def _altered(files: Outputs, record: dict[str, Any], written: list[Path]) -> str:
    """Say which file is not the one that the record vouches for; empty if all are."""
    sums = record.get("outputs", {})
    if not files.coords.exists() and sums.get(files.coords.name, ""):
        return f"{files.coords.name} is missing"
    return next(filter(None, (foreign(path, sums) for path in written if path != files.record)), "")


def _refusal(path: Path, reason: str) -> OutputExistsError:
    return OutputExistsError(
        f"{path} is there already and {reason}; use --overwrite to replace it, or another --out_prefix to keep both"
    )


def _shown(value: object) -> object:
    return "none" if value is None else value
