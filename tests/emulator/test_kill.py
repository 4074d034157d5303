"""Nothing outlives the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.emulator.running import RunningEmulator
from tests.emulator.toys import TOY_IMAGES, Toys, wait_until

pytestmark = pytest.mark.slow


def test_no_process_is_left_after_the_emulator_was_killed(tmp_path: Path) -> None:
    emulator = RunningEmulator(tmp_path, images=TOY_IMAGES, TOLLGATE_EMULATOR_GRACE="1").start()
    try:
        toys = Toys(emulator)
        toys.make("one")
        # One that does not care about SIGTERM.
        toys.make("two", "stubborn")
        toys.make_endpoint("one", "one")
        toys.make_endpoint("two", "two")
        assert len(emulator.list_left()) == 4
    finally:
        emulator.kill()
    assert wait_until(lambda: emulator.list_left() == [])
