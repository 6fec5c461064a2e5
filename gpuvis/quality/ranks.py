"""For a sample of rows, the anchors: their nearest neighbours, ranks and distances among all rows.

The measures of a map compare two spaces: the original columns and the plane of the map. In one space, `compare` finds
for each anchor:

- its k nearest rows;
- the ranks of given rows, which are its neighbours in the other space. The rank of a row is one more than the number
  of rows that are closer to the anchor, so closer rows are counted and nothing is sorted;
- the distances of rows that were drawn for it at random.

All rows are read once, in blocks. `Backend.tally` updates the counts and the nearest rows from the distances of the
anchors to each block, so the distances of the anchors to all rows are never held at once.

Distances of some metrics come from matrix products (`by_products` in `gpuvis.settings.METRICS`). They are quick, but
rounding may be as large as small distances. Three precautions make that harmless: rows far from zero are centred first
(`spaces`); a row counts as closer only if its distance is smaller by more than rounding (`_limits`); and if rounding is
still too large for the nearest neighbours of most anchors, everything is computed again in float64 (`_needs_float64`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuvis.backends.base import Array, Backend
from gpuvis.io import pt
from gpuvis.settings import METRICS

NARROW = 4  # columns up to which differences are as quick as products, and more precise
SAMPLE = 256  # rows from which the center is computed
BLOCK = 1 << 24  # most values of a block of rows
MOST_ROUNDING = 1e-3  # of the distance of the farthest neighbour: above this, float64 is used
FAR = 16.0  # center² over spread²: above this, rows count as far from zero, and products would lose digits
FEW = 64  # rows with scattered indices that are read at a time; the system maps more of the file around each of them
SLACK = 16  # two distances count as equal if they differ by no more than this many rounding units


class Rows(NamedTuple):
    """Rows of shape (n, D), and their sums of squares, (n,)."""

    values: Array
    squares: Array

    def part(self, indices: Any) -> Rows:
        """Return the rows at a slice or at indices."""
        return Rows(self.values[indices], self.squares[indices])


class Comparison(NamedTuple):
    """How m anchors compare with all rows, by one metric.

    Attributes
    ----------
    nearest : array of shape (m, k)
        The rows nearest to each anchor, without the anchor itself, the nearest first.
    closer : array of shape (m, t)
        How many rows are closer to the anchor than each of the given rows; the rank of a given row is one more. Rows
        at equal distances share the lowest rank.
    distances : array of shape (m, c)
        Distances from the anchor to the rows that were drawn for it; euclidean ones are squared.
    """

    nearest: Array
    closer: Array
    distances: Array


@dataclass(frozen=True, eq=False)
class Space:
    """Rows, and the metrics by which they are compared.

    Attributes
    ----------
    X : torch.Tensor or array of shape (N, D)
    metrics : tuple of str
        One metric; or euclidean and cosine, which share their matrix products.
    backend : Backend
    scale : float
        Factor by which X is multiplied first.
    precise : bool
        Whether to compute in float64. The values themselves are rounded to float32 either way.
    center : array of shape (D,), optional
        Subtracted from all rows.
    """

    X: Any
    metrics: tuple[str, ...]
    backend: Backend
    scale: float
    precise: bool
    center: Array | None = None

    @property
    def dtype(self) -> Any:
        """Return the type of distances."""
        return np.float64 if self.precise or not METRICS[self.metrics[0]].by_products else np.float32

    def rows(self, indices: Any) -> Rows:
        """Return the rows at a slice or at an array of indices."""
        scattered = not isinstance(indices, slice)
        parts = np.array_split(indices, -(-len(indices) // FEW)) if scattered else [indices]
        pieces = [self._read(part) for part in parts]
        values = self.backend.xp.concatenate(pieces) if scattered else pieces[0]
        if self.center is not None:
            values = values - self.center
        if "correlation" in self.metrics:
            values = values - values.mean(1, keepdims=True, dtype=np.float64).astype(self.dtype)
        return Rows(values, self.backend.xp.einsum("ij,ij->i", values, values))

    def _read(self, indices: Any) -> Array:
        values = self.backend.as_array(self.X[indices], self.scale).astype(self.dtype, copy=False)
        pt.release_pages(self.X)
        return values

    def distances(self, A: Rows, B: Rows) -> Iterator[Array]:
        """Yield the distances between rows, (m, n), by each metric; euclidean ones are squared."""
        if self._by_differences:
            metric = "sqeuclidean" if self.metrics[0] == "euclidean" else self.metrics[0]
            yield self.backend.cdist(A.values, B.values, metric)
        else:
            products = A.values @ B.values.T
            yield from (self._from_products(metric, products, A, B) for metric in self.metrics)

    def rounding(self, metric: str, distances: Array, squares: Array) -> Array:
        """Return by how much two equal distances may differ because of rounding.

        `squares`: the sums of squares of both rows, added.
        """
        share = SLACK * float(np.finfo(self.dtype).eps)
        if self._by_differences:
            return distances * share
        return squares * share if metric == "euclidean" else share

    @property
    def _by_differences(self) -> bool:
        narrow = self.metrics == ("euclidean",) and self.X.shape[1] <= NARROW
        return narrow or not METRICS[self.metrics[0]].by_products

    def _from_products(self, metric: str, products: Array, A: Rows, B: Rows) -> Array:
        """Return squared euclidean distances, |a|² - 2 ab + |b|²; or cosine ones, 1 - ab / (|a| |b|)."""
        if metric == "euclidean":
            distances = products * -2
            distances += A.squares[:, None]
            distances += B.squares
        else:
            distances = products * -self._inverse_norms(A)[:, None]
            distances *= self._inverse_norms(B)
            distances += 1
        return distances

    def _inverse_norms(self, rows: Rows) -> Array:
        """Return one over the norm of each row; 0 for a row of zeros, whose distance to all others is then 1."""
        xp, nonzero = self.backend.xp, rows.squares > 0
        return xp.where(nonzero, 1 / xp.sqrt(xp.where(nonzero, rows.squares, 1)), 0)


def spaces(X: Any, metric: str, anchors: np.ndarray, scale: float, backend: Backend) -> Iterator[Space]:
    """Yield the original space with euclidean distances and, if `metric` is not euclidean, with those of `metric`.

    Both share one space if they can share matrix products. Rows far from zero are centred for euclidean distances.
    Everything is computed in float64 if all rows are anchors.
    """
    precise = len(anchors) == len(X)
    euclidean = Space(X, ("euclidean",), backend, scale, precise)
    center = _center(euclidean, anchors)
    if metric == "cosine" and center is None and X.shape[1] > NARROW:
        yield Space(X, ("euclidean", "cosine"), backend, scale, precise)
        return
    yield replace(euclidean, center=center)
    if metric != "euclidean":
        yield Space(X, (metric,), backend, scale, precise)


def _center(space: Space, anchors: np.ndarray) -> Array | None:
    """Return the median of each column over a sample; None if it is near zero, compared with the spread of rows.

    The median, because a few large rows would move the mean.
    """
    rows = space.backend.to_numpy(space.rows(anchors[:: -(-len(anchors) // SAMPLE)]).values)
    center = np.median(rows, 0)
    spread = np.median(np.square(rows - center).sum(1))
    return space.backend.xp.asarray(center) if center @ center > FAR * spread else None


def compare(space: Space, anchors: np.ndarray, ids: np.ndarray, drawn: np.ndarray, k: int) -> list[Comparison]:
    """Compare anchors with all rows, by each metric of a space.

    Parameters
    ----------
    space : Space
    anchors : ndarray of shape (m,)
        Indices of the anchors, ascending.
    ids : ndarray of shape (m, t)
        Rows whose ranks to return.
    drawn : ndarray of shape (m, c)
        Rows whose distances to return.
    k : int
        How many nearest rows to return.

    Returns
    -------
    list of Comparison
        One for each metric, with NumPy arrays.
    """
    backend, xp, shape = space.backend, space.backend.xp, (len(anchors), k)
    A, own, drawn = space.rows(anchors), xp.asarray(anchors), xp.asarray(drawn)
    rows = A.part if len(anchors) == len(space.X) else space.rows
    limits, farthest = _limits(space, A, rows, ids), [xp.full(shape, np.inf, space.dtype) for _ in space.metrics]
    comparisons = [
        Comparison(xp.full(shape, -1, np.int32), xp.zeros(ids.shape, np.int64), xp.zeros(drawn.shape, space.dtype))
        for _ in space.metrics
    ]

    def compare_block(first: int, block: Rows, bounds: tuple[int, int]) -> None:
        part = slice(*bounds)
        own_offsets, drawn_offsets = own[part] - first, drawn[part] - first
        (own_inside,), drawn_inside = _inside(own_offsets, block, xp), _inside(drawn_offsets, block, xp)
        anchor, _ = drawn_inside
        for m, distances in enumerate(space.distances(A.part(part), block)):
            nearest, closer, of_drawn = (values[part] for values in comparisons[m])
            of_drawn[drawn_inside] = distances[anchor, drawn_offsets[drawn_inside]]
            distances[own_inside, own_offsets[own_inside]] = np.inf  # no anchor is its own neighbour
            backend.tally(distances, first, limits[m][part], closer, farthest[m][part], nearest)

    size, (anchor_count, _) = _block_rows(space), backend.COMPARED
    for first in range(0, len(space.X), size):
        compare_part = partial(compare_block, first, rows(slice(first, first + size)))
        backend.in_parts(compare_part, len(anchors), anchor_count)
    if k and not space.precise and _needs_float64(space, A, farthest):
        return compare(replace(space, precise=True), anchors, ids, drawn, k)
    return [Comparison(*map(backend.to_numpy, comparison)) for comparison in comparisons]


def _inside(offsets: Array, block: Rows, xp: Any) -> tuple[Array, ...]:
    """Return where offsets from the first row of a block point to a row of that block."""
    places: tuple[Array, ...] = xp.where((offsets >= 0) & (offsets < len(block.values)))
    return places


def _needs_float64(space: Space, A: Rows, distances: list[Array]) -> bool:
    """Check whether rounding is too large to order the nearest rows of most anchors, by any of the metrics.

    `distances`: for each metric the distances of the nearest rows, (m, k), ascending.
    """
    for metric, of_nearest in zip(space.metrics, distances, strict=True):
        last = of_nearest[:, -1:]
        if float((space.rounding(metric, last, 2 * A.squares[:, None]) > MOST_ROUNDING * last).mean()) > 0.5:
            return True
    return False


def _block_rows(space: Space) -> int:
    """Return how many rows to compare at a time: fewer if they have many columns."""
    columns: int = space.X.shape[1]
    _, row_count = space.backend.COMPARED
    return max(1, min(row_count, BLOCK // columns))


def _limits(space: Space, A: Rows, rows: Callable[[Any], Rows], ids: np.ndarray) -> list[Array]:
    """Lower-bound the distances of given rows, (m, t), to the anchors by each metric: the distances less rounding."""
    backend, (count, width) = space.backend, ids.shape
    limits = [backend.xp.empty(ids.shape, space.dtype) for _ in space.metrics]

    def fill(bounds: tuple[int, int]) -> None:
        first, last = bounds
        part, each = slice(first, last), backend.xp.arange(last - first)
        anchors, B = A.part(part), rows(ids[part].ravel())
        for metric, limit, distances in zip(space.metrics, limits, space.distances(anchors, B), strict=True):
            distances -= space.rounding(metric, distances, anchors.squares[:, None] + B.squares)
            limit[part] = distances.reshape(len(each), len(each), width)[each, each]  # each anchor with its own rows

    if width:  # one product compares every anchor of a part with the rows of all of them
        anchor_count, _ = backend.COMPARED
        backend.in_parts(fill, count, max(1, min(anchor_count // 8, _block_rows(space) // width)))
    return limits
