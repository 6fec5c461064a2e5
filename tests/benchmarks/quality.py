"""Judge maps: reads caches and coordinates as JSON, writes how good each map is as JSON, in memory that is bounded.

echo '[["CACHE_DIR", ["coords.npy", …]], …]' | python tests/benchmarks/quality.py

Recall@15 and trustworthiness@15 of 2,000 anchors against all rows, euclidean, in the original columns; random triplets.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "fakes"))
import measures

ANCHORS = 2000
K = 15


def judge(cache: Path, paths: list[str]) -> list[dict[str, Any]]:
    """Judge the maps of one cache."""
    X = torch.load(cache / "embeddings.pt", map_location="cpu", weights_only=True, mmap=True).numpy()
    maps = [np.load(path) for path in paths]
    told = [{"rows": len(X), "shape": Y.shape, "largest": float(np.abs(Y).max())} for Y in maps]  # NaN and Inf show
    if any(Y.shape != (len(X), 2) or not np.isfinite(Y).all() for Y in maps):
        return told
    anchors = np.sort(np.random.default_rng(0).permutation(len(X))[:ANCHORS])
    judged = measures.ranks(X, maps, anchors, K), measures.triplets(X, maps)
    for one, ranks, right in zip(told, *judged, strict=True):
        one["recall"] = measures.recall_of_ranks(ranks)
        one["trust"] = measures.trust_of_ranks(ranks, len(X))
        one["triplets"] = right
    return told


if __name__ == "__main__":
    print(json.dumps([judge(Path(cache), paths) for cache, paths in json.load(sys.stdin)]))
