"""Ctrl-C and SIGTERM, which is how containers and job schedulers stop a program; and moments they may not split."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A stop, on its way up. Unless it is heard it comes again: callbacks from C, as numba's, swallow exceptions."""

    unheard: Stopped | None = None

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        Stopped.unheard = self
        self.exit_code = 128 + number
        self._again = threading.Timer(1, os.kill, (os.getpid(), number))
        self._again.daemon = True
        self._again.start()

    def heard(self) -> None:
        """Let it rest; the next one is a new one."""
        Stopped.unheard = None
        self._again.cancel()


def stop(number: int, frame: Any) -> None:
    """Raise; a handler for `signal.signal`."""
    raise Stopped(number)


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
