"""Choose the points that are drawn where there are too many: rare classes, suspects, lonely points."""

from __future__ import annotations

import numpy as np

MOST_POINTS = 1_000_000  # a browser draws no more of them in reasonable time
RARE = 1_000  # points of a class that are all kept
CELLS, LONELY = 1024, 2  # along each side of the map, and points in a cell that stand alone there


def rows(coords: np.ndarray, codes: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray | None:
    """Return the rows to be drawn, rising; None for all.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    codes : ndarray of shape (N,), unsigned
        The class of each point; of length 0 if there are none.
    wanted : ndarray of shape (N,), bool, optional
        Points that are all kept too.
    """
    if len(coords) <= MOST_POINTS:
        return None
    draw = np.random.default_rng(0)
    kept = _lonely(coords)
    if len(codes):
        kept |= (np.bincount(codes) <= RARE)[codes]
    if wanted is not None:
        kept |= wanted
    first, rest = np.flatnonzero(kept), np.flatnonzero(~kept)
    first = draw.choice(first, min(len(first), MOST_POINTS // 2), replace=False)
    rest = draw.choice(rest, min(len(rest), MOST_POINTS - len(first)), replace=False)
    return np.sort(np.concatenate([first, rest]))


def _lonely(coords: np.ndarray) -> np.ndarray:
    coords = coords / 4  # else differences of very large numbers overflow
    low, high = coords.min(0), coords.max(0)
    cell = ((coords - low) * (CELLS / np.where(high > low, high - low, 1))).astype(np.int32).clip(max=CELLS - 1)
    cell = cell[:, 0] * CELLS + cell[:, 1]
    lonely: np.ndarray = (np.bincount(cell) <= LONELY)[cell]
    return lonely
