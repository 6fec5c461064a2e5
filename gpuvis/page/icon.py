"""Draw a map as a small picture: the icon of its page, which the front page shows too."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT, MARGIN = 256, 192, 6


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
    coords = coords.astype(np.float64)  # differences of very large numbers overflow in float32
    low, high = coords.min(0), coords.max(0)
    size = np.array([WIDTH, HEIGHT])
    scale = min((size - 2 * MARGIN) / np.maximum(high - low, 1e-12))
    x, y = np.round((coords - (low + high) / 2) * scale * (1, -1) + size / 2).astype(np.int64).T
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
