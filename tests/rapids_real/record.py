"""Read the signatures of the real RAPIDS packages; run as a program, write them where the double reads them.

Compiled functions often tell `inspect` nothing. Then their Cython source is read, which most of the packages bring
along, or else the first line of their docstring, where Cython writes the signature.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from rapids_real.names import DISTRIBUTIONS, every_name

RECORD = Path(__file__).parents[1] / "fakes" / "rapids_double" / "signatures.json"
UFUNC = [["x1", "POSITIONAL_ONLY", None], ["args", "VAR_POSITIONAL", None]] + [
    [name, "KEYWORD_ONLY", default]
    for name, default in (("out", "None"), ("casting", "'same_kind'"), ("dtype", "None"))
]


def find(name: str) -> Any:
    """Return what a dotted name stands for; AttributeError if there is no such thing."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if error.name and not ".".join(parts).startswith(error.name):
                raise
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def parameters(name: str) -> list[list[str | None]] | None:
    """Return name, kind and default of each parameter; None for what cannot be called, or does not tell."""
    found = find(name)
    if type(found).__name__ == "ufunc":
        return UFUNC
    if not callable(found) or name.rsplit(".", maxsplit=1)[-1] == "ndarray":
        return None
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        text = _in_cython(found, name.rsplit(".", maxsplit=1)[-1]) or _in_docstring(found)
        signature = _parsed(text) if text else None
    if signature is None:
        return None
    listed = [p for p in signature.parameters.values() if p.name != "self"]
    return [[p.name, p.kind.name, None if p.default is p.empty else repr(p.default)] for p in listed]


def _in_cython(found: Any, name: str) -> str | None:
    """Return the parameters of a compiled class's constructor as its Cython source writes them."""
    if not inspect.isclass(found):
        return None
    package, _, stem = found.__module__.rpartition(".")
    source = Path(importlib.import_module(package).__path__[0], f"{stem}.pyx")
    if not source.exists():
        return None
    after = re.split(rf"^cdef class {name}\b", source.read_text(), maxsplit=1, flags=re.MULTILINE)
    if len(after) < 2:
        return None
    own = re.split(r"^(?:cdef )?class |^def |^@", after[1], maxsplit=1, flags=re.MULTILINE)[0]
    inits = re.findall(r"^    def __init__\((.*?)\):|^    def __cinit__\((.*?)\):", own, flags=re.MULTILINE | re.DOTALL)
    return next((init or cinit for init, cinit in inits if (init or cinit).strip() != "self"), "self")


def _in_docstring(found: Any) -> str | None:
    first = (inspect.getdoc(found) or "").partition("\n")[0]
    match = re.match(r"[\w.]+\((.*)\)", first)
    return match.group(1) if match else None


def _parsed(text: str) -> inspect.Signature | None:
    """Parse parameters as Cython writes them, with C types before the names."""
    parts = [re.sub(r"^\w+ (?=\w+\s*(=|$))", "", part.strip()) for part in text.split(",")]
    try:
        arguments = ast.parse(f"def f({', '.join(part for part in parts if part)}): pass").body[0]
    except SyntaxError:
        return None
    scope: dict[str, Any] = {}
    exec(compile(ast.Module([arguments], []), "<signature>", "exec"), scope)  # a def that does nothing
    return inspect.signature(scope["f"])


def record() -> dict[str, Any]:
    """Return versions and signatures of what is installed."""
    return {
        "versions": {name: metadata.version(name) for name in DISTRIBUTIONS},
        "signatures": {name: parameters(name) for name in every_name()},
    }


def write(path: Path) -> None:
    """Write the record, one name to a line."""
    told = record()
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in told["signatures"].items()]
    versions = json.dumps(told["versions"], indent=2).replace("\n", "\n ")
    path.write_text('{\n "versions": ' + versions + ',\n "signatures": {\n' + ",\n".join(lines) + "\n }\n}\n")


if __name__ == "__main__":
    write(RECORD)
