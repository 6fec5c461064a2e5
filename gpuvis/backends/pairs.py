"""Coordinates x, y, x, y ... of some points, for the compiled loops: copied from all over a map, and summed.

A loop that fetches, computes and sums in one is slow: it would fetch by vector instructions, which take longer, and it
could not be vectorised, since its sum would have another order. So there are three: fetch, compute in place, sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuvis.backends.compiled import inlined

F = np.float32


@inlined
def fetched(points: Any, near: Any, room: Any) -> Any:
    """Copy the points near to one into room, int64, which has at least as many; return x, y, x, y ... as float32."""
    packed = points.reshape(-1).view(np.int64)  # x and y as one number
    for t in range(len(near)):
        room[t] = packed[near[t]]
    return room.view(np.float32)[: 2 * len(near)]


@inlined
def summed(pairs: Any) -> Any:
    """Return the sum of x and that of y: four of each at a time, which the vector units can follow."""
    x0, y0, x1, y1, x2, y2, x3, y3 = F(0), F(0), F(0), F(0), F(0), F(0), F(0), F(0)
    t = 0
    while t + 8 <= len(pairs):
        x0, y0, x1, y1 = x0 + pairs[t], y0 + pairs[t + 1], x1 + pairs[t + 2], y1 + pairs[t + 3]
        x2, y2, x3, y3 = x2 + pairs[t + 4], y2 + pairs[t + 5], x3 + pairs[t + 6], y3 + pairs[t + 7]
        t += 8
    while t < len(pairs):
        x0, y0 = x0 + pairs[t], y0 + pairs[t + 1]
        t += 2
    return (x0 + x1) + (x2 + x3), (y0 + y1) + (y2 + y3)
