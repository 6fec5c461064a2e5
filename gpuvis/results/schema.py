"""Read JSON records, and check that they have the expected keys and types, before `record.py` uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpuvis.io.files import check_ordinary
from gpuvis.settings import METHODS, METRICS, MIN_ROWS

MOST_BYTES = 16 << 20  # largest record that is read; those of gpuvis have a few thousand bytes
LARGEST = 2**63
FORMATS = 0, 1  # formats of records that can be read; a record without a number has format 0


def read(path: Path, schema: Any) -> dict[str, Any] | None:
    """Return the content of a JSON file; None if it cannot be read or does not match the schema (see `matches`)."""
    try:
        check_ordinary(path)
        if path.stat().st_size > MOST_BYTES:
            return None
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if matches(record, schema) else None


def matches(value: Any, schema: Any) -> bool:
    """Return whether a value matches a schema.

    A schema is one of:

    - a type; int: a whole number from 0 to below 2^63; float: any number smaller in size than 2^63
    - a function that returns whether the value is valid
    - a set of strings: the value is one of them
    - a list of one schema, which every item of the value matches
    - a tuple of schemas, at least one of which the value matches
    - a dictionary with the schema of each key; "?" before a key: it may be missing; "*": the schema of all other keys
    """
    if isinstance(schema, dict):
        return isinstance(value, dict) and _keys_match(value, schema)
    if isinstance(schema, list):
        return isinstance(value, list) and all(matches(item, schema[0]) for item in value)
    if isinstance(schema, tuple):
        return any(matches(value, option) for option in schema)
    if isinstance(schema, set):
        return isinstance(value, str) and value in schema
    if schema in {int, float}:
        is_number = isinstance(value, (int, schema)) and not isinstance(value, bool)
        return is_number and not abs(value) >= LARGEST and not (schema is int and value < 0)
    return isinstance(value, schema) if isinstance(schema, type) else bool(schema(value))


def _keys_match(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    required = {key for key in schema if key[0] not in "?*"}
    other_keys = schema.get("*", object)
    return required <= value.keys() and all(
        matches(value[key], schema.get(key, schema.get(f"?{key}", other_keys))) for key in value
    )


def _is_format(value: Any) -> bool:
    return value in FORMATS and not isinstance(value, bool)


def _is_row_count(value: Any) -> bool:
    return matches(value, int) and value >= MIN_ROWS


def _is_method(value: Any) -> bool:
    return isinstance(value, str) and value in METHODS


def _is_quality(value: Any) -> bool:
    general = {"k": int, "anchors": int, "sampled": bool, "flung": int, "metric": set(METRICS), "?points": int}
    if not matches(value, general) or not isinstance(value.get(value["metric"]), dict):
        return False
    return all(_are_measures(by_metric) for by_metric in value.values() if isinstance(by_metric, dict))


def _are_measures(value: dict[str, Any]) -> bool:
    """Return whether these are the measures by one metric, of a map, of a plain PCA map and of the original space."""
    required = dict.fromkeys(("recall", "trustworthiness", "triplets"), float)
    spaces = {
        "map": {"recall_se": float, **required, "*": float},
        "pca": {**required, "*": float},
        "original": {"*": float},
    }
    if not matches(value, spaces):
        return False
    on_map, pca, original = value["map"], value["pca"], value["original"]
    labels = {"label_accuracy", "label_accuracy_se"}
    return on_map.keys() <= pca.keys() and (not original or labels <= on_map.keys() & original.keys())


INPUT = {"rows": _is_row_count, "columns": int, "fingerprint": {}, "?info": {}, "?folder": str, "?notes": [str]}
MAP = {
    "?format": _is_format,
    "input": INPUT,
    "backend": {"name": str},
    "effective": {"method": _is_method, "?metric": set(METRICS), "*": (type(None), bool, float, str)},
    "outputs": {"*": (str, type(None))},
    "steps": {},
    "page": object,
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
    "input": INPUT,
    "outputs": {"*": (str, type(None))},
    "found": dict.fromkeys(COUNTS, int),
    "worst": [SUSPECT],
}
