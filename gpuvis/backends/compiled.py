"""The door to numba: functions that are compiled once, and give the same bits on any number of threads.

Sums are in the order of the source, never "fast": the optimiser would choose another order in the process that compiles
than in those that load what it kept. So where a sum is long, the source takes several side by side. No sum goes across
threads inside a kernel: `prange` splits by the number of threads, and so does what numba makes parallel of itself.
Matrix products are of fixed blocks, on one thread each: BLAS rounds otherwise on two.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gpuvis import place

Item = TypeVar("Item")
Result = TypeVar("Result")

SHARED_MEMORY = "/dev/shm"  # noqa: S108  a folder of our own in it
HERE = Path(__file__).parent


def _temporary() -> list[str]:
    """Return the system's temporary folder, if there is one: Python would take the current folder as well."""
    try:
        found = tempfile.gettempdir()
    except FileNotFoundError:
        return []
    return [found] if Path(found) != Path.cwd() else []


def _place() -> Path | None:
    """Return where numba may keep what it compiles, if its usual places cannot be written; None: they can.

    Raises
    ------
    PermissionError
        There is no such place.
    """
    chosen, home = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("HOME")
    usual = [Path(chosen)] if chosen else [HERE, *([Path(home)] if home else [])]
    if any(map(place.is_writable, usual)):
        return None
    for other in (Path(folder) / f"numba-{os.getuid()}" for folder in (*_temporary(), SHARED_MEMORY)):
        if place.is_writable(other):
            other.mkdir(mode=0o700, exist_ok=True)
            if other.stat().st_uid == os.getuid():  # code from a folder of somebody else's would be run
                return other
    raise PermissionError(f"none of {', '.join(map(str, usual))} can be written, nor the system's temporary folders")


def _forget() -> None:
    """Remove what was kept beside our sources before the last of them was written.

    numba looks at the file of a kernel only, but has compiled parts of others with it.
    """
    newest = max(path.stat().st_mtime for path in HERE.glob("*.py"))
    for index in (HERE / "__pycache__").glob("*.nbi"):
        with suppress(OSError):  # another process was quicker, or it may not be removed
            if index.stat().st_mtime < newest:
                index.unlink()


def _keep() -> bool:
    """Let numba keep what it compiles, if there is a place; it is read as numba is imported."""
    _forget()
    try:
        other = _place()
    except PermissionError:
        return False  # then each process compiles anew
    if other:
        os.environ["NUMBA_CACHE_DIR"] = str(other)
    return True


KEPT = _keep()

import numba  # noqa: E402
import scipy.linalg.cython_blas  # noqa: E402, F401  numba's products are by its BLAS: loaded later, it would not be limited
from numba import prange as prange  # noqa: E402, PLC0414
from numba.core import types as types  # noqa: E402, PLC0414
from numba.extending import intrinsic as intrinsic  # noqa: E402, PLC0414
from threadpoolctl import threadpool_limits  # noqa: E402

kernel: Callable[..., Any] = numba.njit(parallel=True, nogil=True, cache=KEPT)
part: Callable[..., Any] = numba.njit(nogil=True, cache=KEPT)
inlined: Callable[..., Any] = numba.njit(nogil=True, inline="always")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let the block's kernels run on so many threads, if numba allows as many, and each matrix product on one."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(before)


@contextmanager
def openmp_limited() -> Iterator[None]:
    """Let libraries that are loaded by now use as many threads of OpenMP as kernels run on."""
    with threadpool_limits(current_threads(), user_api="openmp"):
        yield


def current_threads() -> int:
    """Return how many threads kernels run on now."""
    return int(numba.get_num_threads())


def in_order(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """Call a function that releases Python's lock on each item, so many at a time; give the results in order."""
    with ThreadPoolExecutor(count) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def keep_compiled(*modules: str) -> None:
    """Let numba keep what it compiles of other packages' modules, which it does not do of itself."""
    for name in modules if KEPT else ():
        for function in vars(sys.modules[name]).values():
            if isinstance(function, numba.core.registry.CPUDispatcher):
                function.enable_caching()


@intrinsic  # type: ignore[untyped-decorator]
def bits(typing: Any, x: Any) -> Any:
    """Return the bits of a float32 as an int32."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int32))

    return types.int32(types.float32), emit


@intrinsic  # type: ignore[untyped-decorator]
def from_bits(typing: Any, x: Any) -> Any:
    """Return the float32 of which an int32 has the bits."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), emit


def blocks(count: int, size: int) -> np.ndarray:
    """Return the bounds of blocks of about so many, as many as there are blocks and one: int64."""
    return np.linspace(0, count, max(1, -(-count // size)) + 1).astype(np.int64)
