"""Pack small images into sheets that a page can hold."""

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

MOST_BYTES = 12 << 20  # of all sheets: a page with them can still be mailed
SIZES = (96, 64, 48, 32, 24, 16)  # pixels along a side; the largest that fits is taken
ACROSS = 32  # images along a side of a sheet
SAMPLE = 256  # images that tell how large a sheet will be
QUALITY = 75
NOTHING, PAPER = (0, 0, 0, 0), (255, 255, 255, 255)  # beside an image, and behind one that can be seen through

# Once for all: sheets are made in a thread, which must not change filters for a while. What matters is raised.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True, eq=False)
class Sheets:
    """Sheets of small images.

    Attributes
    ----------
    size : int
        Pixels along a side of an image.
    across : int
        Images along both sides of a sheet.
    files : list of str
        WebP files in base64.
    places : ndarray of shape (N,), uint32
        One more than the number of each row's image, counted through all sheets; 0: it has none.
    notes : list of str
        What could not be read, and how large all of it is.
    """

    size: int
    across: int
    files: list[str]
    places: np.ndarray
    notes: list[str]


def sheets(paths: Sequence[str | None]) -> Sheets:
    """Pack the images of some files, one for each row; None: a row has none.

    Returns
    -------
    Sheets
        At most `MOST_BYTES` in all: images are made smaller until they fit; if there are still too many, those of the
        last rows are left out.
    """
    there = [(row, path) for row, path in enumerate(paths) if path]
    places, total = np.zeros(len(paths), np.uint32), 0
    files: list[str] = []
    bad: list[str] = []
    with ThreadPoolExecutor(machine.cpu_threads()) as pool:
        size = _fitting([path for _, path in there], pool)
        for start in range(0, len(there), ACROSS**2):
            some = there[start : start + ACROSS**2]
            made = list(pool.map(lambda one: _small(one[1], size), some))
            bad += [f"{path} ({what})" for (_, path), what in zip(some, made, strict=True) if isinstance(what, str)]
            good = [(row, what) for (row, _), what in zip(some, made, strict=True) if not isinstance(what, str)]
            if not good:
                continue
            sheet = _sheet([image for _, image in good], size)
            if total + len(sheet) > MOST_BYTES:
                break
            places[[row for row, _ in good]] = len(files) * ACROSS**2 + 1 + np.arange(len(good))
            files.append(base64.b64encode(sheet).decode("ascii"))
            total += len(sheet)
    packed = int(np.count_nonzero(places))
    notes = [f"{len(bad):,} of {len(there):,} images could not be read; the first: {bad[0]}"] if bad else []
    if packed + len(bad) < len(there):
        notes.append("there is no room for more thumbnails in a page that can be mailed: the first rows have them")
    notes.append(f"thumbnails: {packed:,} of {size} × {size} pixels, {total / 1e6:.1f} MB")
    return Sheets(size, ACROSS, files, places, notes)


def _fitting(paths: list[str], pool: ThreadPoolExecutor) -> int:
    """Return the largest size of which all images are likely to fit."""
    size, some = SIZES[0], [paths[k] for k in np.linspace(0, len(paths) - 1, min(SAMPLE, len(paths))).astype(int)]
    large = [image for image in pool.map(lambda path: _small(path, SIZES[0]), some) if not isinstance(image, str)]
    for size in SIZES:
        shrunk = [image.resize((size, size), Image.Resampling.LANCZOS) for image in large]
        if not shrunk or len(_sheet(shrunk, size)) * len(paths) <= MOST_BYTES * len(shrunk):
            break
    return size


def _small(path: str, size: int) -> Image.Image | str:
    """Return an image in a square of so many pixels, or what is wrong with its file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  a pipe would be waited for
            return "not a file"
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            ImageOps.exif_transpose(image, in_place=True)
            shown = ImageOps.contain(_in_8_bits(image).convert("RGBA"), (size, size), Image.Resampling.LANCZOS)
        place = (size - shown.width) // 2, (size - shown.height) // 2
        square = Image.new("RGBA", (size, size), NOTHING)
        square.paste(Image.new("RGBA", shown.size, PAPER), place)
        square.alpha_composite(shown, place)
    except UnidentifiedImageError:
        return _unknown(path)
    except Exception as error:  # noqa: BLE001  Pillow raises whatever its decoders do
        return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    return square


def _unknown(path: str) -> str:
    """Say why Pillow does not take a file for an image: by the reader for its kind, which knows more."""
    ending = os.path.splitext(path)[1].lower()  # noqa: PTH122  names may be such as no path can have
    kind = Image.registered_extensions().get(ending)
    if kind not in Image.OPEN:
        return f"Pillow reads no {ending or 'such'} files; save the images as JPEG or PNG"
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            Image.OPEN[kind][0](file, path)
    except Exception as error:  # noqa: BLE001
        return f"cannot identify image file: {kind}: {error}"
    return "cannot identify image file"


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of finer greys in 256 of them: 16 bits by their whole range, others by their own."""
    if not image.mode.startswith(("I", "F")):
        return image
    greys = np.asarray(image, np.float64)
    known = greys[np.isfinite(greys)]
    low, high = (0, 65535) if image.mode.startswith("I;16") else (known.min(), known.max())
    share = (np.nan_to_num(greys, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1)
    return Image.fromarray(np.round(share * 255).astype(np.uint8))


def _sheet(images: list[Image.Image], size: int) -> bytes:
    sheet = Image.new("RGBA", (ACROSS * size, ACROSS * size), NOTHING)
    for k, image in enumerate(images):
        sheet.paste(image, (k % ACROSS * size, k // ACROSS * size))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()
