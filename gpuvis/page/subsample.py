"""Choose the points to draw if a map has too many: rare classes, suspects and isolated points are kept first."""

from __future__ import annotations

import numpy as np

MOST_POINTS = 1_000_000  # a browser cannot draw more of them in reasonable time
RARE = 1_000  # all points of a class with at most this many are kept
CELLS = 1024  # cells along each side of the map
LONELY = 2  # a point is isolated if its cell holds at most this many points


def rows(coords: np.ndarray, codes: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray | None:
    """Return the rows to draw, in ascending order; None for all.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    codes : ndarray of shape (N,), unsigned
        The class of each point; of length 0 if there are no classes.
    keep : ndarray of shape (N,), bool, optional
        Other points to keep first, such as suspects.

    Returns
    -------
    ndarray of at most 1,000,000 integers, or None
        At most half of them are rare, isolated or in `keep`; the others are a random sample.
    """
    if len(coords) <= MOST_POINTS:
        return None
    generator = np.random.default_rng(0)
    kept = _lonely(coords)
    if len(codes):
        kept |= (np.bincount(codes) <= RARE)[codes]
    if keep is not None:
        kept |= keep
    first, rest = np.flatnonzero(kept), np.flatnonzero(~kept)
    first = generator.choice(first, min(len(first), MOST_POINTS // 2), replace=False)
    rest = generator.choice(rest, min(len(rest), MOST_POINTS - len(first)), replace=False)
    return np.sort(np.concatenate([first, rest]))


def _lonely(coords: np.ndarray) -> np.ndarray:
    """Return which points of shape (N, 2) are isolated, as bools of shape (N,)."""
    coords = coords / 4  # so that differences of very large numbers do not overflow
    low, high = coords.min(0), coords.max(0)
    cells = ((coords - low) * (CELLS / np.where(high > low, high - low, 1))).astype(np.int32).clip(max=CELLS - 1)
    cell = cells[:, 0] * CELLS + cells[:, 1]
    lonely: np.ndarray = (np.bincount(cell) <= LONELY)[cell]
    return lonely
