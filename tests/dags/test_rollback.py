"""What the rollback's task hands to the step: the person whom Airflow knows, the run, and what was filled in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import Rollback, pack

DAG_ID = "flight_delays.rollback"


@pytest.mark.parametrize(("user", "who"), [("alice", "alice"), (None, "somebody (Airflow does not say who)")])
def test_who_triggered_it_is_who_rolled_back(
    dag_bag: Any, monkeypatch: pytest.MonkeyPatch, user: str | None, who: str
) -> None:
    asked: list[dict[str, Any]] = []
    rollback = Rollback("flight_delays", "4", "3", "2013-03", who, f"{DAG_ID}/r1", "gloomy", "now", "replayed")

    def go_back(_settings: Any, pipeline: Any, **request: Any) -> Rollback:
        asked.append({"pipeline": pipeline.name, **request})
        return rollback

    task = dag_bag.dags[DAG_ID].task_dict["roll_back"]
    event = SimpleNamespace(extra={})
    instance = SimpleNamespace(dag_id=DAG_ID, run_id="r1", task_id="roll_back", map_index=-1, try_number=1)
    context = {
        "ti": instance,
        "dag_run": SimpleNamespace(triggering_user_name=user),
        "params": {"reason": "gloomy", "version": None},
        "outlet_events": {task.outlets[0]: event},
    }
    sent: list[int] = []
    body = task.python_callable
    monkeypatch.setitem(body.__globals__, "get_current_context", lambda: context)
    monkeypatch.setitem(body.__globals__, "send_pending", lambda: sent.append(1))
    monkeypatch.setattr("include.steps.rollback.go_back", go_back)
    assert body() == pack(rollback)
    request = {"by": f"{DAG_ID}/r1", "who": who, "reason": "gloomy", "version": None}
    assert asked == [{"pipeline": "flight_delays", **request}]
    assert event.extra == {"rollback": pack(rollback)}
    assert sent
