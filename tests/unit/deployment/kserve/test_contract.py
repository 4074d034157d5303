"""KServe does what every kind of deployment target does: the shared tests, with KServe's harness."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.settings import Settings
from tests.unit.deployment import test_target_contract
from tests.unit.deployment.kserve.harness import KServeHarness

SHARED = [name for name in vars(test_target_contract) if name.startswith("test_")]
globals().update({name: getattr(test_target_contract, name) for name in SHARED})


@pytest.fixture
def harness(settings: Settings, tmp_path: Path) -> Iterator[KServeHarness]:
    with contextlib.ExitStack() as stack:
        yield KServeHarness(settings, tmp_path, stack)


def test_none_of_the_shared_tests_is_missing() -> None:
    assert len(SHARED) >= 10
