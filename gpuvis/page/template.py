"""Read the files of the page in the folder `web`, and fill its templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache as once
from importlib import resources


@once
def text(name: str) -> str:
    """Return the text of a file in `web`."""
    return resources.files("gpuvis.page").joinpath("web", name).read_text(encoding="utf-8")


def fill(name: str, parts: Mapping[str, str]) -> str:
    """Return a template with each {{part}} replaced. Marks inside the inserted text are left unchanged."""
    return re.sub(r"\{\{(.+?)\}\}", lambda match: parts[match[1]], text(name))
