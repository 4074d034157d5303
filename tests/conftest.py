"""Which tests meet under ``pytest -n 2``: never those of one file, nor those of the scenarios' shared system."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class _Scheduling(LoadScopeScheduling):
    """pytest-xdist 3.8 has groups for this (``loadgroup``); with the computed test ids of pytest 9.2 they are void."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "the shared system" if path.startswith("tests/scenarios/") else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Keep together what shares a fixture."""
    return _Scheduling(config, log)
