"""The run records, whose keys only this file knows: input, settings, backend, versions, measures, outputs.

Only this file knows their keys. A record without a format number is of format 0, which has the same keys.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gpuvis import arrays, machine
from gpuvis.results import schema
from gpuvis.settings import METHODS

if TYPE_CHECKING:
    from gpuvis.backends.base import Backend
    from gpuvis.io.cache import Cache
    from gpuvis.reduction.reduce import Reduction
    from gpuvis.settings import Settings

FORMAT = 1


@dataclass
class CacheRecord:
    """The cache that something was computed from.

    Attributes
    ----------
    rows, columns : int
        Of the embeddings.
    fingerprint : dict
        Of the cache's files.
    folder : str
        The absolute path of the cache.
    dtype : str
        Of the embeddings.
    info : dict
        What `meta.json` holds.
    notes : list of str
        What was unusual in the cache.
    """

    rows: int
    columns: int
    fingerprint: dict[str, Any]
    folder: str = ""
    dtype: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, cache: Cache, fingerprint: dict[str, Any]) -> Self:
        """Describe a cache that was read."""
        rows, columns = cache.embeddings.shape
        return cls(
            rows,
            columns,
            fingerprint,
            os.path.abspath(cache.folder),
            arrays.dtype_name(cache.embeddings),
            cache.info,
            list(cache.notes),
        )


@dataclass
class _Record:
    """The common fields of records of maps and of scores.

    Attributes
    ----------
    input : CacheRecord
    outputs : dict of str to (str or None)
        The SHA-256 of each file by its name; None: the file is about to be written.
    backend : dict
        `name`, `reason` and `device`.
    versions : dict of str to str
        Of Python and of the packages that bear on the result.
    steps : dict
        Seconds and peak memory of each step.
    written : str
        When.
    """

    input: CacheRecord
    outputs: dict[str, str | None]
    backend: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    written: str = ""

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> Self:
        known = {one.name for one in fields(cls)}
        of_input = {one.name for one in fields(CacheRecord)}
        source = CacheRecord(**{key: value for key, value in values["input"].items() if key in of_input})
        return cls(**{key: value for key, value in values.items() if key in known} | {"input": source})

    def to_json(self) -> str:
        """Return the record as text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


@dataclass
class RunRecord(_Record):
    """The record of one map.

    Attributes
    ----------
    asked, effective : dict
        The settings that were asked for, and those that applied.
    notes : list of str
        What was unusual.
    repeatable : str
        What is promised about repeating the map.
    plan, neighbors, layout : dict
        How it was done: the plan, the neighbour search, the layout.
    pca_variance_kept : float or None
    quality : dict or None
        The measures of the map.
    page : dict or None
        What the page shows; None: there is none, or it is not up to date.
    needed_by_page : list of str
        Paths of files that the page loads, relative to it.
    finished : bool
        All files of the run are written. Of a run that died before, the coordinates may be its own or earlier ones;
        `outputs` has the SHA-256 of its own.
    """

    effective: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    repeatable: str = ""
    plan: Any = None
    neighbors: Any = None
    layout: Any = None
    pca_variance_kept: float | None = None
    quality: dict[str, Any] | None = None
    page: Any = None
    needed_by_page: list[str] = field(default_factory=list)
    finished: bool = True

    @classmethod
    def of(cls, source: CacheRecord, asked: Settings, done: Reduction, backend: Backend, reason: str) -> Self:
        """Describe one map; its outputs and page are not known yet."""
        return cls(
            input=source,
            outputs={},
            backend=of_backend(backend, reason),
            versions=machine.versions(),
            steps=done.steps,
            written=now(),
            effective=done.effective,
            asked=asked.describe(done.method),
            notes=list(done.notes),
            repeatable=backend.promise(done.method, done.plan),
            plan=done.plan.describe(),
            neighbors=done.neighbors,
            layout=done.layout,
            pca_variance_kept=done.variance_kept,
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None where there is none, or it is not one of ours."""
        values = schema.read(path, schema.MAP)
        return cls._from_json(values) if values else None

    @property
    def method(self) -> str:
        """The method of the map."""
        return str(self.effective["method"])

    @property
    def metric(self) -> str | None:
        """The metric of the map; None: the record does not say."""
        return self.effective.get("metric")

    @property
    def caption(self) -> str:
        """The map in one line."""
        settings = {key: value for key, value in self.effective.items() if value is not None and key != "method"}
        size = f"{self.input.rows:,} × {self.input.columns:,}"
        parts = [
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items()
        ]
        cached = self.input.info.get("timestamp")
        dated = [f"cache of {' '.join(str(cached).split())}"] if cached else []
        return " · ".join((METHODS[self.method].title, size, *parts, self.backend["name"].upper(), *dated))


@dataclass
class ScoresRecord(_Record):
    """The record of a folder's scores.

    Attributes
    ----------
    found : dict
        Counts of suspects and duplicates, and how they were found.
    worst : list of dict
        The rows of the most suspicious labels.
    """

    found: dict[str, Any] = field(default_factory=dict)
    worst: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None where there is none, or it is not one of ours."""
        values = schema.read(path, schema.SCORES)
        return cls._from_json(values) if values else None


def of_backend(backend: Backend, reason: str) -> dict[str, Any]:
    """Describe where something was done, and why there."""
    return {"name": backend.name, "reason": reason, "device": asdict(backend.describe())}


def now() -> str:
    """Return the time as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
