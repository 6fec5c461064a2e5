"""What the double was told of the real packages is true of those that are installed."""

from __future__ import annotations

import json
from importlib import metadata

import pytest
from rapids_real import record
from rapids_real.names import DISTRIBUTIONS, every_name

TOLD = json.loads(record.RECORD.read_text())


@pytest.mark.parametrize("name", every_name())
def test_signature(name: str) -> None:
    assert record.parameters(name) == TOLD["signatures"][name], "make rapids-signatures"


def test_nothing_else_is_recorded() -> None:
    assert set(TOLD["signatures"]) == set(every_name())
    assert TOLD["versions"] == {name: metadata.version(name) for name in DISTRIBUTIONS}
