"""Choose distinct, stable colours for classes.

The first eight colours have the hues of Okabe and Ito (2008, "Color Universal Design") without black, which readers who
are colour-blind can distinguish, darkened or lightened until each has a contrast of 3 : 1 or more with the white page
and with the dark one (WCAG 2.2, 1.4.11). Each further colour is the one in a grid that is farthest from all earlier
colours; up to `CLEAR` colours the grid has this contrast too. Distances are measured in Oklab (Ottosson 2020), where
equal distances look about equal. So colour k does not depend on how many classes follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

FIRST = ("#0068b0", "#bd8500", "#009e73", "#c4709f", "#3d9cd8", "#cc4b00", "#667700", "#8a8a8a")
CLEAR = 24  # colours that have a contrast of 3 : 1 or more with both pages
LUMINANCE = (0.13, 0.298)  # of colours with this contrast: relative luminance as WCAG defines it
GRID_STEPS = 19  # per channel: 6,859 colours, without those that are too light or too dark
GREY = "#9a9a9a"  # the colour of points without a value
MOST = 4_000  # at least this many colours are different
GOLDEN = (5**0.5 - 1) / 2
HUE_SPREAD = 0.3  # range of the hues of one parent, in radians
LIGHTNESS = (0.48, 0.88)  # range of Oklab's L that is visible on white and on black


def colors(count: int) -> list[str]:
    """Return `count` colours as #rrggbb: up to `MOST` all are different; after the last colour they repeat."""
    order = _order(count)
    return [order[k % len(order)] for k in range(count)]


def families(parents: Sequence[int], members: Sequence[int]) -> list[str]:
    """Return a colour for each class: one hue for each parent, shades of it for its classes.

    The colour depends on the two numbers of a class alone. Hues follow multiples of the golden section, so a few
    consecutive parents get clearly different hues (Knuth, The Art of Computer Programming 3, 6.4). Shades follow
    multiples of square roots, which spread evenly over lightness, chroma and a little of the hue (Weyl 1916). Of the
    small roots, these three give the most different shades to numbers that differ by up to 24.

    Parameters
    ----------
    parents : sequence of N int
        The number of each class's parent.
    members : sequence of N int
        The number of each class.
    """
    light, vivid, turn = (np.asarray(members)[:, None] * np.sqrt((22, 10, 3)) % 1).T
    hue = 2 * np.pi * (np.asarray(parents) * GOLDEN % 1) + HUE_SPREAD * (turn - 0.5)
    lightness, chroma = 0.44 + 0.42 * light, 0.08 + 0.1 * vivid
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1)
    return to_hex(_srgb(lab))


def from_hex(colors: Iterable[str]) -> np.ndarray:
    """Convert colours from #rrggbb to an array of shape (n, 3), uint8."""
    return np.array([list(bytes.fromhex(color[1:])) for color in colors], np.uint8)


def to_hex(colors: np.ndarray) -> list[str]:
    """Convert colours of shape (n, 3), whole numbers from 0 to 255, to #rrggbb."""
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in colors]


def in_order(names: Iterable[str]) -> list[str]:
    """Sort class names without duplicates, numbers by their value: "class 2" before "class 10"."""
    return sorted(set(names), key=lambda name: ([_part_key(part) for part in re.split(r"(\d+)", name)], name))


def _part_key(part: str) -> tuple[int, int, str]:
    digits = part.lstrip("0")  # compared by length, then as text: int refuses numbers of very many digits
    return (0, len(digits), digits) if part.isdecimal() else (1, 0, part.casefold())


@lru_cache
def _order(count: int) -> list[str]:
    """Return the first `count` distinct colours: `FIRST`, then always the farthest in the grid."""
    grid = _grid()
    order = [*FIRST, *_farthest(FIRST, grid[_is_clear(grid)], min(count, CLEAR) - len(FIRST))]
    return [*order, *_farthest(order, grid, count - len(order))]


def _farthest(order: Sequence[str], grid: np.ndarray, count: int) -> list[str]:
    """Return up to `count` colours of a grid, each of which is the farthest from all earlier ones."""
    lab, chosen = _oklab(grid), list[str]()
    distances = np.min([np.sum((lab - color) ** 2, 1) for color in _oklab(from_hex(order))], axis=0)  # squared
    while len(chosen) < count and distances.max() > 0:
        farthest = int(distances.argmax())
        chosen += to_hex(grid[farthest : farthest + 1])
        distances = np.minimum(distances, np.sum((lab - lab[farthest]) ** 2, 1))
    return chosen


def _is_clear(colors: np.ndarray) -> np.ndarray:
    """Return which colours of shape (n, 3) have a contrast of 3 : 1 or more with both pages, (n,) of bool."""
    luminance = _linear(colors) @ (0.2126, 0.7152, 0.0722)
    low, high = LUMINANCE
    clear: np.ndarray = (luminance >= low) & (luminance <= high)
    return clear


def _grid() -> np.ndarray:
    """Return the colours of a regular grid that are neither too light nor too dark, of shape (n, 3)."""
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
    """Convert sRGB of shape (n, 3), 0 to 255, to Oklab."""
    lab: np.ndarray = np.cbrt(_linear(colors) @ TO_LMS.T) @ TO_LAB.T
    return lab


def _linear(colors: np.ndarray) -> np.ndarray:
    """Convert sRGB of shape (n, 3), 0 to 255, to linear light, 0 to 1."""
    srgb = colors / 255
    linear: np.ndarray = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return linear


def _srgb(lab: np.ndarray) -> np.ndarray:
    """Convert Oklab of shape (n, 3) to sRGB, whole numbers from 0 to 255. Channels out of range are clipped."""
    linear = np.clip((lab @ np.linalg.inv(TO_LAB).T) ** 3 @ np.linalg.inv(TO_LMS).T, 0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    levels: np.ndarray = np.round(srgb * 255).astype(np.int64)
    return levels
