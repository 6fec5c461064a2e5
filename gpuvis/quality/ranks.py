"""Neighbours of anchors, and ranks of rows by distance, in blocks of all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuvis.backends.base import Array, Backend
from gpuvis.io import pt
from gpuvis.settings import METRICS

NARROW = 4  # columns up to which differences are as quick as products, and lose no digit
SAMPLE = 256  # rows whose middle is found
BLOCK = 1 << 24  # values of rows that are compared at a time, at most
ROUNDED = 1e-3  # of the distance of a neighbour: where rounding may be more, all is done again in float64
FAR = 16.0  # times the spread of rows: a middle that large in square would cost digits
FEW = 64  # rows that are read at a time from all over a file, around each of which the system maps more
SLACK = 16  # roundings within which two distances are equal


class Rows(NamedTuple):
    """Rows of shape (n, D), and their squares, (n,)."""

    values: Array
    squares: Array

    def part(self, some: Any) -> Rows:
        """Return some of them."""
        return Rows(self.values[some], self.squares[some])


class Seen(NamedTuple):
    """What m anchors see of all rows, by one metric.

    Attributes
    ----------
    near : array of shape (m, k)
        The rows nearest to each anchor but itself, the nearest first.
    closer : array of shape (m, t)
        How many rows are closer to it than each of those that were asked for; the rank of that one is one more. Equal
        distances share the lowest rank.
    drawn : array of shape (m, c)
        Distances of the rows that were drawn for it; euclidean ones squared.
    """

    near: Array
    closer: Array
    drawn: Array


@dataclass(frozen=True, eq=False)
class Space:
    """Rows as some metrics see them.

    Attributes
    ----------
    X : torch.Tensor or array of shape (N, D)
    metrics : tuple of str
        One, or euclidean and cosine, whose products are taken once.
    backend : Backend
    scale : float
        What X is multiplied by first.
    precise : bool
        Work in float64, of the values as float32.
    middle : array of shape (D,), optional
        What is taken off all rows.
    """

    X: Any
    metrics: tuple[str, ...]
    backend: Backend
    scale: float
    precise: bool
    middle: Array | None = None

    @property
    def dtype(self) -> Any:
        """Return the type of distances."""
        return np.float64 if self.precise or not METRICS[self.metrics[0]].by_products else np.float32

    def rows(self, which: Any) -> Rows:
        """Return some rows; which: a slice or numbers."""
        scattered = not isinstance(which, slice)
        parts = np.array_split(which, -(-len(which) // FEW)) if scattered else [which]
        found = [self._read(part) for part in parts]
        found = self.backend.xp.concatenate(found) if scattered else found[0]
        if self.middle is not None:
            found = found - self.middle
        if "correlation" in self.metrics:
            found = found - found.mean(1, keepdims=True, dtype=np.float64).astype(self.dtype)
        return Rows(found, self.backend.xp.einsum("ij,ij->i", found, found))

    def _read(self, which: Any) -> Array:
        found = self.backend.as_array(self.X[which], self.scale).astype(self.dtype, copy=False)
        pt.let_go(self.X)
        return found

    def distances(self, A: Rows, B: Rows) -> Iterator[Array]:
        """Give the distances of rows, (m, n), by each metric; euclidean ones squared."""
        if self._by_differences:
            metric = "sqeuclidean" if self.metrics[0] == "euclidean" else self.metrics[0]
            yield self.backend.cdist(A.values, B.values, metric)
        else:
            products = A.values @ B.values.T
            yield from (self._of_products(metric, products, A, B) for metric in self.metrics)

    def rounding(self, metric: str, distances: Array, squares: Array) -> Array:
        """Return how much two distances may differ by rounding alone; `squares`: of both rows, summed."""
        share = SLACK * float(np.finfo(self.dtype).eps)
        if self._by_differences:
            return distances * share
        return squares * share if metric == "euclidean" else share

    @property
    def _by_differences(self) -> bool:
        narrow = self.metrics == ("euclidean",) and self.X.shape[1] <= NARROW
        return narrow or not METRICS[self.metrics[0]].by_products

    def _of_products(self, metric: str, products: Array, A: Rows, B: Rows) -> Array:
        if metric == "euclidean":
            found = products * -2
            found += A.squares[:, None]
            found += B.squares
        else:
            found = products * -self._inverse(A)[:, None]
            found *= self._inverse(B)
            found += 1
        return found

    def _inverse(self, rows: Rows) -> Array:
        """Return one over the length of each row; 0 for a row of zeros, which is as far from all."""
        xp, some = self.backend.xp, rows.squares > 0
        return xp.where(some, 1 / xp.sqrt(xp.where(some, rows.squares, 1)), 0)


def spaces(X: Any, metric: str, anchors: np.ndarray, scale: float, backend: Backend) -> Iterator[Space]:
    """Give the original space as euclidean distances see it and, if that is another, as `metric` does.

    Where rows are far from zero, euclidean distances are of rows less their middle. All is done in float64 if all rows
    are anchors.
    """
    precise = len(anchors) == len(X)
    euclidean = Space(X, ("euclidean",), backend, scale, precise)
    middle = _middle(euclidean, anchors)
    if metric == "cosine" and middle is None and X.shape[1] > NARROW:
        yield Space(X, ("euclidean", "cosine"), backend, scale, precise)
        return
    yield replace(euclidean, middle=middle)
    if metric != "euclidean":
        yield Space(X, (metric,), backend, scale, precise)


def _middle(space: Space, anchors: np.ndarray) -> Array | None:
    """Return the median of each column; None unless they are far from zero, compared with the spread of rows.

    They are of a sample, and no few large rows move them.
    """
    rows = space.backend.to_numpy(space.rows(anchors[:: -(-len(anchors) // SAMPLE)]).values)
    middle = np.median(rows, 0)
    spread = np.median(np.square(rows - middle).sum(1))
    return space.backend.xp.asarray(middle) if middle @ middle > FAR * spread else None


def compare(space: Space, anchors: np.ndarray, ids: np.ndarray, drawn: np.ndarray, k: int) -> list[Seen]:
    """Compare anchors with all rows: the `k` nearest, the ranks of some rows, and distances of others, by each metric.

    Parameters
    ----------
    space : Space
    anchors : ndarray of shape (m,)
        Which rows they are.
    ids : ndarray of shape (m, t)
        Rows whose ranks are asked for.
    drawn : ndarray of shape (m, c)
        Rows whose distances are.
    k : int
        How many of the nearest.

    Returns
    -------
    list of Seen
        With arrays of the host.
    """
    backend, xp, shape = space.backend, space.backend.xp, (len(anchors), k)
    A, own, drawn = space.rows(anchors), xp.asarray(anchors), xp.asarray(drawn)
    rows = A.part if len(anchors) == len(space.X) else space.rows
    limits, far = _limits(space, A, rows, ids), [xp.full(shape, np.inf, space.dtype) for _ in space.metrics]
    seen = [
        Seen(xp.full(shape, -1, np.int32), xp.zeros(ids.shape, np.int64), xp.zeros(drawn.shape, space.dtype))
        for _ in space.metrics
    ]

    def compare_block(first: int, B: Rows, bounds: tuple[int, int]) -> None:
        part = slice(*bounds)
        own_here, drawn_here = own[part] - first, drawn[part] - first
        (one,), of_drawn = _inside(own_here, B, xp), _inside(drawn_here, B, xp)
        for e, found in enumerate(space.distances(A.part(part), B)):
            seen[e].drawn[part][of_drawn] = found[of_drawn[0], drawn_here[of_drawn]]
            found[one, own_here[one]] = np.inf
            backend.tally(found, first, limits[e][part], seen[e].closer[part], far[e][part], seen[e].near[part])

    size = _block_rows(space)
    for first in range(0, len(space.X), size):
        block = partial(compare_block, first, rows(slice(first, first + size)))
        backend.in_parts(block, len(anchors), backend.COMPARED[0])
    if k and not space.precise and _is_rounded(space, A, far):
        return compare(replace(space, precise=True), anchors, ids, drawn, k)
    return [Seen(*map(backend.to_numpy, one)) for one in seen]


def _inside(places: Array, block: Rows, xp: Any) -> tuple[Array, ...]:
    """Return which rows, given by how far behind the first of a block they come, lie in it."""
    found: tuple[Array, ...] = xp.where((places >= 0) & (places < len(block.values)))
    return found


def _is_rounded(space: Space, A: Rows, far: list[Array]) -> bool:
    """Tell whether rounding says much of which rows are the nearest; `far`: how far these are from the anchors."""
    for metric, distances in zip(space.metrics, far, strict=True):
        last = distances[:, -1:]
        if float((space.rounding(metric, last, 2 * A.squares[:, None]) > ROUNDED * last).mean()) > 0.5:
            return True
    return False


def _block_rows(space: Space) -> int:
    """Return how many rows are compared at a time: fewer if they are wide."""
    columns: int = space.X.shape[1]
    return max(1, min(space.backend.COMPARED[1], BLOCK // columns))


def _limits(space: Space, A: Rows, rows: Callable[[Any], Rows], ids: np.ndarray) -> list[Array]:
    """Return how far rows, (m, t), are from the anchors, less what rounding may make of that, by each metric."""
    backend, (count, width) = space.backend, ids.shape
    limits = [backend.xp.empty(ids.shape, space.dtype) for _ in space.metrics]

    def find(bounds: tuple[int, int]) -> None:
        part, each = slice(*bounds), backend.xp.arange(bounds[1] - bounds[0])
        some, B = A.part(part), rows(ids[part].ravel())
        for metric, limit, found in zip(space.metrics, limits, space.distances(some, B), strict=True):
            found -= space.rounding(metric, found, some.squares[:, None] + B.squares)
            limit[part] = found.reshape(len(each), len(each), width)[each, each]  # of each anchor its own rows

    if width:  # each anchor is compared with the rows of all of its part
        backend.in_parts(find, count, max(1, min(backend.COMPARED[0] // 8, _block_rows(space) // width)))
    return limits
