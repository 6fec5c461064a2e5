"""Make text safe to print on a terminal, and output streams safe to write to."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

# Each control character becomes one symbol, so that columns keep their width: ESC becomes ␛. Those above ASCII have no
# symbol of their own, and become U+FFFD.
SYMBOLS = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def printable(text: str) -> str:
    """Replace all control characters, except newlines and tabs, by symbols: a terminal would obey them."""
    return text.translate(SYMBOLS)


class TolerantStream:
    """A text stream that ignores errors of writing: messages may be lost, but the work goes on.

    Parameters
    ----------
    stream : file object
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write buffered text, or lose it."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Connect standard streams that are closed to /dev/null, and ignore errors of writing to stderr.

    The next file that is opened would get the descriptor of a closed stream, and receive its text.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  stays open until the process ends
    if not isinstance(sys.stderr, TolerantStream):
        sys.stderr = cast("TextIO", TolerantStream(sys.stderr))
