"""What stopped a run is left for the task that closes it, in the words of the error, and recorded there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import ModelVersion, pack
from include.errors import GateBlocked
from include.settings import Settings

PIPELINE = "flight_delays"
VERSION = pack(ModelVersion(PIPELINE, "4", "mlflow-4", "models:/m-4", "2013-02", "set"))


class Instance:
    """A task instance of a run in which the tasks ended in ``states`` and left ``values`` (by task and key)."""

    def __init__(self, stage: str, task: str, states: dict[str, str], values: dict[tuple[str, str], Any]) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = f"{PIPELINE}.{stage}", "run", task, -1
        self.try_number = 1
        self.values = values
        self._states = states

    def get_task_states(self, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        assert (dag_id, run_ids) == (self.dag_id, ["run"])
        return {"run": self._states}

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.values.get((task_ids, key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.values[self.task_id, key] = value


def make_context(dag: Any, instance: Instance) -> dict[str, Any]:
    run = SimpleNamespace(dag_id=instance.dag_id, run_id=instance.run_id, partition_key=None)
    return {"ti": instance, "dag": dag, "dag_run": run, "params": {}}


@pytest.fixture
def left(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], Any]:
    """What a task leaves that raises an error."""
    import tollgate_reasons

    def run(error: Exception | None) -> Any:
        instance = Instance("train_model", "gate_features", {}, {})
        monkeypatch.setattr(tollgate_reasons, "get_current_context", lambda: {"ti": instance})

        @tollgate_reasons.leave_reasons
        def work() -> str:
            if error is not None:
                raise error
            return "done"

        if error is None:
            assert work() == "done"
        else:
            with pytest.raises(type(error)) as caught:
                work()
            assert caught.value is error
        return instance.values.get(("gate_features", "stopped_because"))

    return run


def test_a_task_that_fails_leaves_the_words_of_its_error(left: Callable[[Exception | None], Any]) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    assert left(None) is None
    assert left(GateBlocked("Features 2013-02 were blocked.", next_step="Look.")) == "Features 2013-02 were blocked."
    assert left(ValueError("no")) == "ValueError: no"
    assert left(AirflowSkipException("superseded")) is None


def test_that_airflow_does_not_take_a_reason_hides_nothing(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import tollgate_reasons

    def refuse(key: str, value: str) -> None:
        raise ConnectionResetError("gone")

    context = {"ti": SimpleNamespace(xcom_push=refuse)}
    monkeypatch.setattr(tollgate_reasons, "get_current_context", lambda: context)

    @tollgate_reasons.leave_reasons
    def work() -> None:
        raise GateBlocked("blocked.", next_step="Look.")

    with pytest.raises(GateBlocked):
        work()


def test_the_first_reason_is_read_and_else_what_failed_without_one(dag_bag: Any) -> None:
    from tollgate_reasons import read_reason

    dag = dag_bag.dags[f"{PIPELINE}.train_model"]

    def read(states: dict[str, str], **reasons: Any) -> str:
        values = {(task, "stopped_because"): reason for task, reason in reasons.items()}
        return read_reason(make_context(dag, Instance("train_model", "close_run", states, values)))

    fits = {"fit_candidate_0": "failed", "fit_candidate_1": "success"}
    assert read({"choose_window": "success", "bless_best": "success", "register_model": "skipped"}) == ""
    assert (
        read({**fits, "bless_best": "upstream_failed"})
        == "fit_candidate failed without a word: killed, or out of time."
    )
    assert read(fits, fit_candidate=["It cannot be fitted."]) == "It cannot be fitted."
    assert read({"gate_features": "failed"}, gate_features="They were blocked.") == "They were blocked."
    # Left by a try that a later one followed.
    assert read({"gate_features": "success"}, gate_features="They were blocked.") == ""


@pytest.fixture
def close(dag_bag: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., list[tuple[Any, ...]]]:
    """Run the task that closes a run of ``stage``; returns what it had recorded."""
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))

    def run(stage: str, task: str, states: dict[str, str], values: dict[tuple[str, str], Any]) -> list[Any]:
        noted: list[Any] = []

        def note(settings: Settings, pipeline: Any, *facts: Any) -> None:
            noted.append(facts)

        for name in ("train.settle_claim", "train.finish_training", "deploy.note_not_deployed"):
            monkeypatch.setattr(f"include.steps.{name}", note)
        dag = dag_bag.dags[f"{PIPELINE}.{stage}"]
        work = dag.task_dict[task].python_callable
        context = make_context(dag, Instance(stage, task, states, values))
        monkeypatch.setitem(work.__globals__, "get_current_context", lambda: context)
        work()
        return noted

    return run


@pytest.mark.parametrize(
    ("states", "values", "why"),
    [
        ({"bless_best": "success", "register_model": "success"}, {("bless_best", "return_value"): {}}, ""),
        ({"bless_best": "success", "register_model": "skipped"}, {("bless_best", "return_value"): {}}, ""),
        ({"gate_features": "failed"}, {("gate_features", "stopped_because"): "Blocked."}, "Blocked."),
        (
            {"bless_best": "success", "register_model": "failed"},
            {("bless_best", "return_value"): {}, ("register_model", "stopped_because"): "Away."},
            "Away.",
        ),
        ({"gate_features": "skipped"}, {}, "Its run was ended before it had a verdict."),
    ],
)
def test_the_end_of_a_training_says_how_its_claim_ended(
    close: Callable[..., list[tuple[Any, ...]]], states: dict[str, str], values: dict[tuple[str, str], Any], why: str
) -> None:
    settled, finished = close("train_model", "close_run", states, {("open_run", "return_value"): "mlflow", **values})
    assert (settled[0].dag_id, settled[0].run_id, settled[1]) == (f"{PIPELINE}.train_model", "run", why)
    assert finished == ("mlflow", ("bless_best", "return_value") in values)


@pytest.mark.parametrize(
    ("states", "reasons", "noted"),
    [
        ({"choose_version": "success", "deploy_champion": "success"}, {}, []),
        ({"choose_version": "skipped", "deploy_champion": "skipped"}, {}, []),
        (
            {"choose_version": "success", "try_in_sandbox": "failed", "deploy_champion": "upstream_failed"},
            {"try_in_sandbox": "Version 4 failed in the sandbox."},
            ["Version 4 failed in the sandbox."],
        ),
        (
            {"choose_version": "success", "apply_decision": "skipped", "deploy_champion": "skipped"},
            {},
            ["Its run was ended before it was live."],
        ),
        (
            {"choose_version": "success", "measure_latency": "failed"},
            {},
            ["measure_latency failed without a word: killed, or out of time."],
        ),
    ],
)
def test_the_end_of_a_deployment_says_why_its_version_is_not_live(
    close: Callable[..., list[tuple[Any, ...]]], states: dict[str, str], reasons: dict[str, str], noted: list[str]
) -> None:
    values: dict[tuple[str, str], Any] = {(task, "stopped_because"): why for task, why in reasons.items()}
    if states["choose_version"] == "success":
        values["choose_version", "return_value"] = VERSION
    found = close("deploy_model", "close_deployment", states, values)
    assert [(version.version, why) for version, _, why in found] == [("4", why) for why in noted]


def test_closing_decides_nothing_and_brings_no_step_back_when_one_is_cleared(dag_bag: Any) -> None:
    task = dag_bag.dags[f"{PIPELINE}.deploy_model"].task_dict["close_deployment"]
    assert task.is_teardown
    assert not task.on_failure_fail_dagrun
    assert task.upstream_task_ids == {"deploy_champion"}
    assert not any(each.is_setup for each in dag_bag.dags[f"{PIPELINE}.deploy_model"].tasks)
