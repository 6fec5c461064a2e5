"""Moments that Ctrl-C and SIGTERM may not split."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block has ended; then they act.

    Only for blocks that take moments. In a thread other than the main one, which they never interrupt, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: Any) -> None:
        caught.append(number)

    before = {stop: signal.signal(stop, note) for stop in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
        for number in caught[:1]:
            signal.raise_signal(number)
