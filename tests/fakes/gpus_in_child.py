"""Imported by a worker of a cluster: its child has a GPU, which is a double that says its device."""

from __future__ import annotations

import os

from doubles import FirstColumns

from gpuvis.backends import Selection
from gpuvis.backends.base import Device
from gpuvis.jobs import place, remote


class Gpu(FirstColumns):
    name = "gpu"

    def __init__(self, memory_limit: int | None) -> None:
        super().__init__()
        self.limit = "" if memory_limit is None else f", at most {memory_limit / 2**30:.1f} GiB"

    def describe(self) -> Device:
        devices = os.environ["CUDA_VISIBLE_DEVICES"]
        return Device("gpu", f"{devices}{self.limit}", 1, int(devices[0]) << 30)


def choose(name: str, memory_limit: int | None = None) -> Selection:
    """Choose the double, of as many GiB as the number of its device."""
    return Selection(Gpu(memory_limit), f"{name} was asked for")


def no_obstacle(name: str) -> None:
    """Find nothing that keeps from the GPU."""


place.choose = choose
place.obstacle = remote.obstacle = no_obstacle
