"""Pack numbers and texts for the browser: a JSON header and compressed arrays.

The bytes of numbers are sorted by their place (all first bytes, then all second ones, …), which compresses better.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

LEVEL = 6  # of gzip; above, it takes much longer for hardly less


class Pack:
    """What is to be sent, and where each part of it lies."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def numbers(self, array: np.ndarray) -> dict[str, Any]:
        """Take in a flat array of numbers of up to 4 bytes; return how it is found again."""
        array = np.ascontiguousarray(array)
        planes = array.view(np.uint8).reshape(-1, array.itemsize).T
        kind = f"{array.dtype.kind}{array.itemsize}"
        return {"type": kind, "count": len(array), "at": self._append(planes.tobytes())}

    def texts(self, texts: Sequence[str]) -> dict[str, Any]:
        """Take in strings; return how they are found again. Their lengths are in units of UTF-16, as in a browser."""
        whole = "".join(texts)
        units = len if whole.isascii() else lambda text: len(text.encode("utf-16-le")) // 2
        lengths = np.fromiter(map(units, texts), np.uint32, len(texts))
        content = whole.encode()
        place = {"at": self._append(content), "bytes": len(content)}
        if len(lengths) and (lengths == lengths[0]).all():
            return {**place, "length": int(lengths[0])}
        return {**place, "lengths": self.numbers(lengths)}

    def _append(self, part: bytes) -> int:
        at = self._size
        self._parts.append(part)
        self._size += len(part)
        return at

    def sealed(self, header: dict[str, Any]) -> str:
        """Return all of it as text."""
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
        start = np.array([len(text)], "<u4").tobytes()
        return compressed(b"".join([start, text, *self._parts]))


def compressed(content: bytes) -> str:
    """Return bytes as text that a browser can unpack."""
    return base64.b64encode(gzip.compress(content, LEVEL, mtime=0)).decode("ascii")
