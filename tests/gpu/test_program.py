"""The whole program, as users start it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from measures import digits as digits_of
from measures import trust
from process import gpuvis as run_gpuvis

from gpuvis.io.schema import COLUMNS

pytestmark = pytest.mark.gpu


@pytest.mark.long
def test_the_demo_is_reduced_on_the_gpu(digits, tmp_path, backend) -> None:
    done = run_gpuvis(
        "reduce", digits, "--umap", "--tsne", "--pca_dim", "50", "--backend", "gpu", "--out-dir", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    for method in ("umap", "tsne"):
        coords = np.load(tmp_path / f"vis_{method}_coords.npy")
        assert (coords.shape, coords.dtype) == ((1797, 2), np.float32)
        assert trust(digits_of(), coords) >= 0.96
        page = (tmp_path / f"vis_{method}.html").read_text()
        assert all(column in page for column in COLUMNS[:1])
        told = json.loads((tmp_path / f"vis_{method}_run.json").read_text())
        assert told["backend"]["name"] == "gpu"
        assert told["backend"]["device"]["name"] == backend.describe().name
        assert "identical" in told["repeatable"]
        assert told["plan"]["graphs"][method]["kind"] == "exact"
        assert {"read", "pca", method, "save"} <= set(told["steps"])
        assert told["steps"][method]["peak_device_bytes"] > 0
    again = run_gpuvis(
        "reduce", digits, "--umap", "--tsne", "--pca_dim", "50", "--backend", "gpu", "--out-dir", tmp_path
    )
    assert again.returncode == 0
    assert "up to date" in again.stderr


def test_info_names_the_gpu(backend) -> None:
    told = json.loads(run_gpuvis("info", "--json").stdout)
    assert (told["backend"], told["kind"], told["name"]) == ("gpu", "gpu", backend.describe().name)
    assert told["reason"] == "a GPU is there, and did a small fit"
    assert told["auto"] == "the GPU from 50,000 rows in one command, fewer on the CPU"
    assert told["details"]["transfer"].startswith("torch → DLPack → CuPy")


@pytest.mark.long
@pytest.mark.parametrize(("rows", "where"), [(60, "cpu"), (50_000, "gpu")])
def test_auto_takes_the_gpu_for_many_rows(make_cache, rows, where) -> None:
    cache = make_cache(rows=rows)
    done = run_gpuvis("reduce", cache, "--no_html", "--quality", "none", "-q")
    assert done.returncode == 0, done.stderr
    assert json.loads((cache / "vis_umap_run.json").read_text())["backend"]["name"] == where
