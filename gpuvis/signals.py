"""Ctrl-C and SIGTERM, moments that they may not split, and work in other threads."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A stop, on its way up."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def stop(number: int, frame: Any) -> None:
    """Raise; a handler for `signal.signal`."""
    raise Stopped(number)


def ignore_stops() -> None:
    """Let no stop end the process any more."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block has ended; then they act. A signal that is ignored stays so.

    Only for blocks that take moments. In a thread other than the main one, which they never interrupt, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: Any) -> None:
        caught.append(number)

    heeded = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


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
