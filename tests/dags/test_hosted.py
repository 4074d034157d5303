"""DAGs of a pipeline that a service serves: what waits for its rollout waits in the triggerer, and takes no event for
proof."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from include.deployment.target import Progress
from include.errors import RolledBack, TargetUnavailable
from tests.unit.deployment.hosted import declare_pipeline

ROOT = Path(__file__).resolve().parents[2]


def load_dag_file(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hosted_{name}", ROOT / "dags" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(dag_bag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, builder: str) -> Any:
    monkeypatch.setenv("TOLLGATE_PIPELINES", str(tmp_path))
    return getattr(load_dag_file(name), builder)(declare_pipeline())


def test_a_services_rollout_is_asked_for_awaited_and_only_then_made_champion(
    dag_bag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = build(dag_bag, tmp_path, monkeypatch, "deploy_model", "build_deploy_model")
    assert "measure_latency" in dag.task_dict["shift_traffic"].upstream_task_ids
    assert dag.task_dict["await_rollout"].upstream_task_ids == {"shift_traffic"}
    assert "await_rollout" in dag.task_dict["deploy_champion"].upstream_task_ids


def test_a_services_rollback_is_asked_for_awaited_and_proved(
    dag_bag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = build(dag_bag, tmp_path, monkeypatch, "rollback_model", "build_rollback_model")
    assert dag.task_dict["await_rollback"].upstream_task_ids == {"roll_back"}
    assert "await_rollback" in dag.task_dict["finish_rollback"].upstream_task_ids
    assert dag.task_dict["roll_back"].priority_weight == 1000


def make_waiting(dag_bag: Any, monkeypatch: pytest.MonkeyPatch, looks: list[Any]) -> tuple[Any, Any]:
    """The task that waits, and its context; each look gives, or raises, the next of ``looks``."""
    from datetime import timedelta

    from tollgate_rollouts import AwaitRollout

    def look(*_: Any) -> Progress:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("include.steps.hosted.look_at_rollout", look)
    monkeypatch.setattr("tollgate_reasons.leave_reason", lambda _: None)
    task = AwaitRollout(
        task_id="await_rollout", pipeline=declare_pipeline(), asked="shift_traffic", limit=timedelta(minutes=30)
    )
    return task, {"ti": SimpleNamespace(xcom_pull=lambda task_ids: {"version": "2"})}


def test_what_is_live_at_once_waits_for_nothing(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, context = make_waiting(dag_bag, monkeypatch, [Progress("2", "live", place="config")])
    assert task.execute(context)["place"] == "config"


def test_waiting_is_deferred_with_nothing_secret_and_asked_again_after_the_event(
    dag_bag: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    looks = [Progress("2", "under_way"), Progress("2", "under_way"), Progress("2", "live")]
    task, context = make_waiting(dag_bag, monkeypatch, looks)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    name, arguments = deferred.value.trigger.serialize()
    assert name == "tollgate_rollouts.RolloutTrigger"
    assert arguments == {"pipeline": "parcels", "version": "2", "poll_seconds": 10.0}
    assert deferred.value.timeout is not None and deferred.value.timeout.total_seconds() == 1800
    with pytest.raises(TaskDeferred):
        task.resume(context, "2")  # an event that was raised too early proves nothing
    assert task.resume(context, "2")["state"] == "live"


def test_a_rollback_by_the_service_fails_the_task(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken_back = RolledBack("Version 2 was taken back.", next_step="Mend it.", version="2")
    task, context = make_waiting(dag_bag, monkeypatch, [taken_back])
    with pytest.raises(RolledBack, match="taken back"):
        task.resume(context, "2")


def test_a_trigger_outlasts_looks_that_fail(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import tollgate_rollouts

    away = TargetUnavailable("AWS did not answer.", next_step="Wait.", target="sagemaker", call="c", code="x")
    looks: list[Any] = [away, OSError("no route"), False, True]

    def look(*_: Any) -> bool:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return bool(found)

    monkeypatch.setattr(tollgate_rollouts, "_is_settled", look)
    trigger = tollgate_rollouts.RolloutTrigger(pipeline="parcels", version="2", poll_seconds=0.001)

    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(collect()) == ["2"] and looks == []


def test_a_connection_of_airflow_becomes_clients_and_none_is_the_default_chain(
    dag_bag: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tollgate_targets import connect_target

    assert connect_target(declare_pipeline()) is None
    extra = '{"region_name": "us-east-1", "endpoint_url": "http://127.0.0.1:9"}'
    monkeypatch.setenv(
        "AIRFLOW_CONN_SERVING",
        '{"conn_type": "aws", "login": "who", "password": "proof", "extra": ' + extra + "}",
    )
    clients: Any = connect_target(declare_pipeline(connection_id="serving"))
    client = clients("sagemaker")
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert client.meta.config.connect_timeout == 5
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") != "proof"
