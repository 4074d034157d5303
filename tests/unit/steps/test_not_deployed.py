"""Why a blessed version did not reach customers is recorded once: by what stopped it, or else by the run's end."""

from __future__ import annotations

from typing import Any

import pytest

from include.contracts import ModelVersion, RunIdentity
from include.declaration import Pipeline
from include.records import list_records, write_record
from include.settings import Settings
from include.steps.deploy import note_not_deployed, note_overtaken

RUN = RunIdentity("parcels.deploy_model", "run", "close_deployment", url="http://airflow/task")
BY = "parcels.deploy_model/run"


def name_version(number: str) -> ModelVersion:
    return ModelVersion("parcels", number, f"mlflow-{number}", f"models:/m-{number}", "2013-02", "set")


def list_noted(settings: Settings) -> list[dict[str, Any]]:
    return [record for _, record in list_records(settings, "parcels", "not_deployed")]


def test_the_reason_is_recorded_with_version_model_and_run(settings: Settings, pipeline: Pipeline) -> None:
    note_not_deployed(settings, pipeline, name_version("4"), RUN, "Nobody answered in time.")
    (record,) = list_noted(settings)
    del record["recorded_at"]
    assert record == {
        "version": "4",
        "candidate_run_id": "mlflow-4",
        "reason": "Nobody answered in time.",
        "by": BY,
        "run_url": "http://airflow/task",
    }


@pytest.mark.parametrize(
    ("passed", "by", "outcome", "noted"),
    [
        (False, BY, None, False),
        (False, "parcels.deploy_model/earlier", None, True),
        (True, BY, None, True),
        (True, BY, "rolled back", False),
        (True, BY, "not ended", True),
        (True, "parcels.deploy_model/earlier", "rolled back", True),
    ],
)
def test_what_the_latency_gate_or_the_rollout_recorded_is_not_said_again(
    settings: Settings, pipeline: Pipeline, passed: bool, by: str, outcome: str | None, noted: bool
) -> None:
    write_record(settings, "parcels", "latency", "1@4", {"recorded_at": "2026-01", "by": by, "passed": passed})
    if outcome is not None:
        rollout = {"recorded_at": "2026-02", "version": "4", "outcome": outcome}
        write_record(settings, "parcels", "rollout", "1@4", rollout)
    note_not_deployed(settings, pipeline, name_version("4"), RUN, "It was stopped.")
    assert [record["reason"] for record in list_noted(settings)] == ["It was stopped."] * noted


def test_a_version_that_the_run_had_live_has_its_record(settings: Settings, pipeline: Pipeline) -> None:
    write_record(settings, "parcels", "deployment", "1@4", {"by": BY, "version": "4"})
    note_not_deployed(settings, pipeline, name_version("4"), RUN, "Its answers differ.")
    assert list_noted(settings) == []


def test_versions_that_are_passed_over_say_for_which(settings: Settings, pipeline: Pipeline) -> None:
    offered = [name_version("4"), name_version("5")]
    note_overtaken(settings, pipeline, offered, offered[1], RUN)
    (record,) = list_noted(settings)
    assert (record["version"], record["reason"]) == ("4", "Version 5, offered with it, is newer.")
    note_overtaken(settings, pipeline, [name_version("3")], "superseded by version 5, which is already live", RUN)
    record = next(record for record in list_noted(settings) if record["version"] == "3")
    assert record["reason"] == "Superseded by version 5, which is already live."
