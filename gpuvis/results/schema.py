"""Validate a JSON record when it is read, before `record.py` takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpuvis.io.files import check_ordinary
from gpuvis.settings import METHODS, METRICS, MIN_ROWS

MOST_BYTES = 16 << 20  # of a record; ours have some thousand
LARGEST = 2**63


def read(path: Path, schema: Any) -> dict[str, Any] | None:
    """Return what a JSON file holds; None if it cannot be read, or does not fit a schema; see `fits`."""
    try:
        check_ordinary(path)
        if path.stat().st_size > MOST_BYTES:
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if fits(found, schema) else None


def fits(value: Any, schema: Any) -> bool:
    """Tell whether a value fits a schema.

    That is a type (int: a count, below 2^63, as float is), a test that is called, a set of strings, a list of the
    schema of each item, a tuple of schemas of which one is to fit, or a dictionary: of the schema of each key, of those
    that may be missing with a "?" before it, and of all others under "*".
    """
    if isinstance(schema, dict):
        return isinstance(value, dict) and _keys_fit(value, schema)
    if isinstance(schema, list):
        return isinstance(value, list) and all(fits(item, schema[0]) for item in value)
    if isinstance(schema, tuple):
        return any(fits(value, one) for one in schema)
    if isinstance(schema, set):
        return isinstance(value, str) and value in schema
    if schema in {int, float}:
        number = isinstance(value, (int, schema)) and not isinstance(value, bool)
        return number and not abs(value) >= LARGEST and not (schema is int and value < 0)
    return isinstance(value, schema) if isinstance(schema, type) else bool(schema(value))


def _keys_fit(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    if not {key for key in schema if key[0] not in "?*"} <= value.keys():
        return False
    others = schema.get("*", _any)
    return all(fits(value[key], schema.get(key, schema.get(f"?{key}", others))) for key in value)


def _any(value: Any) -> bool:
    return True


def _are_rows(value: Any) -> bool:
    return fits(value, int) and value >= MIN_ROWS


def _is_method(value: Any) -> bool:
    return isinstance(value, str) and value in METHODS


def _is_quality(value: Any) -> bool:
    about = {"k": int, "anchors": int, "sampled": bool, "flung": int, "metric": set(METRICS), "?points": int}
    if not fits(value, about) or not isinstance(value.get(value["metric"]), dict):
        return False
    return all(_is_compared(by_metric) for by_metric in value.values() if isinstance(by_metric, dict))


def _is_compared(value: dict[str, Any]) -> bool:
    """Tell whether these are the measures of a map beside those of a plain PCA map and of the original space."""
    needed = dict.fromkeys(("recall", "trustworthiness", "triplets"), float)
    places = {
        "map": {"recall_se": float, **needed, "*": float},
        "pca": {**needed, "*": float},
        "original": {"*": float},
    }
    if not fits(value, places):
        return False
    here, pca, original = value["map"], value["pca"], value["original"]
    labels = {"label_accuracy", "label_accuracy_se"}
    return here.keys() <= pca.keys() and (not original or labels <= here.keys() & original.keys())


OF_INPUT = {"rows": _are_rows, "columns": int, "fingerprint": {}, "?info": {}, "?folder": str, "?notes": [str]}
FORMATS = 0, 1  # of records that can be read; one without a number is of format 0


def _is_format(value: Any) -> bool:
    return value in FORMATS and not isinstance(value, bool)


MAP = {
    "?format": _is_format,
    "input": OF_INPUT,
    "backend": {"name": str},
    "effective": {"method": _is_method, "?metric": set(METRICS), "*": (type(None), bool, float, str)},
    "outputs": {"*": (str, type(None))},
    "steps": {},
    "page": _any,
    "?quality": (type(None), _is_quality),
    "?needed_by_page": [str],
    "?finished": bool,
}
SUSPECT = {
    **dict.fromkeys(("file_name", "ground_truth_num_label", "ground_truth_word_label"), str),
    **dict.fromkeys(("suspect", "suggested_num_label", "suggested_word_label"), str),
    "row": int,
    "suspicion": float,
}
COUNTS = ("suspects", "near_duplicates", "near_duplicates_other_label", "duplicates", "duplicates_other_label")
SCORES = {
    "?format": _is_format,
    "input": OF_INPUT,
    "outputs": {"*": (str, type(None))},
    "found": dict.fromkeys(COUNTS, int),
    "worst": [SUSPECT],
}
