"""The neighbour graph: indices and distances, and the repair of invalid entries; for NumPy and CuPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Array = Any
BLOCK_ROWS = 1 << 16  # rows of the graph that are repaired at a time
FARTHEST = 100  # multiple of the largest squared distance, at which the probability is 0 in float32


@dataclass(frozen=True, eq=False)
class Graph:
    """The nearest neighbours of each of N rows, the row itself first.

    Attributes
    ----------
    indices : array of shape (N, k), int64 or int32
        Column 0 is the row itself.
    distances : array of shape (N, k), float32
        Ascending along each row; column 0 is 0.
    xp : module
        NumPy or CuPy, the library of the arrays.
    details : dict
        Facts about the search, for the run record.
    """

    indices: Array
    distances: Array
    xp: Any
    details: dict[str, Any] = field(default_factory=dict)

    def nearest(self, k: int) -> tuple[Array, Array]:
        """Return the first k columns of indices and distances, in C order; copied only if there are more columns."""
        contiguous = self.xp.ascontiguousarray
        return contiguous(self.indices[:, :k]), contiguous(self.distances[:, :k])


def repaired(indices: Array, distances: Array, xp: Any) -> Graph:
    """Repair a neighbour graph in place: each row becomes its own first neighbour, and every entry becomes valid.

    If several rows are equal, a search may return any of them first, and so many that the row itself is missing. The
    row is moved or inserted to column 0; if it was missing, the last neighbour is dropped.

    Entries may be invalid. A search in batches may leave an entry unfilled: its index is no row, and its distance the
    largest float32 (cuVS 26.10, all_neighbors_batched.cuh). A NaN distance leaves index 0 (raft, select_warpsort.cuh).
    Such an entry becomes the row itself, which is harmless in a layout, at the largest valid distance of the row, so
    that distances still ascend.

    A row without any valid neighbour gets the rows that follow it, all at distance 1. Without edges, cuML's UMAP would
    read memory that was never written (simpl_set_embed/algo.cuh, create_gradient_rounding_factor).

    Negative distances, caused by rounding, become 0.

    Parameters
    ----------
    indices : array of shape (N, k), int64 or int32
    distances : array of shape (N, k), float32
        Ascending along each row, except for invalid entries.
    xp : module
        NumPy or CuPy.

    Returns
    -------
    Graph
        With the same arrays.
    """
    rows, k = indices.shape
    columns = xp.arange(k)[None, :]
    for start in range(0, rows, BLOCK_ROWS):
        ids, lengths = indices[start : start + BLOCK_ROWS], distances[start : start + BLOCK_ROWS]
        own = xp.arange(start, start + len(ids))[:, None]
        valid = (ids >= 0) & (ids < rows) & xp.isfinite(lengths)
        isolated = ~(valid & (ids != own)).any(1)[:, None]
        largest = xp.where(valid.any(1), xp.where(valid, lengths, 0).max(1), 1)[:, None]
        lengths[:] = xp.maximum(xp.where(valid, lengths, largest), 0)
        ids[:] = xp.where(valid, ids, own)
        if bool(isolated.any()):
            lengths[:] = xp.where(isolated, columns > 0, lengths)
            ids[:] = xp.where(isolated, (own + columns) % rows, ids)
        if not bool((valid | isolated).all()):
            order = lengths.argsort(1)
            ids[:], lengths[:] = xp.take_along_axis(ids, order, 1), xp.take_along_axis(lengths, order, 1)
        if not bool((ids[:, :1] == own).all()):
            is_own = ids == own
            column = xp.where(is_own.any(1), is_own.argmax(1), k - 1)[:, None]  # moves to column 0, others move back
            source = xp.where(columns == 0, column, xp.where(columns <= column, columns - 1, columns))
            ids[:] = xp.take_along_axis(ids, source, 1)
            lengths[:] = xp.take_along_axis(lengths, source, 1)
            ids[:, :1] = own
        lengths[:, :1] = 0
    return Graph(indices, distances, xp)


def for_perplexity(distances: Array, xp: Any) -> Array:
    """Change squared distances such that cuML's perplexity search computes the probabilities of t-SNE.

    That search counts column 0, the point itself, as a neighbour at distance 0, which no other t-SNE does. If the other
    distances are nearly equal, the point itself would get most of the probability. So it is moved far away, to
    probability 0. Then the least of the other squared distances is subtracted from all of them. This does not change
    the probabilities, because a constant cancels in p = exp(-b d²) / Σ exp(-b d²). But it makes the sum at least 1,
    while it could otherwise vanish in float32.

    Sources: cuML 26.10, cpp/src/tsne/exact_kernels.cuh, sigmas_kernel; van der Maaten, Hinton 2008, JMLR 9:2579, eq. 1.

    Parameters
    ----------
    distances : array of shape (N, k)
        Ascending along each row; column 0 is the row itself. Not modified.
    xp : module
        NumPy or CuPy.

    Returns
    -------
    array of shape (N, k), float32
    """
    squared = xp.square(distances)
    squared[:, 1:] -= squared[:, 1:2].copy()  # a copy, because CuPy reads and writes in any order
    largest = float(squared.max())
    squared[:, 0] = FARTHEST * (largest or 1.0)
    return squared
