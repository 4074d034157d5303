"""The DAG of the whole system: its shape, and how it asks Airflow whether a run still works."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

DAG_ID = "tollgate.housekeeping"


def test_one_dag_keeps_house_every_five_minutes_one_run_at_a_time(dag_bag: Any) -> None:
    assert [dag_id for dag_id in dag_bag.dags if dag_id.endswith(".housekeeping")] == [DAG_ID]
    dag = dag_bag.dags[DAG_ID]
    assert (dag.schedule, dag.catchup, dag.max_active_runs) == ("*/5 * * * *", False, 1)


def test_its_tasks_do_not_wait_for_each_other_and_give_up_before_the_next_run(dag_bag: Any) -> None:
    dag = dag_bag.dags[DAG_ID]
    assert set(dag.task_dict) == {"send_mails", "close_runs", "lift_claims", "prune", "reconcile"}
    for task in dag.tasks:
        assert not task.upstream_task_ids
        assert task.retries * task.retry_delay < timedelta(minutes=1)
        assert task.execution_timeout <= timedelta(minutes=5)
        assert not task.on_failure_callback


@pytest.fixture
def ask(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask about a key, with what Airflow answers; returns the question and the verdict."""
    import tollgate_runs

    def ask_about(key: str, answer: Any) -> tuple[list[Any], bool]:
        asked: list[Any] = []

        def count(dag_id: str, run_ids: list[str], states: list[str]) -> int:
            asked.append((dag_id, run_ids, states))
            if isinstance(answer, Exception):
                raise answer
            return int(answer)

        context = {"ti": SimpleNamespace(get_dr_count=count)}
        monkeypatch.setattr(tollgate_runs, "get_current_context", lambda: context)
        return asked, tollgate_runs.is_alive(key)

    return ask_about


@pytest.mark.parametrize(("count", "alive"), [(0, False), (1, True)])
def test_a_run_is_alive_while_it_is_queued_or_running(ask: Any, count: int, alive: bool) -> None:
    key = "flight_delays.train_model/manual__2013-02-01T00:00:00+00:00_x"
    asked, found = ask(key, count)
    assert asked == [("flight_delays.train_model", [key.partition("/")[2]], ["queued", "running"])]
    assert found is alive


def test_what_airflow_cannot_be_asked_about_is_alive(ask: Any) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    trouble = AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 503}))
    for error in (trouble, ConnectionResetError("gone"), EOFError("closed")):
        assert ask("dag/run", error)[1]
