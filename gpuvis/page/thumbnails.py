"""Put thumbnails of images together into sheets, which a page includes."""

from __future__ import annotations

import base64
import io
import logging
import os
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gpuvis import machine

MOST_BYTES = 12_000_000  # of a page with its sheets, which can still be mailed
SIZES = (96, 64, 48, 32, 24, 16)  # pixels along a side of a thumbnail; the largest that fits is used
ACROSS = 32  # thumbnails along a side of a sheet
SAMPLE = 256  # images from which the size of all sheets is estimated
QUALITY = 75
TRANSPARENT, WHITE = (0, 0, 0, 0), (255, 255, 255, 255)

# Set for the whole process: sheets are made in a thread, where a temporary filter would affect other threads. Pillow
# raises an error if an image cannot be read at all.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True, eq=False)
class Sheets:
    """Sheets of thumbnails.

    Attributes
    ----------
    size : int
        Pixels along a side of a thumbnail.
    across : int
        Thumbnails along each side of a sheet.
    files : list of str
        The sheets as WebP files in base64.
    places : ndarray of shape (N,), uint32
        For each row the position of its thumbnail, counted from 1 through all sheets; 0 if it has none.
    is_full : bool
        Whether there was no room for more.
    notes : list of str
        Images that could not be read, and the total size.
    """

    size: int
    across: int
    files: list[str]
    places: np.ndarray
    is_full: bool
    notes: list[str]


def sheets(paths: Sequence[str | None], page_bytes: int = 0) -> Sheets:
    """Pack thumbnails of images into sheets.

    Parameters
    ----------
    paths : sequence of N str or None
        The image of each row; None if it has none.
    page_bytes : int
        Size of the page without them.

    Returns
    -------
    Sheets
        With the page at most `MOST_BYTES`. Thumbnails are made smaller until they fit; if even the smallest are too
        many, the last rows get none.
    """
    room = max(0, MOST_BYTES - page_bytes) * 3 // 4  # base64 makes four bytes of three
    rows = [row for row, path in enumerate(paths) if path]
    files_of_rows = [path for path in paths if path]
    places, total_bytes = np.zeros(len(paths), np.uint32), 0
    files: list[str] = []
    unreadable: list[str] = []
    with ThreadPoolExecutor(machine.cpu_threads()) as pool:
        size = _largest_size(files_of_rows, room, pool)
        for start in range(0, len(rows), ACROSS**2):
            batch = slice(start, start + ACROSS**2)
            results = list(pool.map(lambda path: _thumbnail(path, size), files_of_rows[batch]))
            failures = zip(files_of_rows[batch], results, strict=True)
            unreadable += [f"{path} ({reason})" for path, reason in failures if isinstance(reason, str)]
            images = [image for image in results if not isinstance(image, str)]
            if not images:
                continue
            sheet = _sheet(images, size)
            if total_bytes + len(sheet) > room:
                break
            packed_rows = [row for row, result in zip(rows[batch], results, strict=True) if not isinstance(result, str)]
            places[packed_rows] = len(files) * ACROSS**2 + 1 + np.arange(len(images))
            files.append(base64.b64encode(sheet).decode("ascii"))
            total_bytes += len(sheet)
    packed = int(np.count_nonzero(places))
    notes = []
    if unreadable:
        notes.append(f"{len(unreadable):,} of {len(rows):,} images could not be read; the first: {unreadable[0]}")
    is_full = packed + len(unreadable) < len(rows)
    if is_full:
        notes.append("there is no room for more thumbnails in a page that can be mailed: the first rows have them")
    notes.append(f"thumbnails: {packed:,} of {size} × {size} pixels, {total_bytes / 1e6:.1f} MB")
    return Sheets(size, ACROSS, files, places, is_full, notes)


def _largest_size(paths: list[str], room: int, pool: ThreadPoolExecutor) -> int:
    """Return the largest size at which all thumbnails are likely to fit into the room, judging by a sample."""
    sample = [paths[k] for k in np.linspace(0, len(paths) - 1, min(SAMPLE, len(paths))).astype(int)]
    images = pool.map(lambda path: _thumbnail(path, SIZES[0]), sample)
    large = [image for image in images if not isinstance(image, str)]
    for size in SIZES:
        small = [image.resize((size, size), Image.Resampling.LANCZOS) for image in large]
        if not small or len(_sheet(small, size)) * len(paths) <= room * len(small):
            break
    return size


def _thumbnail(path: str, size: int) -> Image.Image | str:
    """Return an image in a square of `size` pixels, or the reason why its file cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  opening a pipe would block
            return "not a file"
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            ImageOps.exif_transpose(image, in_place=True)
            shrunk = ImageOps.contain(_in_8_bits(image).convert("RGBA"), (size, size), Image.Resampling.LANCZOS)
        corner = (size - shrunk.width) // 2, (size - shrunk.height) // 2
        square = Image.new("RGBA", (size, size), TRANSPARENT)
        square.paste(Image.new("RGBA", shrunk.size, WHITE), corner)  # behind an image that is partly transparent
        square.alpha_composite(shrunk, corner)
    except UnidentifiedImageError:
        return _why_unidentified(path)
    except Exception as error:  # noqa: BLE001  Pillow passes on any error of its decoders
        return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    return square


def _why_unidentified(path: str) -> str:
    """Return why Pillow cannot identify an image, using the reader for its file extension, whose error says more."""
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122  the name may not be a valid path
    image_format = Image.registered_extensions().get(extension)
    if image_format not in Image.OPEN:
        return f"Pillow reads no {extension or 'such'} files; save the images as JPEG or PNG"
    reader, _ = Image.OPEN[image_format]
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            reader(file, path)
    except Exception as error:  # noqa: BLE001
        return f"cannot identify image file: {image_format}: {error}"
    return "cannot identify image file"


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Convert an image of finer greys to 256 greys: from 0 … 65,535 if it has 16 bits, else from its own range."""
    if not image.mode.startswith(("I", "F")):
        return image
    greys = np.asarray(image, np.float64)
    finite = greys[np.isfinite(greys)]
    low, high = (0, 65535) if image.mode.startswith("I;16") else (finite.min(), finite.max())
    fractions = (np.nan_to_num(greys, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1)
    return Image.fromarray(np.round(fractions * 255).astype(np.uint8))


def _sheet(images: list[Image.Image], size: int) -> bytes:
    """Return a sheet of thumbnails as a WebP file."""
    sheet = Image.new("RGBA", (ACROSS * size, ACROSS * size), TRANSPARENT)
    for k, image in enumerate(images):
        sheet.paste(image, (k % ACROSS * size, k // ACROSS * size))  # row by row
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()
