"""What customers get while versions change: the same tests for every target that can be run here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.deployment.local.replay import read_stored_rows, replay_predictions
from include.deployment.target import Progress
from include.errors import RolledBack, TargetUnavailable
from include.settings import Settings
from tests.emulator.running import REGION, RunningEmulator
from tests.unit.cloud.faulty_wire import FAULTS, FaultyWire
from tests.unit.deployment.customers import Customers, make_body
from tests.unit.deployment.emulated import BUCKET, LATE, LATE_IMAGE, Emulated, declare_emulated
from tests.unit.deployment.steps import StartEndpoint
from tests.unit.deployment.targets import LocalHarness
from tests.unit.served_models import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    running = RunningEmulator(tmp_path_factory.mktemp("emulator"), images=[LATE_IMAGE]).start()
    running.make_client("s3").create_bucket(Bucket=BUCKET)
    yield running
    running.stop()


class LocalServed(LocalHarness):
    """The local endpoint with what these tests ask of a target."""

    def go_live(self, number: str) -> None:
        self.open().deploy(self.make_release(number))
        assert self.open().check(number).state == "live"

    @property
    def models(self) -> Any:
        return self._models


@pytest.fixture(params=["local", "sagemaker"])
def target(
    request: Any, settings: Settings, tmp_path: Path, emulator: RunningEmulator, start_endpoint: StartEndpoint
) -> Any:
    if request.param == "local":
        return LocalServed(settings, tmp_path, start_endpoint)
    name = request.node.originalname.removeprefix("test_")[:30].rstrip("_")
    return Emulated(settings, declare_emulated(name), tmp_path, emulator)


def test_stored_rows_get_the_answers_that_they_had(target: Any) -> None:
    release = target.models.make_release("1", bad=False, by="")
    target.go_live("1")
    stored = read_stored_rows(target.pipeline, release.holdout_predictions, 500)
    report = replay_predictions(target.open().predict, "1", stored, 60)
    assert report.rows == 120 and report.max_difference <= 1e-9


def test_a_swap_costs_no_customer_an_answer_and_both_versions_answer_in_between(target: Any) -> None:
    target.go_live("1")
    with Customers(target.open, make_body(target.pipeline, 1)) as customers:
        target.go_live("2")
        time.sleep(0.5)
    assert {status for status, _ in customers.answers} == {200}
    seen = [version for _, version in customers.answers]
    assert set(seen) == {"1", "2"} and seen[-1] == "2"
    first = seen.index("2")
    assert "1" in seen[first:], "the canary got a share only"


def test_a_failing_canary_is_taken_back_by_its_alarm_and_cost_no_more_than_its_share(
    settings: Settings, tmp_path: Path, emulator: RunningEmulator
) -> None:
    """S10 and S18 at SageMaker: the service says InService again, and nobody takes that for success."""
    served = Emulated(settings, declare_emulated("late", image=LATE), tmp_path, emulator)
    served.go_live("1")
    with Customers(served.open, make_body(served.pipeline, 1)) as customers:
        served.open().deploy(served.models.make_release("2", bad=False, by=""))
        with pytest.raises(RolledBack, match="-5xx") as caught:
            served.wait("2")
    assert caught.value.champion == "1" and served.open().status().served_version == "1"
    failed = [status for status, _ in customers.answers if status != 200]
    assert failed and set(failed) == {500}
    assert len(failed) <= 0.6 * len(customers.answers)
    assert customers.answers[-1] == (200, "1")


def test_going_back_costs_no_customer_an_answer(target: Any) -> None:
    target.go_live("1")
    target.go_live("2")
    with Customers(target.open, make_body(target.pipeline, 1)) as customers:
        progress = target.open().roll_back(None, "parcels.rollback/run", "somebody asked")
        if isinstance(target, Emulated):
            target.wait(progress.version)
        time.sleep(0.3)
    assert {status for status, _ in customers.answers} == {200}
    assert customers.answers[-1][1] == "1"


def test_what_was_asked_is_captured(settings: Settings, tmp_path: Path, emulator: RunningEmulator) -> None:
    served = Emulated(settings, declare_emulated("captured"), tmp_path, emulator)
    served.go_live("1")
    bodies = [make_body(served.pipeline, rows) for rows in (1, 2, 3)]
    for body in bodies:
        assert served.open().predict(body, "application/json").status == 200
    wait_for(lambda: len(served.read_captured()) == 3)
    assert sorted(len(each["dataframe_records"]) for each in served.read_captured()) == [1, 2, 3]


def count_named(emulator: RunningEmulator, operation: str, beginning: str) -> int:
    """How many things of a listing are named so; moto does not filter all of them itself."""
    pages = emulator.make_client("sagemaker").get_paginator(operation).paginate()
    found = [str(value) for page in pages for items in page.values() if isinstance(items, list) for value in items]
    return sum(f"'{beginning}" in each for each in found)


def overcome(served: Emulated, wire: FaultyWire, call: Callable[[], Progress]) -> Progress:
    """What Airflow's retries come to: the same call again, as long as the error says that this can help."""
    served.clients = wire
    for _ in range(3):
        try:
            return call()
        except TargetUnavailable:
            continue
    return call()


def release_through(served: Emulated, wire: FaultyWire, number: str) -> bool:
    """Release a version through ``wire``; whether it met a fault. Everything is made once, whatever happens.

    The wire is between us and AWS for what we ask for and for the last look, not while nothing but time passes.
    """
    release = served.models.make_release(number, bad=False, by=f"parcels.deploy_model/run-{number}")
    progress = overcome(served, wire, lambda: served.open().deploy(release))
    client = served.emulator.make_client("sagemaker")
    endpoint = str(progress.facts["endpoint"])
    wait_for(lambda: client.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService")
    progress = overcome(served, wire, lambda: served.open().check(number))
    assert progress.state == "live"
    served.record(progress)
    base = f"{progress.place.rpartition('-v')[0]}-v{number}-"
    assert count_named(served.emulator, "list_models", base) == 1
    assert count_named(served.emulator, "list_endpoint_configs", base) == 1
    return wire.met


@pytest.mark.parametrize("fault", list(FAULTS))
def test_faults_on_the_wire_at_every_call_end_right_and_make_nothing_twice(
    fault: str,
    settings: Settings,
    tmp_path: Path,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in emulator.build_environment().items():
        monkeypatch.setenv(name, value)
    # One pipeline throughout: its endpoint is made by the first, and shifted by every one after it.
    served = Emulated(settings, declare_emulated(f"w{fault.replace('_', '')}", at_once=True), tmp_path, emulator)
    served.go_live("1")
    place, number = 1, 2
    while release_through(served, FaultyWire(REGION, fault, place), str(number)):
        place += 2  # every second request, so that this ends in minutes
        number += 1
    assert place > 10
