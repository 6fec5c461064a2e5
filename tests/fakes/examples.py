"""Small tables and what lies in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

ENDS = ("_coords.npy", "_quality.npy", ".html", "_run.json")  # of the names of what a map leaves behind
WORDS = ("Fen, Marsh, Swamp", 'the "old" wood', "bog")


def labels_of(rows: int) -> np.ndarray:
    return np.arange(rows) % len(WORDS)


def table_of(rows: int) -> pd.DataFrame:
    labels = labels_of(rows)
    return pd.DataFrame(
        {
            "file_name": [f"{k:03d}.png" for k in range(rows)],
            "ground_truth_num_label": labels.astype(str),
            "ground_truth_word_label": [WORDS[label] for label in labels],
            "ground_truth_L2_num_label": ["0"] * rows,
        }
    )


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, so that two states of it can be compared."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
