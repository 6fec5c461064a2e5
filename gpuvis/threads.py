"""Work beside the main thread, which alone hears of signals and owns what belongs to the whole process."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from gpuvis.signals import STOPS

Result = TypeVar("Result")


def aside(work: Callable[[], Result]) -> Future[Result]:
    """Do work in a thread of its own, which neither takes signals from the main thread nor keeps the process alive."""
    future: Future[Result] = Future()

    def do() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return future


def done() -> Future[None]:
    """Return what `aside` gives, of nothing to do."""
    nothing: Future[None] = Future()
    nothing.set_result(None)
    return nothing


def warnings_ignored() -> AbstractContextManager[object]:
    """Ignore warnings, if this is the main thread: their filters are the process's, and it may be using them."""
    main = threading.current_thread() is threading.main_thread()
    return warnings.catch_warnings(action="ignore") if main else nullcontext()
