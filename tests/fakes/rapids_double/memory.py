"""Allocation: CuPy's own pool, torch's, and RMM's resources, within the memory of the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rapids_double.device import device
from rapids_double.errors import OutOfMemoryError
from rapids_double.ledger import Pool, ledger
from rapids_double.signatures import as_recorded

Taken = tuple[int, Callable[[int], None]]  # its key, and what gives it back


@dataclass
class Statistics:
    """Numbers of rmm.statistics."""

    current_bytes: int = 0
    current_count: int = 0
    peak_bytes: int = 0
    peak_count: int = 0
    total_bytes: int = 0
    total_count: int = 0

    def took(self, nbytes: int) -> None:
        self.current_bytes += nbytes
        self.current_count += 1
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        self.peak_count = max(self.peak_count, self.current_count)
        self.total_bytes += nbytes
        self.total_count += 1

    def gave(self, nbytes: int) -> None:
        self.current_bytes -= nbytes
        self.current_count -= 1


class DeviceMemoryResource:
    """RMM's base class; also what it starts with, plain cudaMalloc."""

    upstream_mr: DeviceMemoryResource | None = None
    pool: str | None = None

    def stack(self) -> list[DeviceMemoryResource]:
        return [self, *(self.upstream_mr.stack() if self.upstream_mr else [])]

    def take(self, nbytes: int) -> None:
        """Note an allocation of so many bytes, or refuse it."""

    def give(self, nbytes: int) -> None:
        """Note its end."""

    def synchronize(self) -> None:
        """Note that the device has done its work."""


class CudaMemoryResource(DeviceMemoryResource):
    @as_recorded("rmm.mr.CudaMemoryResource")
    def __init__(self) -> None: ...


class CudaAsyncMemoryResource(DeviceMemoryResource):
    """cudaMallocAsync. Its pool keeps all that it ever had, or at a synchronisation what is below the threshold.

    The real class tells nobody the handle of its pool; only CudaAsyncViewMemoryResource does.
    """

    @as_recorded("rmm.mr.CudaAsyncMemoryResource")
    def __init__(self, initial_pool_size: Any = None, release_threshold: int | None = None) -> None:
        device.require()
        if not device.options.memory_pools:  # rmm/mr/cuda_async_memory_resource.hpp
            raise RuntimeError(
                "RMM failure at: double: cudaMallocAsync not supported with this CUDA driver/runtime version"
            )
        self.release_threshold = release_threshold
        self.pool = "rmm"
        ledger.pools.setdefault("rmm", Pool())

    def synchronize(self) -> None:
        if self.release_threshold is not None:
            pool = ledger.pools["rmm"]
            pool.kept = min(pool.kept, max(0, self.release_threshold - pool.live))


class ManagedMemoryResource(DeviceMemoryResource):
    """cudaMallocManaged: more than the device has."""

    @as_recorded("rmm.mr.ManagedMemoryResource")
    def __init__(self) -> None: ...


class PrefetchResourceAdaptor(DeviceMemoryResource):
    @as_recorded("rmm.mr.PrefetchResourceAdaptor")
    def __init__(self, upstream_mr: DeviceMemoryResource) -> None:
        self.upstream_mr = upstream_mr


class LimitingResourceAdaptor(DeviceMemoryResource):
    @as_recorded("rmm.mr.LimitingResourceAdaptor")
    def __init__(self, upstream_mr: DeviceMemoryResource, allocation_limit: int) -> None:
        if isinstance(allocation_limit, str):
            raise TypeError("an integer is required")
        self.upstream_mr, self.allocation_limit, self.allocated = upstream_mr, int(allocation_limit), 0

    @as_recorded("rmm.mr.LimitingResourceAdaptor.get_allocated_bytes")
    def get_allocated_bytes(self) -> int:
        return self.allocated

    @as_recorded("rmm.mr.LimitingResourceAdaptor.get_allocation_limit")
    def get_allocation_limit(self) -> int:
        return self.allocation_limit

    def take(self, nbytes: int) -> None:
        if self.allocated + nbytes > self.allocation_limit:
            raise MemoryError("std::bad_alloc: out_of_memory: RMM failure of the double: Exceeded memory limit")
        self.allocated += nbytes

    def give(self, nbytes: int) -> None:
        self.allocated -= nbytes


