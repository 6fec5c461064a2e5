"""What a page holds, read as the browser reads it, and images for pages."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TYPES = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "f4": np.float32}


@dataclass(frozen=True)
class Told:
    """What a page tells the browser, read as the browser does."""

    header: dict[str, Any]
    content: bytes

    def numbers(self, part: dict[str, Any]) -> np.ndarray:
        kind = np.dtype(TYPES[part["type"]])
        planes = np.frombuffer(self.content, np.uint8, part["count"] * kind.itemsize, part["at"])
        return np.ascontiguousarray(planes.reshape(kind.itemsize, -1).T).view(kind).ravel()

    @property
    def coords(self) -> np.ndarray:
        axes = [self.numbers(axis) * axis.get("step", 1) + axis.get("low", 0) for axis in self.header["coords"]]
        return np.stack(axes, -1)

    def column(self, name: str) -> dict[str, Any]:
        return next(column for column in self.header["columns"] if column["name"] == name)

    def codes(self, column: dict[str, Any]) -> np.ndarray:
        if "codes" in column:
            return self.numbers(column["codes"])
        return np.array(column["which"])[self.codes(self.header["columns"][column["leader"]])]

    def texts(self, name: str) -> list[str]:
        column = self.column(name)
        if column.get("values"):
            return [column["values"][code] for code in self.codes(column)]
        told = column["texts"]
        units = self.content[told["at"] : told["at"] + told["bytes"]].decode().encode("utf-16-le")
        lengths = self.numbers(told["lengths"]) if "lengths" in told else [told["length"]] * self.header["shown"]
        ends = np.cumsum([0, *lengths]) * 2
        return [units[a:b].decode("utf-16-le") for a, b in pairwise(ends)]


def read(html: str) -> Told:
    packed = re.search(r'<script type="application/octet-stream" id="data">([^<]*)<', html)[1]
    whole = gzip.decompress(base64.b64decode(packed))
    length = int.from_bytes(whole[:4], "little")
    return Told(json.loads(whole[4 : 4 + length]), whole[4 + length :])


def shades(folder: Path, count: int, size: int = 40) -> list[str]:
    """Write images, each of one shade."""
    paths = [str(folder / f"{k}.png") for k in range(count)]
    for k, path in enumerate(paths):
        Image.new("RGB", (size, size // 2), (k * 7 % 256, 100, 200)).save(path)
    return paths
