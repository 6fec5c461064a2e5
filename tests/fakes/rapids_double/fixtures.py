"""The fixture for tests: `from rapids_double.fixtures import rapids`."""

from __future__ import annotations

import pytest

import rapids_double


@pytest.fixture
def rapids(monkeypatch: pytest.MonkeyPatch) -> rapids_double.Rapids:
    """A healthy device of the double, for one test."""
    return rapids_double.install(monkeypatch)
