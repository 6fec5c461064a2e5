"""The measures of a map in words: a table, one line, and warnings."""

from __future__ import annotations

from typing import Any

ERRORS = 3  # standard errors within which two numbers are the same
NEARLY_ALL = 0.99  # of the neighbours: a map that keeps them is right, whatever else keeps them too
TORN = 0.1  # more label accuracy on the map than in the original space
MEASURES = {
    "recall": "recall@{k}",
    "trustworthiness": "trustworthiness@{k}",
    "continuity": "continuity@{k}",
    "triplets": "triplets in order",
    "spearman": "Spearman of distances",
    "label_accuracy": "label kNN accuracy@{k}",
}


def report(measured: dict[str, Any]) -> list[str]:
    """Return all measures of a map as lines of text; `measured`: what `quality.measure` gave."""
    found = []
    for metric in (name for name, value in measured.items() if isinstance(value, dict)):
        found.append(f"  {metric:<24}{'map':>9}{'±':>8}{'PCA map':>10}{'original':>10}")
        for name, title in MEASURES.items():
            original, here, pca = (measured[metric][place] for place in ("original", "map", "pca"))
            if name in here:
                error = f"{here[f'{name}_se']:.4f}" if here.get(f"{name}_se") else ""
                before = f"{original[name]:.4f}" if name in original else ""
                title = title.format(k=measured["k"])
                found.append(f"  {title:<24}{here[name]:>9.4f}{error:>8}{pca[name]:>10.4f}{before:>10}".rstrip())
    how = "a sample against all rows" if measured["sampled"] else "all rows"
    return [*found, f"  anchors: {measured['anchors']:,}, {how}"]


def kept(measured: dict[str, Any]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return what the original space, the map and the PCA map have, by the metric of the fit."""
    by = measured[measured["metric"]]
    return by["original"], by["map"], by["pca"]


def cells(measured: dict[str, Any] | None) -> tuple[str, str, str, str]:
    """Return recall, trustworthiness, triplets and labels, each beside what it is to be compared with."""
    if not measured:
        return "", "", "", ""
    original, here, pca = kept(measured)
    labels = f"{here['label_accuracy']:.1%} ({original['label_accuracy']:.1%})" if original else ""
    return (
        f"{here['recall']:.1%} ({pca['recall']:.1%})",
        f"{here['trustworthiness']:.3f} ({pca['trustworthiness']:.3f})",
        f"{here['triplets']:.1%} ({pca['triplets']:.1%})",
        labels,
    )


def line(measured: dict[str, Any]) -> str:
    """Say in one line how far to trust a map."""
    recall, trust, triplets, labels = cells(measured)
    k = measured["k"]
    parts = [f"recall@{k} {recall.replace('(', '(PCA map ')}", f"trustworthiness@{k} {trust}", f"triplets {triplets}"]
    told_labels = [f"labels by kNN {labels.replace('(', '(original ')}"] if labels else []
    return " · ".join([*parts, *told_labels])


def warnings(measured: dict[str, Any]) -> list[str]:
    """Say what is wrong with a map, and what that means for those who read it."""
    original, here, pca = kept(measured)
    found = []
    if here["recall"] <= min(pca["recall"] + ERRORS * here["recall_se"], NEARLY_ALL):
        found.append(
            f"the map keeps no more of the nearest neighbours ({here['recall']:.1%}) than a plain PCA map "
            f"({pca['recall']:.1%}): its islands may mean nothing; try other settings or another method"
        )
    if measured["flung"]:
        who = "1 point was" if measured["flung"] == 1 else f"{measured['flung']:,} points were"
        found.append(
            f"{who} flung far outside the map, so the others are crowded together: try another seed or fewer neighbours"
        )
    if original:
        gap = here["label_accuracy"] - original["label_accuracy"]
        if gap > max(TORN, ERRORS * here["label_accuracy_se"]):
            found.append(
                f"labels are told by neighbours far better on the map ({here['label_accuracy']:.0%}) than in the "
                f"original space ({original['label_accuracy']:.0%}): classes look further apart than they are"
            )
    return found
