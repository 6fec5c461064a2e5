"""A part of what `make fuzz` does at length."""

from __future__ import annotations

from pathlib import Path

import fuzz
import pytest


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "cache"
    fuzz.prepare(folder)
    return folder


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_mutated_files_are_read_rightly_or_refused(prepared, kind) -> None:
    counts, wrong, _ = fuzz.faults(kind, prepared, 60, 20)
    assert not wrong, wrong[0]
    assert counts["refused"] > 10
    assert counts["read"] > 0


def test_a_fault_is_seen(prepared) -> None:
    def fail(folder: Path) -> None:
        raise KeyError("an error that is none of ours")

    def read_another(folder: Path) -> None:
        fuzz.same([1], [2])

    assert "KeyError" in fuzz.judged(fail, prepared)
    assert "read as something else" in fuzz.judged(read_another, prepared)
