"""Put the measures of a map into words: a table, one line, and warnings."""

from __future__ import annotations

from typing import Any, NamedTuple

ERRORS = 3  # standard errors within which two numbers count as the same
NEARLY_ALL = 0.99  # above this recall a map is good, even if the PCA map is as good
TORN = 0.1  # label accuracy on the map that is higher than in the original space by more than this is suspicious
MEASURES = {
    "recall": "recall@{k}",
    "trustworthiness": "trustworthiness@{k}",
    "continuity": "continuity@{k}",
    "triplets": "triplets in order",
    "spearman": "Spearman of distances",
    "label_accuracy": "label kNN accuracy@{k}",
}


class Scores(NamedTuple):
    """The measures of a map by one metric, as `quality.measure` returns them, by their names."""

    original: dict[str, float]
    map: dict[str, float]
    pca: dict[str, float]


def scores(measured: dict[str, Any], metric: str) -> Scores:
    """Return the measures by one metric."""
    return Scores(*(measured[metric][space] for space in Scores._fields))


def scores_of_fit(measured: dict[str, Any]) -> Scores:
    """Return the measures by the metric of the map."""
    return scores(measured, measured["metric"])


def report(measured: dict[str, Any]) -> list[str]:
    """Return all measures of a map as the lines of a table.

    `measured`: the measures as `quality.measure` returns them, here and in the functions below.
    """
    lines = []
    for metric in (name for name, value in measured.items() if isinstance(value, dict)):
        lines.append(f"  {metric:<24}{'map':>9}{'±':>8}{'PCA map':>10}{'original':>10}")
        original, on_map, pca = scores(measured, metric)
        for name, title in MEASURES.items():
            if name in on_map:
                error = f"{on_map[f'{name}_se']:.4f}" if on_map.get(f"{name}_se") else ""
                reference = f"{original[name]:.4f}" if name in original else ""
                title = title.format(k=measured["k"])
                lines.append(f"  {title:<24}{on_map[name]:>9.4f}{error:>8}{pca[name]:>10.4f}{reference:>10}".rstrip())
    choice = "a sample against all rows" if measured["sampled"] else "all rows"
    return [*lines, f"  anchors: {measured['anchors']:,}, {choice}"]


def cells(measured: dict[str, Any] | None) -> tuple[str, str, str, str]:
    """Return recall, trustworthiness, triplets and label accuracy as text, each with its reference in parentheses.

    The reference is the PCA map; for label accuracy, the original space. A measure that is missing gives empty text.
    """
    if not measured:
        return "", "", "", ""
    original, on_map, pca = scores_of_fit(measured)
    labels = f"{on_map['label_accuracy']:.1%} ({original['label_accuracy']:.1%})" if original else ""
    return (
        f"{on_map['recall']:.1%} ({pca['recall']:.1%})",
        f"{on_map['trustworthiness']:.3f} ({pca['trustworthiness']:.3f})",
        f"{on_map['triplets']:.1%} ({pca['triplets']:.1%})",
        labels,
    )


def line(measured: dict[str, Any]) -> str:
    """Summarise the measures of a map in one line."""
    recall, trust, triplets, labels = cells(measured)
    k = measured["k"]
    parts = [f"recall@{k} {recall.replace('(', '(PCA map ')}", f"trustworthiness@{k} {trust}", f"triplets {triplets}"]
    if labels:
        parts.append(f"labels by kNN {labels.replace('(', '(original ')}")
    return " · ".join(parts)


def verdict(measured: dict[str, Any]) -> str:
    """Say in one sentence how far to trust a map."""
    _, on_map, pca = scores_of_fit(measured)
    kept, by_pca = _percent(on_map["recall"]), _percent(pca["recall"])
    return f"{kept} of each point's nearest neighbours are kept; a plain PCA map keeps {by_pca}."


def _percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def explained(measured: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Return name, value and meaning of each measure of a map, for readers who do not know the measures."""
    k = measured["k"]
    recall, trust, triplets, labels = cells(measured)
    rows = [
        (
            "Neighbours kept",
            recall,
            f"of each point's {k} nearest in the original space, those among its {k} nearest here",
        ),
        ("Trustworthiness", trust, "the same, weighed by how far off the others are; 1 is best"),
        ("Triplets in order", triplets, "how often the nearer one of two points is the nearer one here too"),
    ]
    told = [(name, value.replace("(", "(PCA map "), meaning) for name, value, meaning in rows]
    if labels:
        meaning = "how often most neighbours of a point here have its label"
        told.append(("Labels by neighbours", labels.replace("(", "(original space "), meaning))
    return tuple(told)


def warnings(measured: dict[str, Any]) -> list[str]:
    """Return a sentence for each fault of a map, which says what the fault means for the reader."""
    original, on_map, pca = scores_of_fit(measured)
    lines = []
    if on_map["recall"] <= min(pca["recall"] + ERRORS * on_map["recall_se"], NEARLY_ALL):
        lines.append(
            f"the map keeps no more of the nearest neighbours ({on_map['recall']:.1%}) than a plain PCA map "
            f"({pca['recall']:.1%}): its islands may mean nothing; try other settings or another method"
        )
    if measured["flung"]:
        who = "1 point was" if measured["flung"] == 1 else f"{measured['flung']:,} points were"
        lines.append(
            f"{who} flung far outside the map, so the others are crowded together: try another seed or fewer neighbours"
        )
    if original:
        gap = on_map["label_accuracy"] - original["label_accuracy"]
        if gap > max(TORN, ERRORS * on_map["label_accuracy_se"]):
            lines.append(
                f"labels are predicted by neighbours far better on the map ({on_map['label_accuracy']:.0%}) than in "
                f"the original space ({original['label_accuracy']:.0%}): classes look further apart than they are"
            )
    return lines
