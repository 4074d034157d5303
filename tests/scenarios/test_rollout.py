"""S10: a candidate that passes the gates and fails in production is taken back by itself, and no customer notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.console.history import read_history
from tests.scenarios.customer import Customer
from tests.scenarios.lenient import take_rows
from tests.scenarios.system import RunningSystem

PIPELINES = Path(__file__).parent / "rollout_pipelines"
PIPELINE = "sluggish"
DAG = f"{PIPELINE}.deploy_model"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system of its own with the one pipeline."""
    running = RunningSystem(tmp_path_factory.mktemp("rollout") / "home", pipelines=PIPELINES)
    try:
        yield running.start()
    finally:
        running.stop()


def test_s10_a_bad_canary_is_rolled_back_and_the_deployment_is_red(system: RunningSystem) -> None:
    system.land(PIPELINE, "2013-01", take_rows(1))
    first = system.wait_for_run(DAG, seconds=400)
    assert first["state"] == "success", system.task_states(first)
    assert system.endpoint_version(PIPELINE) == "1"
    with Customer(system.endpoint_url(PIPELINE)) as customer:
        system.land(PIPELINE, "2013-02", take_rows(2))
        second = system.wait_for_run(DAG, lambda run: run["dag_run_id"] != first["dag_run_id"], seconds=400)
    states = system.task_states(second)
    assert second["state"] == "failed", states
    assert (states["try_in_sandbox"], states["shift_traffic"]) == ("success", "failed")
    assert states["deploy_champion"] == "upstream_failed"
    assert system.endpoint_version(PIPELINE) == "1"
    champion = system.registry_champion(PIPELINE)
    assert champion is not None
    assert champion.version == "1"
    assert len(customer.answers) > 100
    assert {(answer.status, answer.version) for answer in customer.answers} == {(200, "1")}

    (record,) = [each for each in system.list_records(PIPELINE, "rollout") if each["outcome"] != "not needed"]
    assert (record["version"], record["champion"], record["outcome"]) == ("2", "1", "rolled back")
    assert record["failed"] == record["requests"] > 0
    assert record["seconds"] < 60
    newest = read_history(system.settings, PIPELINE)[-1]
    assert (newest.partition, newest.outcome, newest.version) == ("2013-02", "rolled back", "2")
    assert "requests failed" in newest.why
    mail = system.wait_for_mail(f"{PIPELINE}: shift_traffic failed")
    assert "Version 2 was taken back" in mail["text"]
    assert f"Version {champion.version} answers every request again" in mail["text"]
    assert "requests failed" in mail["text"]
    assert "max_failure_rate" in mail["text"]
    assert mail["to"] == ["ml-owner@example.com"]
