"""Pack the data of a page for the browser: a JSON header and compressed arrays.

The bytes of an array are reordered: the first bytes of all numbers, then all second bytes, and so on. That compresses
better.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

LEVEL = 6  # of gzip; higher levels take much longer and save little


class Pack:
    """Arrays for the browser. Each method that adds one returns its description for the header."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def numbers(self, array: np.ndarray) -> dict[str, Any]:
        """Add an array of shape (n,) of numbers of up to 4 bytes, and return its description."""
        array = np.ascontiguousarray(array)
        planes = array.view(np.uint8).reshape(-1, array.itemsize).T
        dtype = f"{array.dtype.kind}{array.itemsize}"
        return {"type": dtype, "count": len(array), "at": self._append(planes.tobytes())}

    def texts(self, texts: Sequence[str]) -> dict[str, Any]:
        """Add strings, and return their description. Lengths are in units of UTF-16, as JavaScript counts them."""
        joined = "".join(texts)
        count_units = len if joined.isascii() else lambda text: len(text.encode("utf-16-le")) // 2
        lengths = np.fromiter(map(count_units, texts), np.uint32, len(texts))
        content = joined.encode()
        description = {"at": self._append(content), "bytes": len(content)}
        if len(lengths) and (lengths == lengths[0]).all():
            return {**description, "length": int(lengths[0])}
        return {**description, "lengths": self.numbers(lengths)}

    def _append(self, part: bytes) -> int:
        """Add bytes, and return their offset."""
        offset = self._size
        self._parts.append(part)
        self._size += len(part)
        return offset

    def encoded(self, header: dict[str, Any]) -> str:
        """Return the header and all arrays, compressed and as text."""
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
        length = np.array([len(text)], "<u4").tobytes()
        return compressed(b"".join([length, text, *self._parts]))


def compressed(content: bytes) -> str:
    """Compress bytes with gzip and encode them in base64."""
    return base64.b64encode(gzip.compress(content, LEVEL, mtime=0)).decode("ascii")
