"""Make cache folders to measure on: rows like those that an encoder such as CLIP gives images, of any size.

python tests/benchmarks/data.py OUT --rows 300000 --columns 512 [--seed 0] [--dtype float16] [--long-tailed]

Rows have length 1. Classes lie in groups; within a class the rows spread along few directions, and a little along all.
Classes are of very different sizes; in long-tailed data, half of the classes have two rows each.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gpuvis import arrays
from gpuvis.backends import pca
from gpuvis.io import cache
from gpuvis.io.writer import write_cache

BLOCK = 20_000  # rows that are made at a time
SPREAD = 24  # directions along which a class spreads


@dataclass(frozen=True)
class Shape:
    """What a made cache is like; equal shapes give equal values."""

    rows: int
    columns: int
    seed: int = 0
    dtype: str = "float32"
    long_tailed: bool = False

    @property
    def name(self) -> str:
        kind = "tail" if self.long_tailed else "clip"
        return f"{kind}-{self.rows}x{self.columns}-{self.dtype}-seed{self.seed}"

    @property
    def bytes(self) -> int:
        return self.rows * self.columns * getattr(torch, self.dtype).itemsize


def components(folder: Path, count: int) -> np.ndarray:
    """Return the principal components of a cache, so many or as many as it has columns: float32."""
    X = cache.read(folder).embeddings

    def parts() -> Iterator[np.ndarray]:
        return (block.float().numpy() for _, block in arrays.blocks(X))

    scores = np.empty((len(X), min(count, X.shape[1])), np.float32)
    pca.fit(parts(), scores.shape[1], np).fill(scores, parts())
    return scores


def labels_of(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Give each row its class: sizes fall as in studies of real images, and every class has two rows or more."""
    classes = max(2, min(round(shape.rows**0.5 / 2), 1000))
    labels = np.repeat(np.arange(classes), 2)
    large = classes // 2 if shape.long_tailed else classes
    share = 1 / np.arange(2, large + 2)
    more = rng.choice(large, shape.rows - len(labels), p=share / share.sum())
    return rng.permutation(np.concatenate([labels, more]))


def fill(X: torch.Tensor, labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> None:
    """Write the rows, block by block: a direction that all share, the group's, the class's, the spread, and noise."""
    columns = X.shape[1]
    centres = 0.6 * rng.standard_normal(columns, np.float32) + 0.7 * rng.standard_normal(
        (groups.max() + 1, columns), np.float32
    )
    centres = centres[groups] + 0.5 * rng.standard_normal((len(groups), columns), np.float32)
    axes = (
        rng.standard_normal((SPREAD, columns), np.float32) / np.sqrt(1 + np.arange(SPREAD, dtype=np.float32))[:, None]
    )
    widths = 0.4 * rng.uniform(0.5, 1.5, (len(groups), SPREAD)).astype(np.float32)  # each class has its own form
    for start in range(0, len(X), BLOCK):
        own = labels[start : start + BLOCK]
        block = centres[own] + (widths[own] * rng.standard_normal((len(own), SPREAD), np.float32)) @ axes
        block += 0.25 * rng.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        X[start : start + len(own)] = torch.from_numpy(block).to(X.dtype)


def write(folder: Path, shape: Shape) -> None:
    """Write a cache. The rows lie in a mapped file until they are saved, so that memory stays small."""
    rng = np.random.default_rng([shape.seed, shape.rows, shape.columns])
    labels = labels_of(shape, rng)
    classes = labels.max() + 1
    groups = rng.integers(0, max(2, classes // 10), classes)
    words = np.array([f"kind {label}, of group {group}" for label, group in enumerate(groups)])
    table = {
        "file_name": [f"{row // 1000:05d}/{row:08d}.jpg" for row in range(shape.rows)],
        "ground_truth_num_label": labels,
        "ground_truth_word_label": words[labels],
        "ground_truth_L2_num_label": groups[labels],
    }
    info = {"split": "test", "normalized": True, "checkpoint_path": None, "cache_dir": None}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        dtype = getattr(torch, shape.dtype)
        X = torch.from_file(file.name, shared=True, size=shape.rows * shape.columns, dtype=dtype)
        X = X.view(shape.rows, shape.columns)
        fill(X, labels, groups, rng)
        write_cache(folder, X, table, labels, info)


def made(place: Path, shape: Shape) -> Path:
    """Return the cache of a shape, which is made if it is not there from an earlier run."""
    folder = place / shape.name
    if folder.exists():
        return folder
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if free < 3 * shape.bytes:  # the rows, the rows as they are saved, and room for the rest
        need = f"{shape.name} needs {3 * shape.bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        raise SystemExit(f"{place}: {need}; name another place with --data")
    print(f"making {folder} ({shape.bytes / 1e9:.2f} GB)", file=sys.stderr)
    part = place / f".{shape.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # of a run that was interrupted
    write(part, shape)
    part.rename(folder)
    return folder


def main() -> None:
    """Read the command line and write a cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1400)
    parser.add_argument("--columns", type=int, default=1152)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32", choices=["float16", "bfloat16", "float32", "float64"])
    parser.add_argument("--long-tailed", action="store_true")
    asked = parser.parse_args()
    write(asked.out, Shape(asked.rows, asked.columns, asked.seed, asked.dtype, asked.long_tailed))


if __name__ == "__main__":
    main()
