"""What the measures of a map come to, for people: a table, and warnings that say what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.folders import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

ERRORS = 3  # standard errors within which two numbers are the same
TORN = 0.1  # more label accuracy on the map than in the original space
MEASURES = {
    "recall": "recall@{k}",
    "trustworthiness": "trustworthiness@{k}",
    "continuity": "continuity@{k}",
    "triplets": "triplets in order",
    "spearman": "Spearman of distances",
    "label_accuracy": "label kNN accuracy@{k}",
}


def labels_of(table: pd.DataFrame) -> np.ndarray | None:
    """Return the class of each row of a table by number, -1 where it has none; None where no row has any."""
    _, number, word, _ = COLUMNS
    for name in (number, word):
        if name in table and bool((table[name] != "").any()):
            codes, _ = table[name].factorize()
            return np.where(table[name] == "", -1, codes)
    return None


def report(told: dict[str, Any]) -> list[str]:
    """Return all measures of a map as lines of text; `told`: what `quality.measure` gave."""
    found = []
    for metric in (name for name, value in told.items() if isinstance(value, dict)):
        found.append(f"  {metric:<24}{'map':>9}{'±':>8}{'PCA map':>10}{'original':>10}")
        for name, title in MEASURES.items():
            original, here, pca = (told[metric][place] for place in ("original", "map", "pca"))
            if name in here:
                error = f"{here[f'{name}_se']:.4f}" if here.get(f"{name}_se") else ""
                before = f"{original[name]:.4f}" if name in original else ""
                title = title.format(k=told["k"])
                found.append(f"  {title:<24}{here[name]:>9.4f}{error:>8}{pca[name]:>10.4f}{before:>10}".rstrip())
    how = "a sample against all rows" if told["sampled"] else "all rows"
    return [*found, f"  anchors: {told['anchors']:,}, {how}"]


def warnings(told: dict[str, Any]) -> list[str]:
    """Say what is wrong with a map, and what that means for those who read it."""
    original, here, pca = (told[told["metric"]][place] for place in ("original", "map", "pca"))
    found = []
    if here["recall"] <= pca["recall"] + ERRORS * here["recall_se"]:
        found.append(
            f"the map keeps no more of the nearest neighbours ({here['recall']:.1%}) than a plain PCA map "
            f"({pca['recall']:.1%}): its islands may mean nothing; try other settings or another method"
        )
    if told["flung"]:
        found.append(
            f"{told['flung']:,} points were flung far outside the map, so the others are crowded together: "
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
