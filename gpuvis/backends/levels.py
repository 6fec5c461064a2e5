"""Distances as integers of 16 bits, of which the vector units compare several times as many at a time.

Half of the levels are below the widest gap between some limits, so that rows near by are told apart however far away
others are. Distances of one level count as equal: `ranks.tally` makes that good.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.compiled import part

LOWEST, MOST = np.float32(-32768), np.float32(32767)
LEAST_WIDTH = np.float32(1e-30)  # of a range of distances, which may be none


def spread_over(limits: np.ndarray) -> np.ndarray:
    """Spread the levels from the least to the greatest of some limits.

    Parameters
    ----------
    limits : ndarray of shape (E, m, t), float32
        Two or more for each anchor.

    Returns
    -------
    ndarray of shape (E, m, 3), float32
        The distance of level 0, and how many levels there are for each unit below it, and above it.
    """
    rising = np.sort(limits, 2)
    middle = np.take_along_axis(rising, np.diff(rising).argmax(2)[:, :, None], 2)[:, :, 0]
    widths = middle - rising[:, :, 0], rising[:, :, -1] - middle
    return np.stack([middle, *(MOST / np.maximum(width, LEAST_WIDTH) for width in widths)], 2)


@part
def set_levels(distances: Any, spread: Any, levels: Any) -> None:
    """Write the levels of distances; all that are out of reach are of the outermost."""
    middle, below, above = spread
    for j in range(len(distances)):
        away = distances[j] - middle
        levels[j] = max(min(away * below, np.float32(0)), LOWEST) + min(max(away * above, np.float32(0)), MOST)


@part
def count_lower(levels: Any, limit: Any) -> Any:
    """Count levels below one, of 32,767 at most."""
    count = np.int16(0)  # of the width of a level, which the vector units can follow
    for j in range(len(levels)):
        count = np.int16(count + np.int16(levels[j] < limit))
    return count
