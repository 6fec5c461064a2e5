"""Compute principal components of rows that come in blocks, with NumPy or CuPy.

A first pass over the blocks sums the covariance; a second pass projects them. Memory does not depend on the number of
rows: it is one block and three D × D matrices of float64.
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
        The axes, by descending variance. The entry with the largest absolute value is positive, as in scikit-learn.
    variance_kept : float or None
        Share of the variance along these axes, from 0 to 1; None if all rows are the same.
    """

    mean: Array
    components: Array
    variance_kept: float | None

    def transform(self, block: Array) -> Array:
        """Project rows of shape (n, D), float32; return scores of shape (n, n_components), float32."""
        return (block - self.mean) @ self.components.T

    def fill(self, scores: Array, blocks: Iterable[Array], move: Callable[[Array], Array] = lambda part: part) -> None:
        """Fill the scores of all rows.

        Parameters
        ----------
        scores : array of shape (N, n_components), float32
            Filled in place.
        blocks : iterable of arrays of shape (n, D), float32
            All rows, in order.
        move : callable, optional
            Copies the scores of a block to the device of `scores`.
        """
        start = 0
        for block in blocks:
            scores[start : start + len(block)] = move(self.transform(block))
            start += len(block)


def fit(blocks: Iterable[Array], n_components: int, xp: Any) -> Pca:
    """Compute the principal components of rows that come in blocks.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n, D), float32
        All rows, once; at least two.
    n_components : int
        At most D.
    xp : module
        NumPy or CuPy, the library of the blocks.
    """
    blocks = iter(blocks)
    first = next(blocks)
    shift = block_mean(first, xp)
    return solve(_all_moments(chain([first], blocks), shift, xp), shift, n_components, xp, xp.linalg.eigh)


def _all_moments(blocks: Iterator[Array], shift: Array, xp: Any) -> Iterator[tuple[int, Array, Array]]:
    for block in blocks:
        yield moments(block, shift, xp)
        del block  # frees its memory before the next block is made


def block_mean(block: Array, xp: Any) -> Array:
    """Return the mean of a block of rows, (D,), float32.

    Subtracting it from all rows keeps the digits in which rows far from zero differ.
    """
    return block.mean(0, dtype=xp.float64).astype(xp.float32)


def moments(block: Array, shift: Array, xp: Any) -> tuple[int, Array, Array]:
    """Return the number of rows of a block, their sum, (D,), and the sum of their products, (D, D).

    `shift` is subtracted from each row first. Both sums are float64; the products are computed in float32.
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
    """Compute the principal components from the moments of all blocks.

    The covariance is updated block by block (Chan, Golub, LeVeque 1983, The American Statistician 37:242).

    Parameters
    ----------
    parts : iterable
        The result of `moments` for each block, all with the same shift.
    shift : array of shape (D,), float32
    n_components : int
        At most D.
    xp : module
        NumPy or CuPy.
    eigh : callable
        Returns the eigenvalues of a symmetric matrix, ascending, and its eigenvectors: all of them, or the
        `n_components` largest.
    """
    rows, total, gram = 0, 0.0, 0.0  # type: int, Array, Array
    for count, block_sum, products in parts:
        rows, total, gram = rows + count, total + block_sum, gram + products
    mean = total / rows
    covariance = (gram - rows * mean[:, None] * mean[None, :]) / (rows - 1)
    variances, axes = eigh(covariance)
    axes = axes.T[::-1][:n_components]
    variance = _trace(covariance)
    kept = min(1.0, float(xp.maximum(variances[-n_components:], 0).sum()) / variance) if variance > 0 else None
    components = xp.where(_is_flipped(axes, xp), -axes, axes)
    return Pca((shift + mean).astype(xp.float32), xp.ascontiguousarray(components, xp.float32), kept)


def _trace(matrix: Array) -> float:
    return float(matrix.reshape(-1)[:: len(matrix) + 1].sum())


def _is_flipped(axes: Array, xp: Any) -> Array:
    """Return whether the entry of each axis with the largest absolute value is negative, (n_components, 1)."""
    return xp.take_along_axis(axes, xp.abs(axes).argmax(1)[:, None], 1) < 0


def gram_scores(
    X: Array, n_components: int, xp: Any, eigh: Callable[[Array], tuple[Array, Array]]
) -> tuple[Array, float | None]:
    """Compute the scores from the Gram matrix, and the share of variance kept, for fewer rows than columns.

    The N × N Gram matrix is then smaller than the covariance. Its eigenvectors, times the square roots of its
    eigenvalues, are the scores.

    Parameters
    ----------
    X : array of shape (N, D)
    n_components : int
    xp : module
        NumPy or CuPy.
    eigh : callable
        As in `solve`.

    Returns
    -------
    scores : array of shape (N, n_components), float32
    variance_kept : float or None
        None if all rows are the same.
    """
    X = X - X.mean(0, dtype=xp.float64)
    products = X @ X.T
    eigenvalues, vectors = eigh(products)
    eigenvalues, vectors = xp.maximum(eigenvalues[::-1][:n_components], 0), vectors[:, ::-1][:, :n_components]
    vectors = xp.where(_is_flipped((X.T @ vectors).T, xp).T, -vectors, vectors)
    variance = _trace(products)
    kept = min(1.0, float(eigenvalues.sum()) / variance) if variance > 0 else None
    return xp.ascontiguousarray(vectors * xp.sqrt(eigenvalues), xp.float32), kept
