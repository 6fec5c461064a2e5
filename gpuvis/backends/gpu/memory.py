"""The memory of the device: one pool for RAPIDS and CuPy; free, peak and held bytes.

torch keeps a pool of its own, for the one tensor that comes from it; both are counted and both are limited.
"""

from __future__ import annotations

import cupy
import rmm
import rmm.statistics
import torch

KEPT = 256 << 20  # bytes that the pool keeps for the next step; the rest goes back whenever the device is waited for

POOLED = "an asynchronous pool"
PLAIN = "cudaMalloc, since memory pools are not supported"

_limit: int | None = None
_allocator = ""


def set_up(limit: int | None = None) -> None:
    """Let RAPIDS and CuPy allocate from one asynchronous pool, before either has allocated anything.

    Importing cuML points CuPy's allocator at RMM, whose default is a plain cudaMalloc for each array. A pool that the
    process has set up already is left alone. Where the device has no pools, as some virtual GPUs, that default stays.

    Parameters
    ----------
    limit : int, optional
        The most bytes that each of the two pools may hold, for a card that is shared.
    """
    global _limit, _allocator  # noqa: PLW0603  a process has one device, and one pool on it
    if type(rmm.mr.get_current_device_resource()) is not rmm.mr.CudaMemoryResource:
        return
    _limit = limit
    try:
        pool, _allocator = rmm.mr.CudaAsyncMemoryResource(release_threshold=KEPT), POOLED
    except RuntimeError:  # of cuda_async_memory_resource.hpp; whatever else it may be, the small fit meets it too
        pool, _allocator = rmm.mr.CudaMemoryResource(), PLAIN
    rmm.mr.set_current_device_resource(rmm.mr.LimitingResourceAdaptor(pool, limit) if limit else pool)
    rmm.statistics.enable_statistics()
    rmm.statistics.push_statistics()
    if torch.cuda.is_available() and limit:
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total()))


def allocator() -> str:
    """Return how memory is allocated."""
    return _allocator or "as the process had set it up"


def total() -> int:
    """Return the size of the device's memory in bytes."""
    return int(cupy.cuda.runtime.memGetInfo()[1])


def free() -> int:
    """Return how many bytes a reduction may take: what is free once all that can be is given back, within the limit."""
    give_back()
    available = int(cupy.cuda.runtime.memGetInfo()[0])
    return available if _limit is None else min(available, _limit)


def settle() -> dict[str, float]:
    """Wait until the device has done all its work; return the most bytes held on it since the last call.

    The two pools peak at moments of their own: their sum is at least the true peak.
    """
    give_back()  # what torch has freed but keeps, RAPIDS cannot have
    since = rmm.statistics.pop_statistics()
    if since is None:  # somebody else's pool, which is not counted
        return {}
    held = rmm.statistics.get_statistics().current_bytes
    rmm.statistics.push_statistics()
    peak = held - since.current_bytes + since.peak_bytes
    if torch.cuda.is_available():
        peak += torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    return {"peak_device_bytes": peak}


def give_back() -> None:
    """Return what no array needs any more to the device, for whoever else uses it."""
    cupy.cuda.runtime.deviceSynchronize()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
