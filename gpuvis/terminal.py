"""Text from files and folders on a terminal: characters that would control it are shown instead of sent."""

from __future__ import annotations

# Each becomes one character, so that columns stay as wide: ESC is shown as ␛; those above ASCII have no picture.
SHOWN = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def harmless(text: str) -> str:
    """Return a text in which no character but those that end lines or columns controls a terminal."""
    return text.translate(SHOWN)
