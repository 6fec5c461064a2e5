"""Draw a map as a small picture: the icon of its page, which the front page shows too."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from gpuvis.page import palette

WIDTH, HEIGHT, MARGIN = 256, 192, 6
MOST_DRAWN = 1500  # points of a picture as SVG
LONGEST_SIDE = 1000  # of a picture as SVG
PAD = 0.04  # of its sides around the points, as MARGIN of the page's map


def data_url(coords: np.ndarray, colors: np.ndarray) -> str:
    """Draw a map, and return the picture as a data URL.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
        Later points are drawn over earlier ones.
    colors : ndarray of shape (N, 3), uint8

    Returns
    -------
    str
        A PNG of 256 × 192 pixels.
    """
    x, y = np.round(_fitted(coords)).astype(np.int64).T
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    # Few points are drawn larger: as squares of 3 or 2 pixels.
    offsets = (-1, 0, 1) if len(coords) <= 500 else (0, 1) if len(coords) <= 5_000 else (0,)
    for down in offsets:
        for right in offsets:
            columns, rows = (x + right).clip(0, WIDTH - 1), (y + down).clip(0, HEIGHT - 1)
            pixels[rows, columns, :3] = colors
            pixels[rows, columns, 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(64, Image.Quantize.FASTOCTREE).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def svg(coords: np.ndarray, colors: np.ndarray, order: np.ndarray) -> str:
    """Draw a part of the points as SVG.

    A page shows it until its map is drawn, exactly in the place of the map, and for good where nothing else is
    allowed: no script, style or file.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
    colors : ndarray of shape (N, 3), uint8
    order : ndarray of shape (N,), integer
        The points in the order in which they are drawn.
    """
    drawn = order[:: -(-len(order) // MOST_DRAWN)]
    coords = coords.astype(np.float64)  # differences of very large numbers overflow in float32
    low, high = coords.min(0), coords.max(0)
    pad = np.where(high > low, (high - low) * PAD, 1)
    size = high - low + 2 * pad
    scale = LONGEST_SIDE / size.max()
    width, height = np.maximum(np.round(size * scale), 1).astype(np.int64)
    places = np.round((coords[drawn] - low + pad) * scale).astype(np.int64) * (1, -1) + (0, height)
    groups: dict[str, list[str]] = {}
    for (x, y), color in zip(places.tolist(), palette.to_hex(colors[drawn].astype(int)), strict=True):
        groups.setdefault(color, []).append(f"M{x} {y}h0")
    paths = "".join(f'<path d="{"".join(dots)}" stroke="{color}"/>' for color, dots in groups.items())
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="The map" fill="none" stroke-width="6" stroke-linecap="round">{paths}</svg>'
    )


def _fitted(coords: np.ndarray) -> np.ndarray:
    """Return the place of each point in a picture of 256 × 192 pixels."""
    coords = coords.astype(np.float64)  # differences of very large numbers overflow in float32
    low, high = coords.min(0), coords.max(0)
    size = np.array([WIDTH, HEIGHT])
    scale = min((size - 2 * MARGIN) / np.maximum(high - low, 1e-12))
    places: np.ndarray = (coords - (low + high) / 2) * scale * (1, -1) + size / 2
    return places
