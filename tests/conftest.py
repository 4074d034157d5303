"""Which tests may run beside each other under ``pytest -n``: files, and one shared system, stay whole."""

from __future__ import annotations

from pathlib import Path

import pytest

_SCENARIOS = Path(__file__).parent / "scenarios"


def name_group(item: pytest.Item) -> str:
    """The scenarios share the system that was started for them; any other file shares at most its own fixtures."""
    return "system" if _SCENARIOS in item.path.parents else str(item.path.relative_to(_SCENARIOS.parent))


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group, for ``--dist loadgroup``."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(name_group(item)))
