"""The points of a map in boxes of those that lie near each other, which are looked at or passed over as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuvis.backends import order
from gpuvis.backends.compiled import count_below, dealt, insert, kernel, part, prange

BOX = 64  # points of a box, and boxes of a crate
F = np.float32


@dataclass(frozen=True, eq=False)
class Boxed:
    """A map in boxes, which stand in crates.

    Attributes
    ----------
    points : ndarray of shape (2, N), float32
    ids, places : ndarrays of shape (N,), int64
        Which point stands at each place, and the place of each point.
    boxes, crates : ndarrays of shape (4, count), float32
        The least and the greatest value of each along one axis, and along the other.
    """

    points: np.ndarray
    ids: np.ndarray
    places: np.ndarray
    boxes: np.ndarray
    crates: np.ndarray


def boxed(coords: np.ndarray) -> Boxed:
    """Put the points of a map, (N, 2), in boxes."""
    ids = order.along(coords)
    places, points = np.empty_like(ids), np.ascontiguousarray(coords[ids].T)
    places[ids] = np.arange(len(ids))
    return Boxed(points, ids, places, *_around(points))


def _around(points: np.ndarray) -> list[np.ndarray]:
    """Return the boxes of points that stand in order, and their crates."""
    sides = [(np.minimum, points[0]), (np.maximum, points[0]), (np.minimum, points[1]), (np.maximum, points[1])]
    return [
        np.stack([least.reduceat(values, np.arange(0, points.shape[1], size)) for least, values in sides])
        for size in (BOX, BOX * BOX)
    ]


@part
def _bounds(low: Any, high: Any, at: Any) -> Any:
    """Return the squares of the least and the greatest distance of an interval from a value.

    They are rounded as those of points are, so that no point is on the wrong side.
    """
    below, above = low - at, high - at
    return max(below, -above, F(0)) ** 2, max(-below, above) ** 2


@part
def _reach(boxes: Any, b: int, x: Any, y: Any) -> Any:
    """Return the squares of the least and the greatest distance of a box from a place."""
    least_x, most_x = _bounds(boxes[0, b], boxes[1, b], x)
    least_y, most_y = _bounds(boxes[2, b], boxes[3, b], y)
    return least_x + least_y, most_x + most_y


@kernel
def _nearest(boxed: Any, at: Any, found: Any) -> None:
    for i in prange(len(at)):
        _nearest_to(boxed, at[i], found[i])


@part
def _nearest_to(boxed: Any, place: int, near: Any) -> None:
    (points, ids, boxes, crates), far = boxed, np.full(len(near), np.inf, boxed[0].dtype)
    x, y, last = points[0, place], points[1, place], len(near) - 1
    for c in range(crates.shape[1]):
        crate = (place // (BOX * BOX) + c) % crates.shape[1]  # its own first: those near to it are mostly there
        if _reach(crates, crate, x, y)[0] >= far[last]:
            continue
        first, count = crate * BOX, min(BOX, boxes.shape[1] - crate * BOX)
        for b in range(count):
            box = first + (place // BOX + b) % count
            if _reach(boxes, box, x, y)[0] >= far[last]:
                continue
            for j in range(box * BOX, min(box * BOX + BOX, len(ids))):
                apart = (points[0, j] - x) ** 2 + (points[1, j] - y) ** 2
                if apart < far[last] and j != place:
                    insert(apart, ids[j], far, near)


def nearest_on_map(boxed: Boxed, anchors: np.ndarray, k: int) -> np.ndarray:
    """Return the k points of a map that are nearest to each anchor, but for itself, (m, k), the nearest first."""
    found = np.full((len(anchors), k), -1, np.int64)
    _nearest((boxed.points, boxed.ids, boxed.boxes, boxed.crates), boxed.places[anchors], found)
    return found


@kernel
def _closer(boxed: Any, which: Any, places: Any, limits: Any, closer: Any) -> None:
    for i in prange(len(which)):
        _closer_to(boxed, places[which[i]], limits[which[i]], closer[which[i]])


@part
def _crossed(boxes: Any, start: int, place: Any, limits: Any) -> Any:
    """Return which of some limits, that rise, cross each of `BOX` boxes: first and last, not counted; (2, BOX).

    They are found for all boxes at a time, in arrays of their own, so that the vector units can follow.
    """
    count, (x, y) = min(BOX, boxes.shape[1] - start), place
    reach, crossed = np.empty((2, count), boxes.dtype), np.zeros((2, count), np.int32)
    for b in range(count):
        reach[0, b], reach[1, b] = _reach(boxes, start + b, x, y)
    for t in range(len(limits)):
        for b in range(count):
            crossed[0, b] += np.int32(limits[t] <= reach[0, b])
            crossed[1, b] += np.int32(limits[t] <= reach[1, b])
    return crossed


@part
def _closer_to(boxed: Any, place: Any, limits: Any, closer: Any) -> None:
    (points, boxes, crates), values, rows = boxed, np.empty(BOX, boxed[0].dtype), boxed[0].shape[1]
    whole = np.zeros(len(limits) + 1, np.int64)  # points that are within this limit and those after it
    for c in range(crates.shape[1]):
        if c % BOX == 0:
            of_crates = _crossed(crates, c, place, limits)
        first, last = of_crates[0, c % BOX], of_crates[1, c % BOX]
        if first == last:
            whole[last] += min(BOX * BOX, rows - c * BOX * BOX)
            continue
        of_boxes = _crossed(boxes, c * BOX, place, limits)
        for b in range(of_boxes.shape[1]):
            first, last, start = of_boxes[0, b], of_boxes[1, b], (c * BOX + b) * BOX
            some = values[: min(BOX, rows - start)]
            whole[last] += len(some)
            if first < last:
                for j in range(len(some)):
                    some[j] = (points[0, start + j] - place[0]) ** 2 + (points[1, start + j] - place[1]) ** 2
                for t in range(first, last):
                    closer[t] += count_below(some, limits[t])
    for t in range(len(limits)):
        whole[t + 1] += whole[t]
        closer[t] += whole[t]


def closer_on_map(boxed: Boxed, anchors: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count the points of a map that are closer to each anchor than each of its limits, which are squared distances.

    Where the anchors are a sample, each is told by a sample of the points, spread all over the map.
    """
    at, (every, turn) = boxed.places[anchors], dealt(anchors, len(anchors) == len(boxed.ids))
    rising, places = limits.argsort(1), boxed.points.T[at]
    limits = np.take_along_axis(limits, rising, 1)
    found = -((limits > 0) & (at % every == turn)[:, None]).astype(np.int64)  # an anchor is found too, at no distance
    for one in range(min(every, len(boxed.ids))):
        points = np.ascontiguousarray(boxed.points[:, one::every])
        _closer((points, *_around(points)), np.flatnonzero(turn == one), places, limits, found)
    closer: np.ndarray = np.empty_like(found)
    np.put_along_axis(closer, rising, found * every, 1)
    return closer
