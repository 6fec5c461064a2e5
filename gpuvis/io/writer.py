"""Write a cache folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuvis.errors import CacheError, OutputError
from gpuvis.io import pt, table
from gpuvis.io.agreement import check_embeddings
from gpuvis.io.cache import Cache, check_parts, read, verify_values
from gpuvis.io.files import replacing
from gpuvis.io.schema import EMBEDDINGS, INFO, LABELS, TABLE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


def write_cache(
    folder: str | os.PathLike[str],
    embeddings: torch.Tensor | np.ndarray,
    rows: pd.DataFrame | Mapping[str, Sequence[Any]],
    labels: torch.Tensor | np.ndarray | None = None,
    info: Mapping[str, Any] | None = None,
) -> Cache:
    """Write a cache folder that `read` can read. Each file is written completely or not at all.

    Parameters
    ----------
    folder : path
        Created if it does not exist; files of the same names are replaced.
    embeddings : torch.Tensor or ndarray of shape (N, D)
        Floating point, finite.
    rows : pandas.DataFrame with N rows, or mapping of str to sequences of length N
        The columns of `metadata.csv`; values are written as strings.
    labels : torch.Tensor or ndarray of shape (N,), integer, optional
        Written to `labels.pt`.
    info : mapping, optional
        Keys of `meta.json`, in addition to `timestamp`, `num_samples` and `dim`.

    Returns
    -------
    Cache
        The folder, read back.

    Raises
    ------
    CacheError
        The parts do not make a valid cache. Nothing was written.
    OutputError
        The folder cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8)).astype("float32")
    >>> cache = gpuvis.write_cache("cache", X, {"file_name": [f"{row}.png" for row in range(60)]})
    >>> cache.embeddings.shape, list(cache.table)
    (torch.Size([60, 8]), ['file_name'])
    """
    folder = Path(folder)
    try:
        embeddings = pt.as_tensor(embeddings)
        labels = None if labels is None else pt.as_tensor(labels)
    except (TypeError, ValueError) as error:
        raise CacheError(f"{folder}: embeddings and labels have to be tensors or arrays of numbers: {error}") from None
    check_embeddings(folder / EMBEDDINGS, embeddings)
    count, dim = embeddings.shape
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    meta = {"timestamp": now, "num_samples": count, "dim": dim, **(info or {})}
    head = check_parts(folder, (count, dim), table.strings(rows), labels, meta)
    cache = Cache(folder, embeddings, head.table, head.labels, head.info, head.notes)
    verify_values(cache, None, lambda: None)
    text = json.dumps(meta, indent=2)
    try:
        _write_files(cache, text)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return read(folder)


def _write_files(cache: Cache, info: str) -> None:
    folder, embeddings = cache.folder, cache.embeddings
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / EMBEDDINGS) as path:
        pt.save(embeddings, path)
    if cache.labels is None:
        (folder / LABELS).unlink(missing_ok=True)  # it belongs to the cache that is being replaced
    else:
        with replacing(folder / LABELS) as path:
            pt.save(cache.labels, path)
    with replacing(folder / TABLE) as path:
        table.write(path, cache.table)
    with replacing(folder / INFO) as path:
        path.write_text(info, encoding="utf-8")
