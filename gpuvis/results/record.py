"""The run record: input, settings, backend, versions, and the promise about repeating the map."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gpuvis import arrays, machine
from gpuvis.backends.base import Backend
from gpuvis.settings import Settings

if TYPE_CHECKING:
    from gpuvis.io.cache import Cache
    from gpuvis.reduction.reduce import Reduction

TITLES = {"umap": "UMAP", "tsne": "t-SNE"}


def of_input(cache: Cache, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Describe what went in."""
    rows, columns = cache.embeddings.shape
    return {
        "folder": os.path.abspath(cache.folder),
        "rows": rows,
        "columns": columns,
        "dtype": arrays.kind(cache.embeddings),
        "fingerprint": fingerprint,
        "info": cache.info,
        "notes": list(cache.notes),
    }


def of_backend(backend: Backend, reason: str) -> dict[str, Any]:
    """Describe where something was done, and why there."""
    return {"name": backend.name, "reason": reason, "device": asdict(backend.describe())}


def of_run(source: dict[str, Any], asked: Settings, done: Reduction, backend: Backend, reason: str) -> dict[str, Any]:
    """Describe one map: `source` is what `of_input` gave. What it shows and its outputs are not known yet."""
    return {
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "input": source,
        "backend": of_backend(backend, reason),
        "versions": machine.versions(),
        "asked": asked.describe(done.method),
        "effective": done.effective,
        "notes": list(done.notes),
        "repeatable": backend.promise(done.method, done.plan),
        "plan": done.plan.describe(),
        "neighbors": done.neighbors,
        "layout": done.layout,
        "pca_variance_kept": done.variance_kept,
        "quality": None,
        "steps": done.steps,
        "page": None,
        "outputs": {},
    }


def caption(record: dict[str, Any]) -> str:
    """Say in one line what a map is."""
    settings = {key: value for key, value in record["effective"].items() if value is not None}
    title = TITLES[settings.pop("method")]
    size = f"{record['input']['rows']:,} × {record['input']['columns']:,}"
    parts = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items()]
    cached = record["input"].get("info", {}).get("timestamp")
    dated = [f"cache of {' '.join(str(cached).split())}"] if cached else []
    return " · ".join((title, size, *parts, record["backend"]["name"].upper(), *dated))
