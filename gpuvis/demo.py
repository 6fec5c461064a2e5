"""A small real cache to try things on: scikit-learn's handwritten digits, with their images.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gpuvis.errors import OutputExistsError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SCALE = 8  # the digits have 8 × 8 pixels; so magnified, they can be seen


def write(folder: Path, overwrite: bool = False) -> Path:
    """Write the cache, with its images below `folder/images`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputExistsError
        There is something else in the folder, and `overwrite` was not given.
    """
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        if _is_demo(folder):
            return folder
        raise OutputExistsError(f"{folder} is not empty; name another folder, or use --overwrite to add the demo to it")
    import pandas as pd
    import torch
    from sklearn.datasets import load_digits

    from gpuvis import cache

    digits = load_digits()
    names = [f"{WORDS[label]}/{row:04d}.png" for row, label in enumerate(digits.target)]
    table = pd.DataFrame(
        {
            "file_name": names,
            "ground_truth_num_label": digits.target,
            "ground_truth_word_label": [WORDS[label] for label in digits.target],
            "ground_truth_L2_num_label": digits.target % 2,
        }
    )
    _write_images(folder / "images", names, digits.images)
    info = {"split": "test", "normalized": False, "checkpoint_path": None, "cache_dir": str(folder), "demo": "digits"}
    cache.write(folder, torch.from_numpy(digits.data.astype(np.float32)), table, torch.from_numpy(digits.target), info)
    return folder


def _is_demo(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "meta.json").read_text(encoding="utf-8")).get("demo") == "digits")
    except (OSError, ValueError, AttributeError):
        return False


def _write_images(folder: Path, names: list[str], images: np.ndarray) -> None:
    from PIL import Image

    for name, pixels in zip(names, images, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = (255 - pixels * (255 / 16)).astype(np.uint8)  # black ink on white paper; the values go from 0 to 16
        Image.fromarray(grey).resize((8 * SCALE, 8 * SCALE), Image.Resampling.NEAREST).save(path)
