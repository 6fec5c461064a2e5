"""Manage the memory of the device: set up one pool for RAPIDS and CuPy, and count free bytes and peaks.

torch has a pool of its own, for the one tensor that crosses through it. Both pools are counted, and both are limited.
"""

from __future__ import annotations

import cupy
import rmm
import rmm.statistics
import torch

KEPT = 256 << 20  # bytes that the pool keeps for the next step; it frees the rest at each synchronisation

POOLED = "an asynchronous pool"
PLAIN = "cudaMalloc, since memory pools are not supported"

_limit: int | None = None
_allocator = ""


def set_up(limit: int | None = None) -> None:
    """Make RAPIDS and CuPy allocate from one asynchronous pool, before either has allocated anything.

    Importing cuML makes CuPy allocate through RMM, whose default is a plain cudaMalloc for each array. That default
    stays on devices without pools, such as some virtual GPUs. A pool that the process has set up before is not changed.

    Parameters
    ----------
    limit : int, optional
        Most bytes that each of the two pools may hold, for a GPU that is shared.
    """
    global _limit, _allocator  # noqa: PLW0603  a process has one device, and one pool on it
    if type(rmm.mr.get_current_device_resource()) is not rmm.mr.CudaMemoryResource:
        return
    _limit = limit
    try:
        pool, _allocator = rmm.mr.CudaAsyncMemoryResource(release_threshold=KEPT), POOLED
    except RuntimeError:  # by cuda_async_memory_resource.hpp; an error of another cause will recur in the small fit
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
    """Return the bytes that a reduction may use: all that is free, within the limit, after unused memory was freed."""
    give_back()
    available = int(cupy.cuda.runtime.memGetInfo()[0])
    return available if _limit is None else min(available, _limit)


def settle() -> dict[str, float]:
    """Wait until the device has done all its work; return the peak of its memory since the last call, in bytes.

    The two pools may peak at different moments, so the sum of their peaks is an upper bound.

    Returns
    -------
    dict
        `peak_device_bytes`; empty if the process has set up another pool, which does not count.
    """
    give_back()  # memory that torch has freed but keeps is not available to RAPIDS
    since = rmm.statistics.pop_statistics()
    if since is None:  # another pool, without statistics
        return {}
    held = rmm.statistics.get_statistics().current_bytes
    rmm.statistics.push_statistics()
    peak = held - since.current_bytes + since.peak_bytes
    if torch.cuda.is_available():
        peak += torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    return {"peak_device_bytes": peak}


def give_back() -> None:
    """Free the memory that no array needs any more, for other processes on the device."""
    cupy.cuda.runtime.deviceSynchronize()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
