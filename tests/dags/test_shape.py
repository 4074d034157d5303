"""What the DAGs are: their tasks, arrows, schedules and limits."""

from __future__ import annotations

from typing import Any

PIPELINE = "flight_delays"


def test_every_dag_file_loads_without_an_error(dag_bag: Any) -> None:
    assert dag_bag.import_errors == {}
    stages = {"data_refresh", "train_model", "deploy_model", "rollback"}
    assert {f"{PIPELINE}.{stage}" for stage in stages} <= set(dag_bag.dags)


def test_data_is_gated_before_it_is_published_and_recorded_last(dag_bag: Any) -> None:
    dag = dag_bag.dags[f"{PIPELINE}.data_refresh"]
    published = dag.task_dict["refresh_partition.publish_partition"]
    assert "refresh_partition.gate_refresh" in published.upstream_task_ids
    assert [asset.name for asset in published.outlets] == [f"{PIPELINE}/validated"]
    recorded = dag.task_dict["refresh_partition.record_published"]
    assert published.task_id in recorded.upstream_task_ids
    assert not recorded.downstream_task_ids


def test_features_are_gated_before_any_fit_and_registration_needs_a_blessing(dag_bag: Any) -> None:
    dag = dag_bag.dags[f"{PIPELINE}.train_model"]
    assert "gate_features" in dag.task_dict["fit_candidate"].upstream_task_ids
    assert "bless_best" in dag.task_dict["register_model"].upstream_task_ids
    assert dag.task_dict["close_run"].is_teardown


def test_nothing_is_deployed_before_sandbox_latency_gate_and_rollout(dag_bag: Any) -> None:
    dag = dag_bag.dags[f"{PIPELINE}.deploy_model"]
    assert "try_in_sandbox" in dag.task_dict["measure_latency"].upstream_task_ids
    assert "measure_latency" in dag.task_dict["shift_traffic"].get_flat_relative_ids(upstream=True)
    assert "shift_traffic" in dag.task_dict["deploy_champion"].get_flat_relative_ids(upstream=True)
    assert "ask_approval" not in dag.task_dict


def test_a_failure_is_mailed_by_its_task_and_when_that_was_killed_by_its_run(dag_bag: Any) -> None:
    for stage in ("data_refresh", "train_model", "deploy_model", "rollback"):
        dag = dag_bag.dags[f"{PIPELINE}.{stage}"]
        assert name_callback(dag.on_failure_callback) == "tollgate_alerts.mail_task_failure"
        for task in dag.tasks:
            # A mapped task keeps what it was given, any other makes a list of it.
            given = task.on_failure_callback
            (callback,) = given if isinstance(given, list) else [given]
            assert name_callback(callback) == "tollgate_alerts.mail_task_failure"


def name_callback(callback: Any) -> str:
    """By its name: another test's DagBag may have imported the plugins anew since."""
    return f"{callback.__module__}.{callback.__qualname__}"


def test_training_and_deployment_run_one_at_a_time(dag_bag: Any) -> None:
    assert dag_bag.dags[f"{PIPELINE}.train_model"].max_active_runs == 1
    assert dag_bag.dags[f"{PIPELINE}.deploy_model"].max_active_runs == 1


def test_a_rollback_is_triggered_by_hand_one_at_a_time_and_before_everything_else(dag_bag: Any) -> None:
    dag = dag_bag.dags[f"{PIPELINE}.rollback"]
    assert (dag.schedule, dag.max_active_runs, set(dag.params)) == (None, 1, {"reason", "version"})
    task = dag.task_dict["roll_back"]
    others = {each.priority_weight for other in dag_bag.dags.values() if other is not dag for each in other.tasks}
    assert task.priority_weight > max(others)
    assert [asset.name for asset in task.outlets] == [f"{PIPELINE}/endpoint"]


def test_dags_meet_only_through_assets(dag_bag: Any) -> None:
    for dag in dag_bag.dags.values():
        kinds = {type(task).__name__ for task in dag.tasks}
        assert not kinds & {"TriggerDagRunOperator", "ExternalTaskSensor"}


def test_the_refresh_timetable_survives_serialization_with_cron_assets_and_partition_keys(dag_bag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = dag_bag.dags[f"{PIPELINE}.data_refresh"]
    timetable = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    assert timetable.can_be_scheduled
    assert timetable.partitioned_at_runtime
    assert not timetable.partitioned
    assert [asset.name for _, asset in timetable.asset_condition.iter_assets()] == [f"{PIPELINE}/landing"]


def test_a_terminal_error_is_never_retried_and_a_transient_one_is(dag_bag: Any) -> None:
    from airflow.sdk import RetryAction

    from include.errors import GateBlocked, TrackingUnavailable

    policy = dag_bag.dags[f"{PIPELINE}.data_refresh"].task_dict["refresh_partition.gate_refresh"].retry_policy
    blocked = GateBlocked("blocked.", next_step="look.")
    away = TrackingUnavailable("away.", next_step="wait.")
    assert policy.evaluate(blocked, 1, 3).action == RetryAction.FAIL
    assert policy.evaluate(away, 1, 3).action == RetryAction.DEFAULT


def test_every_task_may_have_an_sla_but_those_that_wait_for_data_or_a_person(dag_bag: Any) -> None:
    """The declaration names tasks without having heard of Airflow."""
    from include.declaration.sla import STAGE_TASKS

    for stage, tasks in STAGE_TASKS.items():
        named = {task_id.rpartition(".")[2] for task_id in dag_bag.dags[f"{PIPELINE}.{stage}"].task_ids}
        # Tasks of a pipeline that asks for an approval, and of one that a service serves.
        optional = {"apply_decision", "await_rollout"} if stage == "deploy_model" else set()
        assert set(tasks) - named == optional
        assert named - set(tasks) == ({"find_arrivals"} if stage == "data_refresh" else set())


def test_no_run_has_a_deadline_of_airflows_own(dag_bag: Any) -> None:
    """Two judges of one limit would not always agree: Airflow's calls a run late that failed in time."""
    assert [dag.dag_id for dag in dag_bag.dags.values() if dag.deadline] == []
