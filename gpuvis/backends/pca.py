"""Principal components, block by block, for NumPy and CuPy.

One pass over the rows, block by block, sums the covariance; a second one projects. Memory: a block and three D × D
matrices of float64, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

Array = Any


@dataclass(frozen=True, eq=False)
class Pca:
    """Principal components.

    Attributes
    ----------
    mean : array of shape (D,), float32
    components : array of shape (n_components, D), float32
        The axes, by falling variance. The entry of each that is the largest in size is positive, as in scikit-learn.
    variance_kept : float or None
        Share of the variance along these axes; None: the rows are all the same.
    """

    mean: Array
    components: Array
    variance_kept: float | None

    def transform(self, block: Array) -> Array:
        """Project rows of shape (n, D): scores of shape (n, n_components), float32."""
        return (block - self.mean) @ self.components.T

    def fill(self, scores: Array, blocks: Iterable[Array], place: Callable[[Array], Array] = lambda part: part) -> None:
        """Write the scores of all rows, which come in blocks; `place` brings a part to where the scores lie."""
        start = 0
        for block in blocks:
            scores[start : start + len(block)] = place(self.transform(block))
            start += len(block)


def fit(blocks: Iterable[Array], n_components: int, xp: Any) -> Pca:
    """Find the principal components of rows that come in blocks.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n, D), float32
        All rows, once; two or more.
    n_components : int
        How many; at most D.
    xp : module
        NumPy or CuPy: whose arrays the blocks are.
    """
    blocks = iter(blocks)
    first = next(blocks)
    shift = middle(first, xp)
    return solve(_all_moments(chain([first], blocks), shift, xp), shift, n_components, xp, xp.linalg.eigh)


def _all_moments(blocks: Iterator[Array], shift: Array, xp: Any) -> Iterator[tuple[int, Array, Array]]:
    for block in blocks:
        yield moments(block, shift, xp)
        del block  # before the next block is made


def middle(block: Array, xp: Any) -> Array:
    """Return the mean of some rows, float32: shifted by it, a mean far from zero costs no digits."""
    return block.mean(0, dtype=xp.float64).astype(xp.float32)


def moments(block: Array, shift: Array, xp: Any) -> tuple[int, Array, Array]:
    """Return how many rows a block has, their sum and the sum of their products, float64, after a shift.

    The products are taken in float32.
    """
    shifted = block - shift
    return len(block), shifted.sum(0, dtype=xp.float64), (shifted.T @ shifted).astype(xp.float64)


def solve(
    parts: Iterable[tuple[int, Array, Array]],
    shift: Array,
    n_components: int,
    xp: Any,
    eigh: Callable[[Array], tuple[Array, Array]],
) -> Pca:
    """Find the principal components from the moments of all blocks.

    `eigh` gives the eigenvalues, rising, and eigenvectors of a symmetric matrix: all of them, or the largest.

    Source: the covariance by updating, Chan, Golub, LeVeque 1983, The American Statistician 37:242.
    """
    rows, total, gram = 0, 0.0, 0.0  # type: int, Array, Array
    for count, summed, products in parts:
        rows, total, gram = rows + count, total + summed, gram + products
    mean = total / rows
    covariance = (gram - rows * mean[:, None] * mean[None, :]) / (rows - 1)
    variances, axes = eigh(covariance)
    axes = axes.T[::-1][:n_components]
    whole = _trace(covariance)
    kept = min(1.0, float(xp.maximum(variances[-n_components:], 0).sum()) / whole) if whole > 0 else None
    components = xp.where(_turned(axes, xp), -axes, axes)
    return Pca((shift + mean).astype(xp.float32), xp.ascontiguousarray(components, xp.float32), kept)


def _trace(matrix: Array) -> float:
    return float(matrix.reshape(-1)[:: len(matrix) + 1].sum())


def _turned(axes: Array, xp: Any) -> Array:
    """Tell for each axis whether its largest entry in size is negative."""
    return xp.take_along_axis(axes, xp.abs(axes).argmax(1)[:, None], 1) < 0


def of_few_rows(
    X: Array, n_components: int, xp: Any, eigh: Callable[[Array], tuple[Array, Array]]
) -> tuple[Array, float | None]:
    """Return the scores, float32, and the variance kept of fewer rows than columns, from the products of rows.

    The eigenvectors of the N × N matrix of products, times the roots of its eigenvalues, are the scores.
    """
    X = X - X.mean(0, dtype=xp.float64)
    products = X @ X.T
    squares, sides = eigh(products)
    squares, sides = xp.maximum(squares[::-1][:n_components], 0), sides[:, ::-1][:, :n_components]
    sides = xp.where(_turned((X.T @ sides).T, xp).T, -sides, sides)
    whole = _trace(products)
    kept = min(1.0, float(squares.sum()) / whole) if whole > 0 else None
    return xp.ascontiguousarray(sides * xp.sqrt(squares), xp.float32), kept
