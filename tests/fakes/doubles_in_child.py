"""A backend for the child process: the quick one, called a GPU, which gets into trouble where the data says so.

The first value of a cache names the trouble. What else the tests want of the child they say with environment variables,
which a child inherits.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doubles import FirstColumns

from gpuvis.backends import Selection
from gpuvis.backends.base import Device, Layout
from gpuvis.errors import NoGpuError
from gpuvis.io.files import LOCK
from gpuvis.results.outputs import Outputs
from gpuvis.results.record import RunRecord
from gpuvis.settings import Tsne, Umap

if TYPE_CHECKING:
    import numpy as np

TROUBLES = (
    "segfault",
    "killed",
    "exit",
    "sticky",
    "error",
    "hang",
    "deaf",
    "slow",
    "bus",
    "pca segfault",
    "tsne segfault",
    "killed_once",
    "killed_once_still_locked",
)


def make_trouble(folder: Path, name: str) -> Path:
    """Write into a cache what this backend is to do when it comes to it."""
    import torch

    from gpuvis.io import cache

    X = cache.read(folder).embeddings.clone()
    X[0, 0] = 1000 + TROUBLES.index(name)
    torch.save(X, folder / "embeddings.pt")
    return folder


class Troubled(FirstColumns):
    name = "gpu"

    def __init__(self) -> None:
        super().__init__()
        self.broken = False

    def describe(self) -> Device:
        return Device("gpu", f"process {os.getpid()}", 1, 2**30)

    def settle(self) -> dict[str, float]:  # type: ignore[override]
        if self.broken:
            raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
        return {}

    def pca(self, X: Any, n_components: int, *how: Any) -> tuple[np.ndarray, float | None]:
        self._meet(X, "pca ")
        return super().pca(X, n_components, *how)

    def umap(self, X: np.ndarray, graph: None, settings: Umap, seed: int) -> Layout:
        self._meet(X, "")
        return super().umap(X, graph, settings, seed)

    def tsne(self, X: np.ndarray, graph: None, settings: Tsne, seed: int) -> Layout:
        self._meet(X, "tsne ")
        return super().tsne(X, graph, settings, seed)

    def _meet(self, X: np.ndarray, step: str) -> None:
        trouble = int(X[0, 0]) - 1000
        if self.broken:
            raise RuntimeError("an earlier CUDA error makes this process useless")
        if 0 <= trouble < len(TROUBLES) and TROUBLES[trouble].startswith(step):
            getattr(self, f"_{TROUBLES[trouble].removeprefix(step)}", lambda: None)()

    def _segfault(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def _bus(self) -> None:
        os.kill(os.getpid(), signal.SIGBUS)

    def _killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _killed_once(self) -> None:
        mark = Path(os.environ["GPUVIS_TEST_MARK"])
        if not mark.exists():
            mark.touch()
            self._killed()

    def _killed_once_still_locked(self) -> None:
        """Be killed, while a process that has the lock too goes on, as a child that hangs in a call into CUDA."""
        if not Path(os.environ["GPUVIS_TEST_MARK"]).exists():
            files = {int(link.name): os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
            locks = [number for number, path in files.items() if path.endswith(LOCK)]
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(4)"], pass_fds=locks)
        self._killed_once()

    def _exit(self) -> None:
        os._exit(7)

    def _error(self) -> None:
        raise ValueError("no good")

    def _sticky(self) -> None:
        self.broken = True
        raise RuntimeError("cudaErrorIllegalAddress")

    def _hang(self) -> None:
        logging.getLogger("gpuvis.gpu").warning("hanging in process %s", os.getpid())
        time.sleep(600)

    def _deaf(self) -> None:
        logging.getLogger("gpuvis.gpu").warning("hanging in process %s", os.getpid())
        ctypes.PyDLL(None).sleep(60)  # with the lock of the interpreter, so that no handler and no thread runs

    def _slow(self) -> None:
        time.sleep(0.7)
        logging.getLogger("gpuvis.gpu").info("still there")
        time.sleep(0.7)


def choose(name: str, memory_limit: int | None = None) -> Selection:
    """Choose as `gpuvis.backends.choose` does, or as GPUVIS_TEST_CHOICE says."""
    from gpuvis.io import cache  # noqa: F401  torch takes seconds to import, which counts as no step of a job then

    how: Any = os.environ.get("GPUVIS_TEST_CHOICE")
    if os.environ.get("GPUVIS_TEST_SLOW_SAVING"):
        _save_slowly()
    os.write(1, b"chatter\n")
    if name == "cpu":
        return Selection(Troubled() if how == "trouble on the CPU" else FirstColumns(), "the CPU was asked for")
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "bug":
        raise AttributeError("module 'cuml' has no attribute 'UMAP'")
    if how == "cpu" and name == "gpu":
        raise NoGpuError("the GPU backend cannot be used: it is too old; use --backend cpu or auto to work on the CPU")
    if how == "cpu":
        return Selection(FirstColumns(), "no GPU can be used: it is too old")
    if how == "once" and Path(os.environ["GPUVIS_TEST_MARK"]).exists():
        raise NoGpuError("the GPU backend cannot be used: it fell off the bus")
    if how == "once":
        Path(os.environ["GPUVIS_TEST_MARK"]).touch()
    assert "cuml" not in sys.modules
    return Selection(Troubled(), f"{name} was asked for")


def _save_slowly() -> None:
    save_record = Outputs.save_record

    def slow(self: Outputs, record: RunRecord) -> None:
        written = {name.rpartition("_")[2] for name, known in record.outputs.items() if known}
        save_record(self, record)
        if written == {"coords.npy"}:
            logging.getLogger("gpuvis.gpu").warning("the record knows coordinates that are not there yet")
            time.sleep(1.5)

    Outputs.save_record = slow  # type: ignore[method-assign]
