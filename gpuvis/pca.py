"""Principal components of data that need not fit in memory, written once for NumPy and CuPy.

One pass over the rows, block by block, sums the covariance; a second one projects. Memory: a block and three D × D
matrices of float64, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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

    The products are taken in float32, of rows shifted to the mean of the first block (so that a mean far from zero
    costs no digits), and summed in float64.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n, D), float32
        All rows, once; two or more.
    n_components : int
        How many; at most D.
    xp : module
        NumPy or CuPy: whose arrays the blocks are.

    Source: the covariance by updating, Chan, Golub, LeVeque 1983, The American Statistician 37:242.
    """
    rows = 0
    shift: Array = None
    total: Array = 0.0
    gram: Array = 0.0
    for block in blocks:
        if rows == 0:
            shift = block.mean(0, dtype=xp.float64).astype(xp.float32)
        shifted = block - shift
        rows += len(block)
        total = total + shifted.sum(0, dtype=xp.float64)
        gram = gram + (shifted.T @ shifted).astype(xp.float64)
        del block, shifted  # before the next block is made
    mean = total / rows
    covariance = (gram - rows * mean[:, None] * mean[None, :]) / (rows - 1)
    variances, axes = xp.linalg.eigh(covariance)  # rising
    axes = axes.T[::-1][:n_components]
    peaks = xp.take_along_axis(axes, xp.abs(axes).argmax(1)[:, None], 1)
    components = xp.where(peaks < 0, -axes, axes)
    whole = float(xp.maximum(variances, 0).sum())
    kept = float(xp.maximum(variances[-n_components:], 0).sum()) / whole if whole > 0 else None
    return Pca((shift + mean).astype(xp.float32), xp.ascontiguousarray(components, xp.float32), kept)
