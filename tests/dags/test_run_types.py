"""What a run is about depends on who started it: on Airflow's own description of a run, as a task gets it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from include.declaration.loader import get_pipeline
from include.settings import load_settings


def describe_run(run_type: str) -> dict[str, Any]:
    """The part of a task's context that says what its run is about."""
    from airflow.sdk.api.datamodels._generated import DagRun, DagRunType

    run = DagRun.model_construct(
        run_type=DagRunType(run_type), logical_date=datetime(2013, 2, 1, tzinfo=UTC), partition_key=None, conf=None
    )
    return {"dag_run": run, "params": {}}


@pytest.mark.parametrize(
    ("run_type", "named"),
    [("scheduled", "2013-02"), ("backfill", "2013-02"), ("manual", None), ("asset_triggered", None)],
)
def test_a_run_for_a_period_is_about_the_partition_of_that_period(dag_bag: Any, run_type: str, named: str) -> None:
    import tollgate_sensors

    pipeline = get_pipeline(load_settings(), "flight_delays")
    assert tollgate_sensors.name_partition(pipeline, describe_run(run_type)) == named


def test_a_person_who_names_a_partition_gets_that_one(dag_bag: Any) -> None:
    import tollgate_sensors

    context = {**describe_run("manual"), "params": {"partition": "2013-05"}}
    pipeline = SimpleNamespace(data=None)
    assert tollgate_sensors.name_partition(pipeline, context) == "2013-05"


@pytest.mark.parametrize(
    ("run_type", "by_hand"), [("manual", True), ("backfill", True), ("scheduled", False), ("asset_triggered", False)]
)
def test_content_with_a_verdict_is_judged_again_only_for_a_person(dag_bag: Any, run_type: str, by_hand: bool) -> None:
    import tollgate_runs

    assert tollgate_runs.asked_by_hand(describe_run(run_type)["dag_run"]) is by_hand
