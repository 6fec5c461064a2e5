"""The streams of a terminal: text for it, of which no character controls it, and streams that were closed."""

from __future__ import annotations

import os
import sys

# Each becomes one character, so that columns stay as wide: ESC is shown as ␛; those above ASCII have no picture.
SHOWN = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def harmless(text: str) -> str:
    """Return a text in which no character but those that end lines or columns controls a terminal."""
    return text.translate(SHOWN)


def open_streams() -> None:
    """Let streams that were closed at the start lead nowhere; else a file that is opened would take their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  as long as the process
