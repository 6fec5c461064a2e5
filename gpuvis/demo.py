"""Write the demo cache: scikit-learn's handwritten digits, with their images.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from secrets import token_hex

import numpy as np

from gpuvis.errors import OutputError, OutputExistsError
from gpuvis.io.files import TEMPORARY, check_ordinary
from gpuvis.io.writer import write_cache

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ZOOM = 8  # the digits have only 8 × 8 pixels


def write(folder: Path) -> Path:
    """Write the demo cache, with its images below `folder/images`, completely or not at all.

    Parameters
    ----------
    folder : Path
        A new or empty folder.

    Returns
    -------
    Path
        The folder. If it already holds the demo, nothing is written.

    Raises
    ------
    OutputExistsError
        The folder holds something else.
    OutputError
        The folder cannot be written.
    """
    if _is_demo(folder):
        return folder
    target = folder.absolute()
    partial = target.with_name(f".{target.name}.{token_hex(4)}.part")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputExistsError(f"{folder} is there already and is no demo; name a folder that is new or empty")
        _remove_leftovers(target)
        partial.mkdir(parents=True)  # a new folder with a random name, so nothing is written through a link
        _write(partial)
        partial.replace(folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}; name another folder") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write(folder: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = [f"{WORDS[label]}/{row:04d}.png" for row, label in enumerate(digits.target)]
    columns = {
        "file_name": names,
        "ground_truth_num_label": digits.target,
        "ground_truth_word_label": [WORDS[label] for label in digits.target],
        "ground_truth_L2_num_label": digits.target % 2,
    }
    _write_images(folder / "images", names, digits.images)
    info = {"split": "test", "normalized": False, "checkpoint_path": None, "demo": "digits"}
    write_cache(folder, digits.data.astype(np.float32), columns, digits.target, info)


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary folders that interrupted runs left next to the demo folder."""
    for path in folder.parent.iterdir() if folder.parent.is_dir() else ():
        match = TEMPORARY.fullmatch(path.name)
        if match and match[1] == folder.name:
            shutil.rmtree(path, ignore_errors=True)  # does not follow links


def _is_demo(folder: Path) -> bool:
    try:
        check_ordinary(folder / "meta.json")
        return bool(json.loads((folder / "meta.json").read_text(encoding="utf-8")).get("demo") == "digits")
    except (OSError, ValueError, AttributeError):
        return False


def _write_images(folder: Path, names: list[str], images: np.ndarray) -> None:
    from PIL import Image

    for name, pixels in zip(names, images, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = (255 - pixels * (255 / 16)).astype(np.uint8)  # black ink on white paper; the values go from 0 to 16
        Image.fromarray(grey).resize((8 * ZOOM, 8 * ZOOM), Image.Resampling.NEAREST).save(path)
