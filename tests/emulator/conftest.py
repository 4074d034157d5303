"""One emulator for the tests of a file, with toy containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulator.running import RunningEmulator
from tests.emulator.toys import TOY_IMAGES, Toys


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    running = RunningEmulator(tmp_path_factory.mktemp("emulator"), images=TOY_IMAGES).start()
    yield running
    running.stop()
    assert running.list_left() == []


@pytest.fixture(scope="module")
def toys(emulator: RunningEmulator) -> Toys:
    return Toys(emulator)
