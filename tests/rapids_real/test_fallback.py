"""Where no device is to be seen, the program says why in the real packages' words, and works on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def run(env: dict[str, str], *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=env)


@pytest.fixture(scope="module")
def why(without_gpu: dict[str, str]) -> str:
    """What CuPy itself says of the missing device."""
    done = run(without_gpu, "-c", "import cupy; cupy.cuda.runtime.getDeviceCount()")
    text = done.stderr.strip().splitlines()[-1].partition("CUDARuntimeError: ")[2]
    assert text.startswith("cudaError")
    return text


@pytest.fixture
def folder(tmp_path: Path, without_gpu: dict[str, str]) -> Path:
    done = run(without_gpu, "-m", "gpuvis", "demo", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    return tmp_path / "demo"


def test_info_tells_the_reason(without_gpu: dict[str, str], why: str) -> None:
    done = run(without_gpu, "-m", "gpuvis", "info")
    assert done.returncode == 0, done.stderr
    assert why in " ".join(done.stdout.split())


def test_auto_falls_back_and_writes_the_maps(without_gpu: dict[str, str], why: str, folder: Path) -> None:
    # As if so few rows were worth a GPU.
    program = "from gpuvis import backends; backends.MIN_GPU_ROWS = 0; from gpuvis.cli.main import main; main()"
    done = run(without_gpu, "-c", program, "reduce", folder, "--umap", "--tsne", "--backend", "auto")
    assert done.returncode == 0, done.stderr
    for method in ("umap", "tsne"):
        assert np.load(folder / f"vis_{method}_coords.npy").shape == (1797, 2)
        written = (folder / f"vis_{method}_run.json").read_text()
        assert why in json.dumps(json.loads(written), ensure_ascii=False)
        assert (folder / f"vis_{method}.html").exists()


def test_gpu_is_refused_with_3(without_gpu: dict[str, str], why: str, folder: Path) -> None:
    done = run(without_gpu, "-m", "gpuvis", "reduce", folder, "--backend", "gpu")
    assert done.returncode == 3
    assert why in " ".join((done.stdout + done.stderr).split())
    assert not list(folder.glob("vis_*"))
