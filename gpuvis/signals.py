"""Handle Ctrl-C and SIGTERM, defer them where they must not interrupt, and run functions in other threads."""

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
    """The process received Ctrl-C or SIGTERM.

    Attributes
    ----------
    exit_code : int
        Exit code of the command: 128 plus the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def stop(number: int, frame: Any) -> None:
    """Raise `Stopped`; a handler for `signal.signal`."""
    raise Stopped(number)


def ignore_stops() -> None:
    """Ignore Ctrl-C and SIGTERM from now on."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def stops_deferred() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM until the end of the block. A signal that is ignored stays ignored.

    Only for blocks that take moments. Signals interrupt only the main thread, so in any other thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def defer(number: int, frame: Any) -> None:
        received.append(number)

    active = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, defer) for number in active}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


Result = TypeVar("Result")


def run_in_thread(work: Callable[[], Result]) -> Future[Result]:
    """Run a function in a new thread.

    The thread takes no signals, so the main thread receives them, and it does not keep the process alive.

    Returns
    -------
    Future
        Holds the result or the error.
    """
    future: Future[Result] = Future()

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  `Future.result` raises it again
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def completed() -> Future[None]:
    """Return a future that is complete already."""
    future: Future[None] = Future()
    future.set_result(None)
    return future


def warnings_ignored() -> AbstractContextManager[object]:
    """Ignore warnings in the block, if this is the main thread.

    Other threads must not change the warning filters: they belong to the whole process.
    """
    main = threading.current_thread() is threading.main_thread()
    return warnings.catch_warnings(action="ignore") if main else nullcontext()
