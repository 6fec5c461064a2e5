"""Make text safe for a terminal, and open streams that were closed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

# Each becomes one character, so that columns stay as wide: ESC is shown as ␛; those above ASCII have no picture.
SHOWN = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def harmless(text: str) -> str:
    """Return a text in which no character but those that end lines or columns controls a terminal."""
    return text.translate(SHOWN)


class Talk:
    """A stream for what is said besides: what it does not take is lost, which is no reason to end.

    Parameters
    ----------
    stream : file object
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if it is taken."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what waits, if it is taken."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Let streams that were closed at the start lead nowhere, and let none that is full cost the work.

    A file that is opened would take the number of one that is closed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  as long as the process
    if not isinstance(sys.stderr, Talk):
        sys.stderr = cast("TextIO", Talk(sys.stderr))
