"""What a page says about its map: which one it is, how far to trust it, and how it was made."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

CACHES = "feat_cache_vis"  # folder that holds the caches of a study, as {model}_{dataset}/{split}/seed{seed}
SEED = re.compile(r"seed[-_ ]?\d+")


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What a page says about its map.

    Attributes
    ----------
    name : str
        Which map it is: model and dataset, split and seed. It stays right where the page is copied or mailed.
    caption : str
        Method, size and settings, in one line.
    verdict : str
        How far to trust the map, in one sentence; empty if it was not measured.
    measures : tuple of (str, str, str)
        Name, value and meaning of each measure.
    warnings : tuple of str
        Faults of the map or of its data, a sentence each.
    """

    name: str = ""
    caption: str = ""
    verdict: str = ""
    measures: tuple[tuple[str, str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The title of the page: the name of the map and its method."""
        method = self.caption.partition(" · ")[0]
        return " – ".join(filter(None, (self.name, method)))

    def to_json(self) -> dict[str, Any]:
        """Return the heading for the data of a page."""
        return {**asdict(self), "title": self.title}


def name_of(folder: str | PurePath) -> str:
    """Name a map by the folder of its cache: by the folders of a study as far as they are there, else by the last one.

    Examples
    --------
    >>> name_of("/data/feat_cache_vis/vit-b16_habitats/test/seed3")
    'vit-b16_habitats / test / seed3'
    >>> name_of("/home/me/demo")
    'demo'
    """
    parts = [part for part in PurePath(folder).parts if part.strip("/\\.")]
    if CACHES in parts[:-1]:
        parts = parts[len(parts) - parts[::-1].index(CACHES) :]
    else:
        parts = parts[-3 if parts and SEED.fullmatch(parts[-1]) else -1 :]
    return " / ".join(parts)
