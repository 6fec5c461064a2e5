"""The device that the double pretends to have: what it is, and what goes wrong on it."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field, fields
from typing import Any

from rapids_double.errors import STICKY, CuvsException, cuda_error, library_error

NAME = "RAPIDS double (no GPU)"
PREFIX = "RAPIDS_DOUBLE_"
PACKAGES = ("cupy", "cuml", "cudf", "cuvs", "rmm")


@dataclass
class Options:
    """What a test may ask for.

    Attributes
    ----------
    present : bool
        There is a device. If not, `absent_error` says why.
    absent_error : str
        What the CUDA runtime answers where there is none.
    driver, runtime : int
        Versions, as 13020 for 13.2; no driver is version 0. A real driver that is older than the runtime's major
        version shows as `present=False` with cudaErrorInsufficientDriver; here both can be had, so that each sentence
        can be provoked.
    compute_capability : tuple of int
    memory : int
        Bytes that the device has.
    memory_pools : bool
        cudaMallocAsync is supported, as it is not on some virtual GPUs.
    torch_cuda : bool
        torch is a build that knows CUDA.
    missing : tuple of str
        Packages that are not installed.
    broken : dict
        Package → text of the ImportError that importing it raises.
    fails : dict
        Place → what happens there. A place is a function ("cuml.UMAP", "cuvs.build", "cupy.matmul"), "any" for each
        of them, or one with the rows of its input ("cuml.UMAP@40"). What happens is a CUDA error's name
        ("cudaErrorIllegalAddress" goes on for the rest of the process), "out_of_memory", "crash" or "hang".
    """

    present: bool = True
    absent_error: str = "cudaErrorInsufficientDriver"
    driver: int | None = None
    runtime: int = 13020
    compute_capability: tuple[int, int] = (9, 0)
    memory: int = 80 * 2**30
    memory_pools: bool = True
    torch_cuda: bool = True
    missing: tuple[str, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)
    fails: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the variables that tell a child process the same."""
        return {PREFIX + f.name.upper(): json.dumps(getattr(self, f.name)) for f in fields(self)}


class Device:
    """The one device of the process."""

    def __init__(self) -> None:
        self.configure(**_from_environment())

    def configure(self, **options: Any) -> None:
        """Take another device, in good health."""
        self.options = Options(**options)
        self.sick: str | None = None

    def require(self) -> None:
        """Raise what the CUDA runtime raises where there is no device."""
        if not self.options.present:
            raise cuda_error(self.options.absent_error)

    @property
    def driver(self) -> int:
        """What CUDA says of the driver's version; it says 0 where there is none."""
        if self.options.driver is None:
            return 13020 if self.options.present else 0
        return self.options.driver

    def import_of(self, package: str) -> None:
        """Raise what importing a broken package raises."""
        if package in self.options.broken:
            raise ImportError(self.options.broken[package])

    def launch(self, place: str, rows: int | None = None) -> None:
        """Run a kernel: nothing happens, or what the test asked for."""
        self.require()
        fails = self.options.fails
        what = self.sick or fails.get(f"{place}@{rows}") or fails.get(place) or fails.get("any")
        if what is None:
            return
        if what == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            time.sleep(3600)
        if what == "out_of_memory":
            kind = CuvsException if place.startswith("cuvs.") else MemoryError
            raise kind("std::bad_alloc: out_of_memory: CUDA error (failed to allocate) of the double")
        if what in STICKY:
            self.sick = what
        raise library_error(what, place) if place.startswith(("cuml.", "cuvs.", "cudf.")) else cuda_error(what)


def _from_environment() -> dict[str, Any]:
    told = {f.name: os.environ.get(PREFIX + f.name.upper()) for f in fields(Options)}
    found = {name: json.loads(text) for name, text in told.items() if text is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


device = Device()
