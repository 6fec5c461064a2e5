"""These tests run with the real RAPIDS packages only (make test-rapids), GPU or none; a run that skips is a failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

LEAST = 250  # tests that have to have passed in a whole run; fewer prove nothing
ran: list[str] = []
skipped: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore"))  # what RAPIDS' own imports warn of


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        ran.append(report.nodeid)
    if report.skipped:
        skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    asked = [Path(one).resolve() for one in session.config.args]
    whole = asked == [Path(__file__).parent] and not session.config.option.keyword
    if session.exitstatus == 0 and (skipped or (whole and len(ran) < LEAST)):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(
        f"{len(ran)} tests passed against the real RAPIDS packages (at least {LEAST} in a whole run), "
        f"{len(skipped)} were skipped (none may be); none of them needs a GPU"
    )


@pytest.fixture(scope="session", autouse=True)
def _the_packages_are_the_real_ones() -> None:
    import cuml
    import cupy

    for package in (cuml, cupy):
        assert "rapids_double" not in str(package.__file__), "the double stands where the real package has to be"


@pytest.fixture(scope="session")
def without_gpu() -> dict[str, str]:
    """The environment of a child process that sees no device, though there may be one."""
    import cupy

    path = os.pathsep.join(one for one in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")) if one)
    env = {**os.environ, "PYTHONPATH": path}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    return {**env, "CUDA_VISIBLE_DEVICES": "127"} if cupy.is_available() else env


sys.path[:0] = [str(Path(__file__).parents[1] / "fakes"), str(Path(__file__).parents[1])]
