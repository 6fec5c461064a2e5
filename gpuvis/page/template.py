"""Fill the templates of `web`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache as once
from importlib import resources


@once
def text(name: str) -> str:
    """Return what a file holds."""
    return resources.files("gpuvis.page").joinpath("web", name).read_text(encoding="utf-8")


def filled(name: str, parts: Mapping[str, str]) -> str:
    """Return a file with its places, marked as {{part}}, filled; what fills them is not looked at again."""
    return re.sub(r"\{\{(.+?)\}\}", lambda mark: parts[mark[1]], text(name))
