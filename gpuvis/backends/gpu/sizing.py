"""Whether a plan fits, and what would if it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gpuvis.backends.gpu.limits import MOST_ROWS
from gpuvis.backends.gpu.memory_model import Bytes, told
from gpuvis.backends.gpu.plan import Plan, Work, draft
from gpuvis.errors import DataError, OutOfMemoryError, SettingsError
from gpuvis.settings import Settings


def plan(work: Work) -> Plan:
    """Plan a reduction that fits.

    Raises
    ------
    OutOfMemoryError
        A step does not fit; the message says by how much, and what would.
    SettingsError
        An exact graph is needed and would take too long.
    DataError
        There are more rows than cuML can count.
    """
    if work.rows > MOST_ROWS:
        raise DataError(f"has {work.rows:,} rows; cuML counts up to {MOST_ROWS:,}: reduce a sample")
    drafted = draft(work)
    excess = _excess(work, drafted)
    if excess:
        raise OutOfMemoryError(f"{excess}; {_advice(work)}")
    return drafted


def _excess(work: Work, drafted: Plan) -> str | None:
    """Say what does not fit, if anything."""
    for method, graph in drafted.graphs.items():
        countable = graph.on_host and method == "umap"  # which looks at a graph on the host in another way
        if work.rows * graph.k > MOST_ROWS and not countable:
            return f"{method} of {work.rows:,} rows with {graph.k} neighbours each has more entries than cuML can count"
    for name, step in drafted.steps.items():
        if not work.fits(step):
            return (
                f"step {name} of {work.rows:,} × {work.columns:,} needs {_told(step)}; "
                f"there are {_told(work.room if work.host_known else Bytes(work.room.device))}"
            )
    return None


def _told(size: Bytes) -> str:
    host = f" and {told(size.host)} on the host" if size.host else ""
    return f"{told(size.device)} on the device{host}"


def _advice(work: Work) -> str:
    """Say what would fit, found by trying."""
    for advice, settings in _alternatives(work):
        other = replace(work, settings=settings)
        try:
            if not _excess(other, draft(other)):
                return advice
        except SettingsError:
            continue
    return "use a larger GPU, a machine with more memory, or a sample of the rows"


def _alternatives(work: Work) -> Iterator[tuple[str, Settings]]:
    """Give milder settings, the mildest change first."""
    asked = work.settings
    if len(asked.methods) > 1:
        for method in asked.methods:
            yield f"{method} alone would fit", asked.only(method)
    smaller = [asked]
    if asked.pca_dim is None and work.columns > 50:
        smaller.append(replace(asked, pca_dim=50))
        yield "use --pca_dim 50", smaller[1]
    for base, also in zip(smaller, ("", " and --pca_dim 50"), strict=False):
        if base.umap:
            for k in range(base.umap.n_neighbors - 1, 4, -1):
                yield f"use --umap_neighbors {k}{also}", replace(base, umap=replace(base.umap, n_neighbors=k))
        if base.tsne:
            for perplexity in range(int(base.tsne.perplexity - 0.5), 4, -1):
                changed = replace(base.tsne, perplexity=float(perplexity))
                yield f"use --tsne_perplexity {perplexity}{also}", replace(base, tsne=changed)
