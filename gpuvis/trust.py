"""What the measures of a map come to, for people: one line, and warnings that say what they mean."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis import quality
from gpuvis.backends.base import Backend
from gpuvis.folders import COLUMNS
from gpuvis.job import Job
from gpuvis.outcome import failure
from gpuvis.steps import Steps

if TYPE_CHECKING:
    import pandas as pd

    from gpuvis.backends.base import Plan
    from gpuvis.cache import Cache

logger = logging.getLogger(__name__)
ERRORS = 3  # standard errors within which two numbers are the same
TORN = 0.1  # more label accuracy on the map than in the original space


def of_map(
    job: Job, cache: Cache, coords: np.ndarray, metric: str, how: tuple[Backend, tuple[Plan, float]], steps: Steps
) -> dict[str, Any] | None:
    """Measure a map; None, with a note, if that cannot be done: the map is whole without."""
    backend, known = how
    try:
        with steps("quality"), backend.working(known[0]):
            told = quality.measure(cache.embeddings, coords, labels_of(cache.table), metric, backend, known)
    except Exception as error:  # noqa: BLE001
        logger.warning("%s: the map was not measured: %s", job.folder, failure(job.folder, error).error)
        return None
    for warning in warnings(told):
        logger.warning("%s: %s", job.folder, warning)
    return told


def labels_of(table: pd.DataFrame) -> np.ndarray | None:
    """Return the class of each row of a table by number, -1 where it has none; None where no row has any."""
    _, number, word, _ = COLUMNS
    for name in (number, word):
        if name in table and bool((table[name] != "").any()):
            codes, _ = table[name].factorize()
            return np.where(table[name] == "", -1, codes)
    return None


def kept(told: dict[str, Any]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return what the original space, the map and the PCA map have, by the metric of the fit."""
    by = told[told["metric"]]
    return by["original"], by["map"], by["pca"]


def line(told: dict[str, Any]) -> str:
    """Say in one line how far to trust a map."""
    original, here, pca = kept(told)
    near = f"Of the {told['k']} nearest neighbours of a point, {here['recall']:.0%} are among the nearest here"
    parts = [
        f"{near} (on a PCA map {pca['recall']:.0%})",
        f"trustworthiness {here['trustworthiness']:.3f} ({pca['trustworthiness']:.3f})",
        f"order of distances kept {here['triplets']:.0%} ({pca['triplets']:.0%})",
    ]
    if original:
        parts.append(
            f"labels told by neighbours {here['label_accuracy']:.0%}, in the original space "
            f"{original['label_accuracy']:.0%}"
        )
    return "; ".join(parts)


def warnings(told: dict[str, Any]) -> list[str]:
    """Say what is wrong with a map, and what that means for those who read it."""
    original, here, pca = kept(told)
    found = []
    if here["recall"] <= pca["recall"] + ERRORS * here["recall_se"]:
        found.append(
            f"the map keeps no more of the nearest neighbours ({here['recall']:.1%}) than a plain PCA map "
            f"({pca['recall']:.1%}): its islands may mean nothing; try other settings or another method"
        )
    if told["flung"]:
        found.append(
            f"{told['flung']:,} points were flung far outside the map, so the others are crowded in a corner: "
            "try another seed or fewer neighbours"
        )
    if original:
        gap = here["label_accuracy"] - original["label_accuracy"]
        if gap > max(TORN, ERRORS * here["label_accuracy_se"]):
            found.append(
                f"labels are told by neighbours far better on the map ({here['label_accuracy']:.0%}) than in the "
                f"original space ({original['label_accuracy']:.0%}): classes look further apart than they are"
            )
    return found
