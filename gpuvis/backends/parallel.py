"""Run loops in threads: compiled ones, and those of NumPy and BLAS.

No result depends on how many threads there are: loops write rows of their own, and sums that go across rows are taken
of blocks whose number does not depend on the threads. Matrix products are of fixed blocks, on one thread each: BLAS
rounds otherwise on two.
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
import scipy.linalg.cython_blas  # loaded later, it would not be limited
from threadpoolctl import threadpool_limits

from gpuvis import machine

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECES = 4  # of the rows for each thread, so that one that is kept waiting leaves more to the others
LEAST, MOST = 1024, 1 << 16  # rows of a piece: worth waking a thread, and few enough that an interrupt is heard soon

_count = machine.cpu_threads()
_pool = ThreadPoolExecutor(_count)
_turn = RLock()  # limits are the process's: of two threads that reduce, one waits for the other


def _in_child() -> None:
    """Begin anew after a fork, which takes no threads along, and leaves locks as they were."""
    global _pool, _turn
    _pool, _turn = ThreadPoolExecutor(_count), RLock()


os.register_at_fork(after_in_child=_in_child)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let loops in the block run on so many threads, and each matrix product on one."""
    global _count, _pool
    with _turn, ThreadPoolExecutor(count) as pool, threadpool_limits(1, user_api="blas"):
        if machine.memory_room() is not None:
            _take_buffers(pool, count)
        before, (_count, _pool) = (_count, _pool), (count, pool)
        try:
            yield
        finally:
            _count, _pool = before


def _take_buffers(pool: ThreadPoolExecutor, count: int) -> None:
    """Have BLAS, that of NumPy and that of SciPy, take its buffers for all threads now.

    Later there may be no memory for them, which BLAS does not report: it waits for ever, or ends the process.
    """
    square, ready = np.zeros((512, 512), np.float32), Barrier(count)

    def multiply() -> None:
        ready.wait()
        square.dot(square)
        ready.wait()
        scipy.linalg.blas.sgemm(1.0, square, square)

    for taken in [pool.submit(multiply) for _ in range(count)]:
        taken.result()


def current_threads() -> int:
    """Return how many threads loops run on now."""
    return _count


@contextmanager
def openmp_limited() -> Iterator[None]:
    """Let libraries that are loaded by now use as many threads of OpenMP as loops run on."""
    with threadpool_limits(_count, user_api="openmp"):
        yield


def in_ranges(loop: Callable[..., Any], rows: int, *arguments: Any, size: int = 0) -> None:
    """Call `loop(*arguments, (first, last))` for ranges that cover all rows, on all threads.

    This thread takes ranges too, and hears of signals between two of them.

    Parameters
    ----------
    loop : callable
        Releases Python's lock; may be called for ranges in any order, and at the same time.
    rows : int
    *arguments
    size : int, optional
        Rows of a range, where results depend on it or a row is much work. Default: what suits the threads.
    """
    pieces = max(min(rows // LEAST, PIECES * _count), -(-rows // MOST), 1)
    size = size or max(-(-rows // pieces), 1)
    starts = deque(range(0, rows, size))

    def taken() -> int | None:
        with suppress(IndexError):
            return starts.popleft()
        return None

    def work() -> None:
        try:
            for first in iter(taken, None):
                loop(*arguments, (first, min(first + size, rows)))
        finally:
            starts.clear()  # after an error or an interrupt no more are begun

    try:
        others = [_pool.submit(work) for _ in range(min(_count, len(starts)) - 1)]
        work()
        for other in others:
            other.result()
    finally:
        starts.clear()


def in_order(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """Call a function that releases Python's lock on each item, so many at a time; give the results in order."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
