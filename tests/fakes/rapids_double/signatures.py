"""The signatures of the real packages, as recorded, and what binds the double's calls to them."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

RECORD = json.loads(Path(__file__).with_name("signatures.json").read_text())
VERSIONS: dict[str, str] = RECORD["versions"]
Function = TypeVar("Function", bound=Callable[..., Any])


@functools.cache
def signature(name: str) -> inspect.Signature:
    """Return the recorded signature of a function, or of a constructor (without self); defaults are their repr."""
    listed = RECORD["signatures"][name]
    if listed is None:  # compiled, and it takes nothing
        return inspect.Signature()
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect._ParameterKind[kind], default=inspect.Parameter.empty if d is None else d)
            for name, kind, d in listed
        ]
    )


def as_recorded(name: str) -> Callable[[Function], Function]:
    """Make a function of the double refuse what the real one, of this name, refuses: TypeError.

    What the real one takes and the double does not is NotImplementedError: then the double has to learn it.
    """
    recorded = signature(name)

    def decorate(function: Function) -> Function:
        offered = inspect.signature(function).parameters
        all_offered = any(p.kind is p.VAR_KEYWORD for p in offered.values())
        skip = 1 if offered.keys() & {"self", "cls"} else 0

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                recorded.bind(*args[skip:], **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}() {error}") from None
            if not all_offered and (more := set(kwargs) - set(offered)):
                raise NotImplementedError(f"the double of {name} does not offer {', '.join(sorted(more))}")
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
