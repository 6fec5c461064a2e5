"""The neighbour graph, indices and distances, and its repair; for NumPy and CuPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Array = Any
BLOCK_ROWS = 1 << 16  # of the graph, taken at a time
FARTHEST = 100  # times the largest squared distance: so far away that the probability is 0 in float32


@dataclass(frozen=True, eq=False)
class Graph:
    """The nearest neighbours of each row, the row itself first.

    Attributes
    ----------
    indices : array of shape (N, k), int64 or int32
        Column 0 is the row itself.
    distances : array of shape (N, k), float32
        Rising along each row; column 0 is 0.
    xp : module
        NumPy or CuPy: whose arrays they are.
    details : dict
        What is to be recorded of the search.
    """

    indices: Array
    distances: Array
    xp: Any
    details: dict[str, Any] = field(default_factory=dict)

    def nearest(self, k: int) -> tuple[Array, Array]:
        """Return the first k columns of indices and distances, in C order: copies only if there are more."""
        whole = self.xp.ascontiguousarray
        return whole(self.indices[:, :k]), whole(self.distances[:, :k])


def repaired(indices: Array, distances: Array, xp: Any) -> Graph:
    """Put every row itself into its column 0, in place, and see that each has another row beside it.

    Among equal rows a search may return any of them first, or so many that the row itself is not among them; then the
    last neighbour makes room. A search in batches may leave places unfilled, with no row's number and float32's largest
    distance (cuVS 26.10, all_neighbors_batched.cuh); a distance that is no number leaves its place with row 0 (raft,
    select_warpsort.cuh). Such places get the row itself, which no layout minds, and the largest distance of their row,
    so that distances still rise. Of a row of which no neighbour is known the rows that follow are neighbours, as far as
    each other: cuML's UMAP would else read the slot of a row without edges, which nothing ever wrote
    (simpl_set_embed/algo.cuh, create_gradient_rounding_factor). Rounding below 0 becomes 0.
    """
    rows, k = indices.shape
    columns = xp.arange(k)[None, :]
    for start in range(0, rows, BLOCK_ROWS):
        found, far = indices[start : start + BLOCK_ROWS], distances[start : start + BLOCK_ROWS]
        own = xp.arange(start, start + len(found))[:, None]
        known = (found >= 0) & (found < rows) & xp.isfinite(far)
        alone = ~(known & (found != own)).any(1)[:, None]
        largest = xp.where(known.any(1), xp.where(known, far, 0).max(1), 1)[:, None]
        far[:] = xp.maximum(xp.where(known, far, largest), 0)
        found[:] = xp.where(known, found, own)
        if bool(alone.any()):
            far[:], found[:] = xp.where(alone, columns > 0, far), xp.where(alone, (own + columns) % rows, found)
        if not bool((known | alone).all()):
            order = far.argsort(1)
            found[:], far[:] = xp.take_along_axis(found, order, 1), xp.take_along_axis(far, order, 1)
        if not bool((found[:, :1] == own).all()):
            here = found == own
            at = xp.where(here.any(1), here.argmax(1), k - 1)[:, None]
            source = xp.where(columns == 0, at, xp.where(columns <= at, columns - 1, columns))
            found[:] = xp.take_along_axis(found, source, 1)
            far[:] = xp.take_along_axis(far, source, 1)
            found[:, :1] = own
        far[:, :1] = 0
    return Graph(indices, distances, xp)


def for_perplexity(distances: Array, xp: Any) -> Array:
    """Return squared distances from which cuML's perplexity search finds the probabilities of t-SNE.

    That search counts column 0, the point itself, as a neighbour at distance 0, which no other t-SNE does: with many
    columns nearly as far as each other it takes most of the probability. So it is moved out of reach. Then the nearest
    of the others is taken as 0: the probabilities are those before, since a constant cancels in
    p = exp(-b d²) / Σ exp(-b d²), and the sum stays above 1, where in float32 it might vanish.

    Read in cuML 26.10, cpp/src/tsne/exact_kernels.cuh, sigmas_kernel; definition: van der Maaten, Hinton 2008, eq. 1.

    Parameters
    ----------
    distances : array of shape (N, k)
        Rising along each row; column 0 is the row itself. It stays as it is.

    Returns
    -------
    array of shape (N, k), float32
    """
    squared = xp.square(distances)
    squared[:, 1:] -= squared[:, 1:2].copy()  # of its own: CuPy reads and writes in any order
    largest = float(squared.max())
    squared[:, 0] = FARTHEST * (largest or 1.0)
    return squared
