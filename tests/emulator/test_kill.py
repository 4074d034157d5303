"""Nothing outlives the emulator, and no update its time: tests with an emulator of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.emulator.running import RunningEmulator
from tests.emulator.toys import TOY_IMAGES, Toys, build_canary, wait_until

pytestmark = pytest.mark.slow


def test_no_process_is_left_after_the_emulator_was_killed(tmp_path: Path) -> None:
    env = {"TOLLGATE_EMULATOR_GRACE": "1", "TOLLGATE_EMULATOR_PROCESSES": "2"}
    emulator = RunningEmulator(tmp_path, images=TOY_IMAGES, **env).start()
    try:
        toys = Toys(emulator)
        toys.make("one")
        # One that does not care about SIGTERM.
        toys.make("two", "stubborn")
        toys.make_endpoint("one", "one")
        toys.make_endpoint("two", "two")
        # Two endpoints of two instances, each a program and its guard.
        assert len(emulator.list_left()) == 8
    finally:
        emulator.kill()
    assert wait_until(lambda: emulator.list_left() == [])


def test_an_update_that_takes_longer_than_its_maximum_is_rolled_back(tmp_path: Path) -> None:
    emulator = RunningEmulator(tmp_path, images=TOY_IMAGES, scale=0.002).start()
    try:
        toys = Toys(emulator)
        toys.make("old")
        toys.make("new")
        toys.make_endpoint("slow", "old")
        deployment = build_canary(wait=3600)
        deployment["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
        toys.sagemaker.update_endpoint(EndpointName="slow", EndpointConfigName="new", DeploymentConfig=deployment)
        described = toys.wait("slow")
    finally:
        emulator.stop()
    assert described["EndpointConfigName"] == "old"
    assert "maximum execution timeout" in described["FailureReason"]
    assert emulator.list_left() == []