class StatisticsResourceAdaptor(DeviceMemoryResource):
    @as_recorded("rmm.mr.StatisticsResourceAdaptor")
    def __init__(self, upstream_mr: DeviceMemoryResource) -> None:
        self.upstream_mr, self.counters = upstream_mr, [Statistics()]

    @property
    def allocation_counts(self) -> Statistics:
        return Statistics(**vars(self.counters[-1]))

    def push_counters(self) -> Statistics:
        self.counters.append(Statistics())
        return Statistics(**vars(self.counters[-2]))

    def pop_counters(self) -> Statistics:
        """Return the counters on top; what they saw goes into those below, as in RMM."""
        top = self.counters.pop()
        below = self.counters[-1]
        below.peak_bytes = max(below.peak_bytes, below.current_bytes + top.peak_bytes)
        below.peak_count = max(below.peak_count, below.current_count + top.peak_count)
        for name in ("current_bytes", "current_count", "total_bytes", "total_count"):
            setattr(below, name, getattr(below, name) + getattr(top, name))
        return top

    def take(self, nbytes: int) -> None:
        self.counters[-1].took(nbytes)

    def give(self, nbytes: int) -> None:
        self.counters[-1].gave(nbytes)


class Memory:
    """What allocates for whom, in this process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.resource: DeviceMemoryResource = CudaMemoryResource()
        self.cupy_uses_rmm = False
        self.torch_limit = 1.0

    def set_resource(self, mr: DeviceMemoryResource) -> None:
        """Set RMM's resource. Real RMM does not notice that memory of the old one is in use; the double refuses."""
        device.require()
        if not isinstance(mr, DeviceMemoryResource):
            raise TypeError(
                f"Argument 'mr' has incorrect type (expected DeviceMemoryResource, got {type(mr).__name__})"
            )
        around = mr.stack()[-1] is self.resource.stack()[-1]
        if ledger.rmm_used and not around:
            raise RuntimeError(
                "the double: RMM's memory resource was changed after device memory had been allocated from another, "
                "which is undefined behaviour; set it before the first allocation"
            )
        self.resource = mr

    def take(self, nbytes: int, by: str) -> Taken:
        device.require()
        if by == "torch":
            return self._torch(nbytes)
        ledger.rmm_used = True
        if by == "cupy" and not self.cupy_uses_rmm:
            return self._cupy(nbytes)
        stack = self.resource.stack()
        managed = any(isinstance(mr, ManagedMemoryResource) for mr in stack)
        kept = ledger.pools[stack[-1].pool].kept if stack[-1].pool else 0
        if not managed and nbytes > free() + kept:
            text = f"std::bad_alloc: out_of_memory: CUDA error (failed to allocate {nbytes} bytes) of the double"
            raise MemoryError(text)
        for taken, mr in enumerate(stack):
            try:
                mr.take(nbytes)
            except MemoryError:
                for earlier in stack[:taken]:
                    earlier.give(nbytes)
                raise
        return _taken(nbytes, by, stack[-1].pool, stack)

    def _cupy(self, nbytes: int) -> Taken:
        if nbytes > free() + ledger.pools["cupy"].kept:
            raise OutOfMemoryError(nbytes, ledger.pools["cupy"].live + ledger.pools["cupy"].kept)
        return _taken(nbytes, "cupy", "cupy", [])

    def _torch(self, nbytes: int) -> Taken:
        import torch

        pool, total = ledger.pools["torch"], device.options.memory
        if nbytes > free() + pool.kept or pool.live + nbytes > total * self.torch_limit:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {nbytes / 2**20:.2f} MiB. GPU 0 has a total capacity of "
                f"{total / 2**30:.2f} GiB of which {free() / 2**30:.2f} GiB is free."
            )
        return _taken(nbytes, "torch", "torch", [])


def free() -> int:
    """Return the bytes that no one holds."""
    return max(0, device.options.memory - ledger.held)


def _taken(nbytes: int, by: str, pool: str | None, stack: list[DeviceMemoryResource]) -> Taken:
    key = ledger.take(nbytes, by, pool)
    return key, partial(_give, nbytes, pool, stack)


def _give(nbytes: int, pool: str | None, stack: list[DeviceMemoryResource], key: int) -> None:
    if key in ledger.live:  # not of a time before the last reset
        ledger.give(key, pool)
        for mr in stack:
            mr.give(nbytes)


memory = Memory()
allocate = memory.take
