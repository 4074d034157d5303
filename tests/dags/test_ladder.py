"""A declared ladder is a task for each rung; a pipeline without one has the shape that it always had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import ROOT, make_airflow_environment

PIPELINES = Path(__file__).resolve().parents[1] / "scenarios" / "ladder_pipelines"
DEFAULT_TASKS = {
    "choose_window",
    "open_run",
    "order_candidates",
    "prepare_training_set",
    "gate_features",
    "fit_candidate",
    "bless_best",
    "register_model",
    "close_run",
}


@pytest.fixture(scope="module")
def climber(dag_bag: Any, airflow_home: Path) -> Any:
    """The training DAG of the scenarios' pipeline with a ladder of two rungs."""
    before = dict(os.environ)
    os.environ.update({**make_airflow_environment(airflow_home), "TOLLGATE_PIPELINES": str(PIPELINES)})
    from airflow.dag_processing.dagbag import DagBag

    loaded = DagBag(str(ROOT / "dags" / "train_model.py"))
    os.environ.clear()
    os.environ.update(before)
    assert loaded.import_errors == {}
    return loaded.dags["climber.train_model"]


def test_a_pipeline_without_a_ladder_has_the_tasks_that_it_always_had(dag_bag: Any) -> None:
    assert set(dag_bag.dags["flight_delays.train_model"].task_ids) == DEFAULT_TASKS


def test_the_order_of_the_fits_is_known_only_when_the_champion_is(dag_bag: Any, climber: Any) -> None:
    tasks = dag_bag.dags["flight_delays.train_model"].task_dict
    assert tasks["fit_candidate"].upstream_task_ids >= {"order_candidates", "gate_features"}
    assert tasks["order_candidates"].upstream_task_ids == {"choose_window"}


def test_each_rung_is_a_task_behind_the_choice_and_the_one_before_it(climber: Any) -> None:
    tasks = climber.task_dict
    assert set(tasks) == (DEFAULT_TASKS - {"fit_candidate", "order_candidates"}) | {
        "choose_rung",
        "fit_on_worker",
        "climb_to_big",
        "fit_on_big",
        "collect_fits",
    }
    assert "gate_features" in tasks["choose_rung"].upstream_task_ids
    assert "choose_rung" in tasks["fit_on_worker"].upstream_task_ids
    assert "fit_on_worker" in tasks["climb_to_big"].upstream_task_ids
    assert "climb_to_big" in tasks["fit_on_big"].upstream_task_ids
    assert {"fit_on_worker", "fit_on_big"} <= tasks["collect_fits"].upstream_task_ids


def test_a_failed_rung_lets_the_next_one_run_and_a_blocked_gate_lets_none(climber: Any) -> None:
    from airflow.sdk import TriggerRule

    tasks = climber.task_dict
    for name in ("climb_to_big", "collect_fits"):
        assert TriggerRule(tasks[name].trigger_rule) is TriggerRule.ALL_DONE
    # Their skip must not pass a run whose gate blocked it: what was not chosen is not blessed.
    assert {"choose_rung", "collect_fits"} <= tasks["bless_best"].upstream_task_ids
    assert TriggerRule(tasks["bless_best"].trigger_rule) is TriggerRule.ALL_SUCCESS


def test_a_rung_runs_where_and_as_long_as_it_is_declared_and_mails_by_the_next_task(climber: Any) -> None:
    worker, big = (climber.task_dict[f"fit_on_{rung}"] for rung in ("worker", "big"))
    assert (worker.partial_kwargs["execution_timeout"].total_seconds(), big.partial_kwargs["pool"]) == (
        15.0,
        "default_pool",
    )
    assert not worker.partial_kwargs.get("on_failure_callback")
    assert climber.task_dict["collect_fits"].on_failure_callback


def test_it_is_stored_and_read_by_the_scheduler(climber: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(climber))
    assert set(stored.task_ids) == set(climber.task_ids)
