"""Doubles of cupy, cuml, cudf, cuvs and rmm, and of torch's CUDA, for tests on machines with no GPU.

They stand where the real packages would, refuse what those refuse, count what crosses the bus and what lies on the
device, and compute on the host: NumPy, scikit-learn, our own loops. What the real ones take is recorded from them
in signatures.json; `make rapids-signatures` rewrites it. Nothing here is a GPU, and the device says so by its name.

    def test_something(rapids):  # the fixture: a healthy device
        ...
        assert rapids.ledger.bytes_to("device") == X.nbytes

    def test_no_driver(monkeypatch):
        rapids_double.install(monkeypatch, present=False, absent_error="cudaErrorNoDevice")
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapids_double.device import NAME, PACKAGES, Device, Options, device
from rapids_double.ledger import Ledger, ledger
from rapids_double.memory import memory

if TYPE_CHECKING:
    import pytest

HERE = Path(__file__).parent
ON_RAPIDS = [f"gpuvis.backends.gpu.{name}" for name in ("backend", "layout", "memory", "neighbors", "table")]
SITE = HERE / "site"
USERS = {f"gpuvis.backends.gpu.{name}" for name in ("backend", "layout", "memory", "neighbors", "table")}
__all__ = ["NAME", "Rapids", "device", "environment", "install", "ledger"]


class Rapids:
    """What a test has in hand."""

    ledger: Ledger = ledger
    device: Device = device
    name: str = NAME


def paths(options: Options) -> list[str]:
    """Return where Python finds the doubles that are installed."""
    return [str(SITE / name) for name in PACKAGES if name not in options.missing]


def environment(**options: Any) -> dict[str, str]:
    """Return the environment in which a child process finds the doubles, and torch with CUDA.

    Parameters
    ----------
    **options
        As in `rapids_double.device.Options`.
    """
    chosen = Options(**options)
    before = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    found = [str(SITE / "start"), *paths(chosen), str(HERE.parent)]
    rest = [one for one in before if not one.startswith(str(HERE.parent))]
    return {"PYTHONPATH": os.pathsep.join([*found, *rest]), **chosen.environment()}


def install(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Rapids:
    """Put the doubles where the real packages would be, for one test, in this process and its children.

    Parameters
    ----------
    monkeypatch : pytest.MonkeyPatch
    **options
        The device, as in `rapids_double.device.Options`: present, driver, compute_capability, memory, fails, ...
    """
    from rapids_double import torch_cuda

    forget()
    device.configure(**options)
    monkeypatch.setattr(_AtTheEnd(), "installed", True)
    for name, value in environment(**options).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    rest = [one for one in sys.path if not one.startswith(str(SITE))]
    monkeypatch.setattr(sys, "path", [*paths(device.options), *rest])
    for owner, name, value in torch_cuda.replacements():
        monkeypatch.setattr(owner, name, value)
    return Rapids()


def forget() -> None:
    """Forget the modules of the doubles, and those of gpuvis that stand on them; give the device back."""
    for name in list(sys.modules):
        if name.split(".")[0] in PACKAGES or name in USERS:
            module = sys.modules.pop(name)
            parent, _, last = name.rpartition(".")
            if vars(sys.modules.get(parent, os)).get(last) is module:
                delattr(sys.modules[parent], last)
    device.configure()
    ledger.reset()
    memory.reset()


class _AtTheEnd:
    """What monkeypatch sets back at the end of a test: then everything is forgotten."""

    def __init__(self) -> None:
        vars(self)["installed"] = False

    def __setattr__(self, name: str, value: bool) -> None:
        super().__setattr__(name, value)
        if not value:
            forget()
