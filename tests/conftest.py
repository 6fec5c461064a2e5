from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from doubles import FirstColumns
from examples import WORDS, labels_of, table_of
from rapids_double.fixtures import rapids  # noqa: F401  # a fixture for all tests

from gpuvis import demo
from gpuvis.backends import Selection, parallel
from gpuvis.io.writer import write_cache

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches work in the process of the tests, where the quick backend is, also on a machine with a GPU."""
    monkeypatch.setattr("gpuvis.jobs.place.obstacle", lambda name: "for the test")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Kernels run on two threads and matrix products on one, as within a backend's `working`."""
    with parallel.threads(2):
        yield


@pytest.fixture
def make_cache(tmp_path: Path) -> Callable[..., Path]:
    """Write a small cache: three groups of rows, one for each class."""

    def make(name: str = "cache", rows: int = 40, columns: int = 8, seed: int = 0, **changes: Any) -> Path:
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((len(WORDS), columns))[labels_of(rows)] * 4 + rng.standard_normal((rows, columns))
        parts = {
            "embeddings": torch.from_numpy(X.astype(np.float32)),
            "rows": table_of(rows),
            "labels": torch.from_numpy(labels_of(rows)),
            **changes,
        }
        return write_cache(tmp_path / name, **parts).folder

    return make


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.write(tmp_path_factory.mktemp("demo") / "digits")


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FirstColumns:
    """The quick backend, also for batches and the command line."""
    fake = FirstColumns()
    monkeypatch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(fake, "for the test"))
    return fake
