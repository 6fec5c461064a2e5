"""A map as a small picture: the icon of its page, and its picture on the front page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT, MARGIN = 256, 192, 6


def small(coords: np.ndarray, colors: np.ndarray) -> str:
    """Return the address of the picture, which holds it whole.

    Parameters
    ----------
    coords : ndarray of shape (N, 2)
        Later ones are drawn over earlier ones.
    colors : ndarray of shape (N, 3), uint8
    """
    coords = coords.astype(np.float64)  # differences of very large numbers overflow in float32
    low, high = coords.min(0), coords.max(0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    scale = min(room / np.maximum(high - low, 1e-12))
    at = np.round((coords - (low + high) / 2) * scale * (1, -1) + np.array([WIDTH, HEIGHT]) / 2).astype(np.int64)
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    reach = (-1, 0, 1) if len(coords) <= 500 else (0, 1) if len(coords) <= 5_000 else (0,)
    for down in reach:
        for right in reach:
            x, y = (at[:, 0] + right).clip(0, WIDTH - 1), (at[:, 1] + down).clip(0, HEIGHT - 1)
            pixels[y, x, :3] = colors
            pixels[y, x, 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(64, Image.Quantize.FASTOCTREE).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
