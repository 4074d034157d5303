"""The one system that all scenario tests share, and its logs when one of them fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.system import RunningSystem

HERE = Path(__file__).parent
PIPELINES = HERE / "pipelines"
SUITES = HERE / "expectations"


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A started system with the scenarios' own pipelines; stopped at the end, with no process left."""
    running = RunningSystem(tmp_path_factory.mktemp("system") / "home", pipelines=PIPELINES, suites=SUITES)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Add the ends of all logs to the report of a failed test."""
    report = yield
    funcargs = getattr(item, "funcargs", {})
    for value in funcargs.values():
        if report.failed and isinstance(value, RunningSystem):
            report.sections.append(("logs of the system", value.read_logs()))
    return report
