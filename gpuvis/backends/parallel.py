"""Run compiled loops and matrix products in threads.

No result depends on the number of threads. Each call of a loop writes only its own rows. Sums over rows are taken over
blocks whose number does not depend on the threads. Matrix products are of fixed blocks too, each on one thread, because
BLAS rounds differently on two threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Barrier, RLock
from typing import Any, TypeVar

import numpy as np
import scipy.linalg.cython_blas  # loaded now, because threadpoolctl limits only libraries that are loaded
from threadpoolctl import threadpool_limits

from gpuvis import machine

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECES = 4  # ranges of rows for each thread, so that other threads can take over the work of a slow one
LEAST, MOST = 1024, 1 << 16  # rows of a range: enough to be worth waking a thread; few enough to react to an interrupt

_count = machine.cpu_threads()
_pool = ThreadPoolExecutor(_count)
_limits_lock = RLock()  # limits apply to the whole process, so two threads that reduce take turns


def _renew_after_fork() -> None:
    """Make a new pool and lock in a forked child, which has no threads, and may have a copy of a locked lock."""
    global _pool, _limits_lock
    _pool, _limits_lock = ThreadPoolExecutor(_count), RLock()


os.register_at_fork(after_in_child=_renew_after_fork)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run the loops of the block on `count` threads, and each matrix product on one."""
    global _count, _pool
    with _limits_lock, ThreadPoolExecutor(count) as pool, threadpool_limits(1, user_api="blas"):
        if machine.memory_room() is not None:
            _allocate_buffers(pool, count)
        previous, (_count, _pool) = (_count, _pool), (count, pool)
        try:
            yield
        finally:
            _count, _pool = previous


def _allocate_buffers(pool: ThreadPoolExecutor, count: int) -> None:
    """Make the BLAS of NumPy and that of SciPy allocate their buffers for all threads now.

    If there is no memory for them later, BLAS raises no error: it waits for ever, or ends the process.
    """
    square, ready = np.zeros((512, 512), np.float32), Barrier(count)

    def multiply() -> None:
        ready.wait()
        square.dot(square)
        ready.wait()
        scipy.linalg.blas.sgemm(1.0, square, square)

    for future in [pool.submit(multiply) for _ in range(count)]:
        future.result()


def current_threads() -> int:
    """Return the number of threads that loops run on now."""
    return _count


@contextmanager
def openmp_limited() -> Iterator[None]:
    """Limit the OpenMP threads of all libraries loaded so far to the number of threads that loops run on."""
    with threadpool_limits(_count, user_api="openmp"):
        yield


def in_ranges(loop: Callable[..., Any], rows: int, *arguments: Any, size: int = 0) -> None:
    """Call `loop(*arguments, (first, last))` for ranges that cover all rows, on all threads.

    The calling thread processes ranges too, and can react to signals between two of them. An error in a call is raised
    here; no further range is started.

    Parameters
    ----------
    loop : callable
        Releases Python's global lock; may be called for ranges in any order, and for several at the same time.
    rows : int
        Number of rows.
    *arguments
        First arguments of each call.
    size : int, optional
        Rows of a range, for loops whose result depends on it, or that take long for one row. By default it depends on
        the number of threads.
    """
    pieces = max(min(rows // LEAST, PIECES * _count), -(-rows // MOST), 1)
    size = size or max(-(-rows // pieces), 1)
    starts = deque(range(0, rows, size))

    def next_start() -> int | None:
        with suppress(IndexError):
            return starts.popleft()
        return None

    def work() -> None:
        try:
            for first in iter(next_start, None):
                loop(*arguments, (first, min(first + size, rows)))
        finally:
            starts.clear()  # after an error or an interrupt no further range is started

    try:
        others = [_pool.submit(work) for _ in range(min(_count, len(starts)) - 1)]
        work()
        for other in others:
            other.result()
    finally:
        starts.clear()


def in_order(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """Call a function on each item in `count` threads, and yield the results in the order of the items.

    The function should release Python's global lock. Items are taken only as they are needed.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
