"""Distinct, stable colours for classes.

The first eight are those of Okabe and Ito (2008, "Color Universal Design"), which colour-blind readers can tell
apart, without black. Each further one is the colour of a grid that lies farthest from all before it, measured in
Oklab (Ottosson 2020), where equal distances look about equal. So colour k never depends on how many classes follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
GRID_STEPS = 19  # per channel: 6,859 colours, of which those neither too light nor too dark are used
GREY = "#9a9a9a"  # where nothing is known
MOST = 4_000  # so many are different at least
GOLDEN = (5**0.5 - 1) / 2
HUE_SPREAD = 0.3  # radians over which the shades of one parent go
LIGHTNESS = (0.48, 0.88)  # Oklab L; seen on white and on black


def colors(count: int) -> list[str]:
    """Return `count` colours as hexadecimal strings, all different up to `MOST`, then from the start again."""
    order = _order(count)
    return [order[k % len(order)] for k in range(count)]


def families(parents: Sequence[int], members: Sequence[int]) -> list[str]:
    """Return a colour for each class: one hue for each parent, shades of it for its members.

    Both are numbers, and the colour depends on them alone. Hues follow the golden section, by which any few numbers in
    a row lie well apart (Knuth, The Art of Computer Programming 3, 6.4); shades follow multiples of square roots, which
    spread evenly over lightness, chroma and a little of the hue (Weyl 1916): of the small roots these three keep
    numbers that are up to 24 apart least alike.
    """
    light, vivid, turn = (np.asarray(members)[:, None] * np.sqrt((22, 10, 3)) % 1).T
    hue = 2 * np.pi * (np.asarray(parents) * GOLDEN % 1) + HUE_SPREAD * (turn - 0.5)
    lightness, chroma = 0.44 + 0.42 * light, 0.08 + 0.1 * vivid
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1)
    return written(_srgb(lab))


def rgb(colors: Iterable[str]) -> np.ndarray:
    """Return colours written as #rrggbb as an array of shape (n, 3), uint8."""
    return np.array([list(bytes.fromhex(color[1:])) for color in colors], np.uint8)


def written(colors: np.ndarray) -> list[str]:
    """Return colours of shape (n, 3), whole numbers from 0 to 255, as #rrggbb."""
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in colors]


def in_order(names: Iterable[str]) -> list[str]:
    """Sort class names as people would: "class 2" before "class 10"."""
    return sorted(set(names), key=lambda name: ([_part(p) for p in re.split(r"(\d+)", name)], name))


def _part(text: str) -> tuple[int, int, str]:
    digits = text.lstrip("0")  # more of them are a larger number; int refuses very many
    return (0, len(digits), digits) if text.isdecimal() else (1, 0, text.casefold())


@lru_cache
def _order(count: int) -> list[str]:
    grid = _grid()
    lab, chosen = _oklab(grid), list(OKABE_ITO)
    nearest = np.min([np.sum((lab - c) ** 2, 1) for c in _oklab(rgb(OKABE_ITO))], axis=0)
    while len(chosen) < count and nearest.max() > 0:
        best = int(nearest.argmax())
        chosen += written(grid[best : best + 1])
        nearest = np.minimum(nearest, np.sum((lab - lab[best]) ** 2, 1))
    return chosen


def _grid() -> np.ndarray:
    levels = np.linspace(0, 255, GRID_STEPS).round().astype(int)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    light = _oklab(grid)[:, 0]
    return grid[(light > LIGHTNESS[0]) & (light < LIGHTNESS[1])]


# Linear sRGB to cone responses, and their cube roots to Oklab (bottosson.github.io/posts/oklab).
TO_LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                   [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
TO_LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                   [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def _oklab(colors: np.ndarray) -> np.ndarray:
    """Turn sRGB of shape (n, 3), 0 to 255, into Oklab."""
    c = colors / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    lab: np.ndarray = np.cbrt(linear @ TO_LMS.T) @ TO_LAB.T
    return lab


def _srgb(lab: np.ndarray) -> np.ndarray:
    """Turn Oklab into sRGB, whole numbers from 0 to 255; what has no such colour gets the nearest on each channel."""
    linear = np.clip((lab @ np.linalg.inv(TO_LAB).T) ** 3 @ np.linalg.inv(TO_LMS).T, 0, 1)
    c = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    whole: np.ndarray = np.round(c * 255).astype(np.int64)
    return whole
