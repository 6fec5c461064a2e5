"""The records of maps and of scores: input, settings, backend, versions, measures and outputs, saved as JSON.

The keys of records are used only here and in `schema.py`. A record without a format number has format 0, with the same
keys as format 1.
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
    """The cache from which maps or scores were computed.

    Attributes
    ----------
    rows, columns : int
        Shape of the embeddings.
    fingerprint : dict
        Fingerprint of the files, as `gpuvis.io.fingerprint.of_cache` returns it.
    folder : str
        Absolute path of the cache folder.
    dtype : str
        Data type of the embeddings.
    info : dict
        Content of `meta.json`.
    notes : list of str
        Anything unusual in the cache.
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
        """Describe a cache."""
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
    """The fields that records of maps and of scores have in common.

    Attributes
    ----------
    input : CacheRecord
    outputs : dict of str to (str or None)
        The SHA-256 of each output file by its name; None: the file is about to be written.
    backend : dict
        `name`, `reason` (why it was chosen) and `device`; `worker` if a worker of a cluster did it.
    versions : dict of str to str
        Versions of Python and of the packages that may affect the result.
    steps : dict
        Seconds and peak memory of each step.
    written : str
        Date and time, as `now` returns them.
    """

    input: CacheRecord
    outputs: dict[str, str | None]
    backend: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    written: str = ""

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> Self:
        """Build a record from JSON values; keys that are no fields are ignored."""
        source = CacheRecord(**_only_fields(CacheRecord, values["input"]))
        return cls(**_only_fields(cls, values) | {"input": source})

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def _only_fields(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values whose keys are fields of a dataclass."""
    names = {each.name for each in fields(cls)}
    return {key: value for key, value in values.items() if key in names}


@dataclass
class RunRecord(_Record):
    """The record of one map.

    Attributes
    ----------
    asked, effective : dict
        The requested settings, and those that were really used.
    notes : list of str
        Anything unusual that is not an error.
    repeatable : str
        Whether another run gives the same map, as the backend promises.
    plan, neighbors, layout : dict
        Details of the plan, the neighbour search and the layout.
    pca_variance_kept : float or None
        Share of the variance that PCA kept; None without PCA.
    quality : dict or None
        The measures of the map.
    page : dict or None
        What the page shows, as `Folder.shown` returns it; None if there is no page, or it is not up to date.
    needed_by_page : list of str
        Paths of the files that the page loads, relative to it.
    finished : bool
        Whether the run has written all its files. If not, the coordinates may still be those of an earlier run:
        compare their SHA-256 with the one in `outputs`.
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
    def of(
        cls,
        source: CacheRecord,
        requested: Settings,
        reduction: Reduction,
        backend: Backend,
        reason: str,
        worker: str = "",
    ) -> Self:
        """Describe one map before its files are written; for the last three see `describe_backend`."""
        return cls(
            input=source,
            outputs={},
            backend=describe_backend(backend, reason, worker),
            versions=machine.versions(),
            steps=reduction.steps,
            written=now(),
            effective=reduction.effective,
            asked=requested.describe(reduction.method),
            notes=list(reduction.notes),
            repeatable=backend.promise(reduction.method, reduction.plan),
            plan=reduction.plan.describe(),
            neighbors=reduction.neighbors,
            layout=reduction.layout,
            pca_variance_kept=reduction.variance_kept,
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None if the file is missing or holds no valid record."""
        values = schema.read(path, schema.MAP)
        return cls._from_json(values) if values else None

    @property
    def method(self) -> str:
        """The method of the map."""
        return str(self.effective["method"])

    @property
    def metric(self) -> str | None:
        """The metric of the map; None if the record does not name it."""
        return self.effective.get("metric")

    @property
    def caption(self) -> str:
        """One line that describes the map: method, size, settings, backend, and the date of the cache."""
        settings = {key: value for key, value in self.effective.items() if value is not None and key != "method"}
        size = f"{self.input.rows:,} × {self.input.columns:,}"
        parts = [
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items()
        ]
        timestamp = self.input.info.get("timestamp")
        date = [f"cache of {' '.join(str(timestamp).split())}"] if timestamp else []
        return " · ".join((METHODS[self.method].title, size, *parts, self.backend["name"].upper(), *date))


@dataclass
class ScoresRecord(_Record):
    """The record of a folder's scores.

    Attributes
    ----------
    found : dict
        Counts of suspect labels and duplicates, and details of the neighbour search.
    worst : list of dict
        The rows with the most suspicious labels.
    notes : list of str
        Anything unusual that is not an error.
    """

    found: dict[str, Any] = field(default_factory=dict)
    worst: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None if the file is missing or holds no valid record."""
        values = schema.read(path, schema.SCORES)
        return cls._from_json(values) if values else None


def describe_backend(backend: Backend, reason: str, worker: str = "") -> dict[str, Any]:
    """Describe a backend and its device, why it was chosen, and the worker of a cluster, if there is one."""
    described = {"name": backend.name, "reason": reason, "device": asdict(backend.describe())}
    return {**described, "worker": worker} if worker else described


def now() -> str:
    """Return the date and time as records hold them, for example 2025-01-31T12:00:00+0100."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
