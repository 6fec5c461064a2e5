"""What has to be shown on a machine with a GPU. Without one this fails, and says in one sentence why.

tests/suites/test_gpu.py runs most of it on the double of RAPIDS, so that it is in order when a GPU comes
along. The double is not taken for a GPU: the first line of a run names the device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import rapids_double

from gpuvis.backends import choose
from gpuvis.backends.gpu import memory_model, probe

TESTS = Path(__file__).parents[1]
MEASURED: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_gpu(why): the double of RAPIDS cannot tell")
    config.addinivalue_line("markers", "long: too long for the double as a part of the ordinary suite")
    config.addinivalue_line("filterwarnings", "default")  # of RAPIDS' warnings on some machine nothing is claimed


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly or not session.items:
        return
    needs_rapids = any(item.get_closest_marker("gpu") for item in session.items)
    lacking = (probe.obstacle() or probe.check_gpu()) if needs_rapids else what_the_core_lacks()
    if lacking:
        raise pytest.UsageError(f"nothing was tested, because no GPU can be used: {lacking}")
    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    terminal.write_line(f"device: {device_name()}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if MEASURED:
        terminalreporter.section(f"measured on {device_name()}")
        for line in MEASURED:
            terminalreporter.write_line(line)


def what_the_core_lacks() -> str | None:
    """Return why torch and CuPy cannot use the GPU; RAPIDS is not looked at."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU"
    if find_spec("cupy") is None:
        return "cupy is not installed (make install EXTRAS=cu13)"
    try:
        cupy = import_module("cupy")
        if cupy.cuda.runtime.getDeviceCount() < 1:
            return "the driver counts no CUDA device"
        float(cupy.arange(3).sum())
    except Exception as error:  # noqa: BLE001  whatever it is, it is the reason
        return f"CuPy cannot use it: {' '.join(str(error).split())}"
    torch = import_module("torch")
    if not torch.cuda.is_available():
        return f"CuPy can use the GPU, but this torch ({torch.__version__}) cannot"
    return None


def device_name() -> str:
    return import_module("cupy").cuda.runtime.getDeviceProperties(0)["name"].decode()


@pytest.fixture(scope="session")
def on_double() -> bool:
    return device_name() == rapids_double.NAME


@pytest.fixture(scope="session")
def rows(on_double) -> Callable[[int], int]:
    """How many rows to take: what is asked for, but few on the double, which computes on the host."""
    return lambda asked: min(asked, 300) if on_double else asked


@pytest.fixture(scope="session")
def backend() -> Any:
    return choose("gpu")[0]


@pytest.fixture(scope="session")
def measured() -> Callable[[str], None]:
    """Take a line that is shown at the end of the run."""
    return MEASURED.append


@pytest.fixture(scope="session")
def cp() -> Any:
    return import_module("cupy")


@pytest.fixture
def room(monkeypatch, backend) -> Callable[[int], None]:
    """Pretend that the device has so many bytes free, and work in small chunks."""

    def shrink(nbytes: float) -> None:
        monkeypatch.setattr(memory_model, "CHUNK", 1 << 16)
        monkeypatch.setattr(memory_model, "TILES", 0)
        monkeypatch.setattr("gpuvis.backends.gpu.memory.free", lambda: int(nbytes))

    return shrink


@pytest.fixture
def approximate(monkeypatch) -> None:
    """Build graphs by NN-descent, however few the rows."""
    monkeypatch.setattr("gpuvis.backends.gpu.plan.EXACT_WORK", 0)


@pytest.fixture(scope="session")
def child() -> Callable[..., str]:
    """Run Python code in a fresh process, and return what it printed."""

    def run(code: str, *args: object) -> str:
        command = [sys.executable, "-c", code, *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=TESTS)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
