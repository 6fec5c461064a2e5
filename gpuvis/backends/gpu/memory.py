"""Manage device memory: set up one pool for RAPIDS and CuPy, and count free bytes and peaks.

torch has its own pool, used only to copy a tensor to the device. Both pools are counted, and both are limited.
"""

from __future__ import annotations

import cupy
import rmm
import rmm.statistics
import torch

KEPT = 256 << 20  # unused bytes that the pool keeps for the next step; it frees the others at each synchronisation

POOLED = "an asynchronous pool"
PLAIN = "cudaMalloc, since memory pools are not supported"

_limit: int | None = None
_allocator = ""


def set_up(limit: int | None = None) -> None:
    """Make RAPIDS and CuPy allocate from one asynchronous pool, before either has allocated anything.

    Importing cuML makes CuPy allocate through RMM, whose default is a plain cudaMalloc for each array. Devices without
    pools, such as some virtual GPUs, keep that default. If the process has set up a pool before, it is not changed.

    Parameters
    ----------
    limit : int, optional
        Most bytes that each of the two pools may hold, for a shared GPU.
    """
    global _limit, _allocator  # noqa: PLW0603  a process has one device, and one pool on it
    if type(rmm.mr.get_current_device_resource()) is not rmm.mr.CudaMemoryResource:
        return
    _limit = limit
    try:
        pool, _allocator = rmm.mr.CudaAsyncMemoryResource(release_threshold=KEPT), POOLED
    except RuntimeError:  # no pools (cuda_async_memory_resource.hpp); another error would recur in the small fit
        pool, _allocator = rmm.mr.CudaMemoryResource(), PLAIN
    rmm.mr.set_current_device_resource(rmm.mr.LimitingResourceAdaptor(pool, limit) if limit else pool)
    rmm.statistics.enable_statistics()
    rmm.statistics.push_statistics()
    if torch.cuda.is_available() and limit:
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total()))


def allocator() -> str:
    """Return how memory is allocated, for the run record."""
    return _allocator or "as the process had set it up"


def total() -> int:
    """Return the size of the device's memory in bytes."""
    return int(cupy.cuda.runtime.memGetInfo()[1])


def free() -> int:
    """Free unused memory; return the free bytes, up to the limit, that a reduction may use."""
    give_back()
    available = int(cupy.cuda.runtime.memGetInfo()[0])
    return available if _limit is None else min(available, _limit)


def settle() -> dict[str, float]:
    """Wait until the device has finished all work; return the peak of its memory since the last call, in bytes.

    The two pools may peak at different moments, so the sum of their peaks is an upper bound.

    Returns
    -------
    dict
        `peak_device_bytes`; empty if the process has set up another pool, which has no statistics.
    """
    give_back()  # unused memory in torch's pool is not available to RAPIDS
    interval = rmm.statistics.pop_statistics()
    if interval is None:  # another pool, without statistics
        return {}
    allocated = rmm.statistics.get_statistics().current_bytes
    rmm.statistics.push_statistics()
    peak = allocated - interval.current_bytes + interval.peak_bytes
    if torch.cuda.is_available():
        peak += torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    return {"peak_device_bytes": peak}


def give_back() -> None:
    """Return unused memory to the device, for other processes."""
    cupy.cuda.runtime.deviceSynchronize()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
