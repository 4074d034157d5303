"""S9: accurate but slow; stopped before any customer, with the figures where a person looks."""

from __future__ import annotations

from mlflow import MlflowClient

from include.console.history import read_history
from tests.scenarios.customer import Customer
from tests.scenarios.lenient import take_rows
from tests.scenarios.system import RunningSystem

PIPELINE = "slow"
DAG = f"{PIPELINE}.deploy_model"


def test_s9_a_candidate_that_is_slower_than_the_champion_reaches_no_customer(system: RunningSystem) -> None:
    system.land(PIPELINE, "2013-01", take_rows(1))
    first = system.wait_for_run(DAG, seconds=400)
    assert system.task_states(first)["measure_latency"] == "success"
    assert system.endpoint_version(PIPELINE) == "1"

    (system.home / "slower").touch()
    with Customer(system.endpoint_url(PIPELINE)) as customer:
        system.land(PIPELINE, "2013-02", take_rows(2))
        refused = system.wait_for_run(DAG, lambda run: run["dag_run_id"] != first["dag_run_id"], seconds=400)
    states = system.task_states(refused)
    assert refused["state"] == "failed"
    assert states["try_in_sandbox"] == "success"
    assert states["measure_latency"] == "failed"
    assert states["deploy_champion"] == "upstream_failed"
    assert {(answer.status, answer.version) for answer in customer.answers} == {(200, "1")}
    champion = system.registry_champion(PIPELINE)
    assert champion is not None
    assert champion.version == "1"

    client = MlflowClient(system.settings.mlflow_uri, system.settings.mlflow_uri)
    version = client.get_model_version(PIPELINE, "2")
    assert version.tags["tollgate.latency"] == "refused"
    assert version.tags["tollgate.latency_compared_with"] == "1"
    assert float(version.tags["tollgate.latency_ratio"]) > 1.5
    assert version.description.startswith("Blessed: trees of 2013-02")
    assert "## Latency: refused" in version.description
    assert "times version 1's" in version.description
    assert "Training data: 2013-02" in version.description
    files = {item.path for item in client.list_artifacts(version.run_id, "latency")}
    assert {"latency/latency.json", "latency/latency.png"} <= files

    mail = system.wait_for_mail(f"{PIPELINE}: measure_latency failed")
    assert mail["to"] == ["ml-owner@example.com"]
    assert "times version 1's" in mail["text"]
    assert "p99" in mail["text"]
    newest = read_history(system.settings, PIPELINE)[-1]
    assert (newest.partition, newest.outcome, newest.version) == ("2013-02", "too slow", "2")
