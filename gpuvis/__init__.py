"""gpuvis reduces cached image embeddings to 2-D maps, on a GPU if there is one, otherwise on the CPU.

>>> import gpuvis
>>> cache = gpuvis.read_cache("feat_cache_vis/model_dataset/test/seed1")         # doctest: +SKIP
>>> maps = gpuvis.reduce(cache.embeddings, gpuvis.Settings(pca_dim=50))          # doctest: +SKIP
>>> maps["umap"].coords.shape                                                    # doctest: +SKIP
(1400, 2)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuvis.errors import (
        CacheError,
        DataError,
        GpuvisError,
        NoGpuError,
        NotBuiltError,
        OutOfMemoryError,
        OutputError,
        OutputExistsError,
        QualityError,
        SettingsError,
    )
    from gpuvis.io.cache import Cache
    from gpuvis.io.cache import read as read_cache
    from gpuvis.io.writer import write_cache
    from gpuvis.jobs.batch import Report, Request, run
    from gpuvis.jobs.outcome import Outcome
    from gpuvis.jobs.progress import Progress
    from gpuvis.labels.outliers import Outliers, find_outliers
    from gpuvis.page.html import draw_page as draw
    from gpuvis.page.options import Page, PageOptions
    from gpuvis.quality.measure import Quality, measure
    from gpuvis.reduction.reduce import Reduction, reduce
    from gpuvis.results.saved_map import SavedMap, load_map
    from gpuvis.settings import Settings, Tsne, TsneSettings, Umap, UmapSettings

__version__ = "0.1.0"

# Public names, each with its module, which is imported when the name is first used: `import gpuvis` stays instant.
_HOMES = {
    "Cache": "io.cache:Cache",
    "CacheError": "errors:CacheError",
    "DataError": "errors:DataError",
    "GpuvisError": "errors:GpuvisError",
    "NoGpuError": "errors:NoGpuError",
    "NotBuiltError": "errors:NotBuiltError",
    "OutOfMemoryError": "errors:OutOfMemoryError",
    "Outcome": "jobs.outcome:Outcome",
    "Outliers": "labels.outliers:Outliers",
    "OutputError": "errors:OutputError",
    "OutputExistsError": "errors:OutputExistsError",
    "Page": "page.options:Page",
    "PageOptions": "page.options:PageOptions",
    "Progress": "jobs.progress:Progress",
    "Quality": "quality.measure:Quality",
    "QualityError": "errors:QualityError",
    "Reduction": "reduction.reduce:Reduction",
    "Report": "jobs.batch:Report",
    "Request": "jobs.batch:Request",
    "SavedMap": "results.saved_map:SavedMap",
    "Settings": "settings:Settings",
    "SettingsError": "errors:SettingsError",
    "Tsne": "settings:Tsne",
    "TsneSettings": "settings:TsneSettings",
    "Umap": "settings:Umap",
    "UmapSettings": "settings:UmapSettings",
    "draw": "page.html:draw_page",
    "find_outliers": "labels.outliers:find_outliers",
    "load_map": "results.saved_map:load_map",
    "measure": "quality.measure:measure",
    "read_cache": "io.cache:read",
    "reduce": "reduction.reduce:reduce",
    "run": "jobs.batch:run",
    "write_cache": "io.writer:write_cache",
}

__all__ = [
    "Cache",
    "CacheError",
    "DataError",
    "GpuvisError",
    "NoGpuError",
    "NotBuiltError",
    "OutOfMemoryError",
    "Outcome",
    "Outliers",
    "OutputError",
    "OutputExistsError",
    "Page",
    "PageOptions",
    "Progress",
    "Quality",
    "QualityError",
    "Reduction",
    "Report",
    "Request",
    "SavedMap",
    "Settings",
    "SettingsError",
    "Tsne",
    "TsneSettings",
    "Umap",
    "UmapSettings",
    "__version__",
    "draw",
    "find_outliers",
    "load_map",
    "measure",
    "read_cache",
    "reduce",
    "run",
    "write_cache",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)
