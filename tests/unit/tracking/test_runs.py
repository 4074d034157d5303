"""Runs: one per key, reopened by a retry, closed with their children, never written twice."""

from __future__ import annotations

import json
import math

import pytest
from mlflow.entities import Run

from include.errors import TrackingConflict
from include.settings import Settings
from include.tracking.client import ensure_experiment, open_client
from include.tracking.entries import (
    log_json,
    log_metrics,
    log_params,
    read_artifact,
    read_tags,
    set_note,
    set_tags,
)
from include.tracking.runs import close_run, open_run, sweep_abandoned


def get_run(settings: Settings, run_id: str) -> Run:
    with open_client(settings) as client:
        return client.get_run(run_id)


def test_a_retry_reopens_the_same_run_with_the_new_tags(tracked: Settings) -> None:
    first = open_run(tracked, "retried", "dag/one", "one", {"airflow.try_number": "1"})
    close_run(tracked, first, "FAILED")
    assert open_run(tracked, "retried", "dag/one", "one", {"airflow.try_number": "2"}) == first
    run = get_run(tracked, first)
    assert run.info.status == "RUNNING"
    assert run.data.tags["airflow.try_number"] == "2"
    assert run.info.run_name == "one"


def test_two_keys_are_two_runs_and_a_child_names_its_parent(tracked: Settings) -> None:
    parent = open_run(tracked, "family", "dag/run", "parent", {})
    child = open_run(tracked, "family", "dag/run/trees", "trees", {}, parent_run_id=parent)
    assert child != parent
    assert get_run(tracked, child).data.tags["mlflow.parentRunId"] == parent
    with pytest.raises(TrackingConflict, match="belongs to parent"):
        open_run(tracked, "family", "dag/run/trees", "trees", {})


def test_a_double_that_a_repeated_request_made_is_closed(tracked: Settings) -> None:
    first = open_run(tracked, "doubled", "dag/run", "first", {})
    with open_client(tracked) as client:
        experiment = ensure_experiment(client, "doubled")
        double = client.create_run(experiment, tags={"tollgate.key": "dag/run"}).info.run_id
    assert open_run(tracked, "doubled", "dag/run", "first", {}) == first
    assert get_run(tracked, double).info.status == "KILLED"


def test_an_injected_run_id_does_not_become_the_child(tracked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = open_run(tracked, "injected", "dag/run", "parent", {})
    monkeypatch.setenv("MLFLOW_RUN_ID", parent)
    assert open_run(tracked, "injected", "dag/run/x", "x", {}, parent_run_id=parent) != parent


def test_parameters_are_written_once_and_a_changed_one_is_named(tracked: Settings) -> None:
    run = open_run(tracked, "params", "a", "a", {})
    many = {f"p{i}": i for i in range(250)}
    log_params(tracked, run, many)
    log_params(tracked, run, many)
    assert get_run(tracked, run).data.params["p249"] == "249"
    with pytest.raises(TrackingConflict, match="p7: '7' is now '8'"):
        log_params(tracked, run, {"p7": 8, "new": 1})
    assert "new" not in get_run(tracked, run).data.params


def test_a_change_beyond_the_length_mlflow_keeps_is_still_a_change(tracked: Settings) -> None:
    run = open_run(tracked, "long", "a", "a", {})
    log_params(tracked, run, {"long": "x" * 7000})
    log_params(tracked, run, {"long": "x" * 7000})
    with pytest.raises(TrackingConflict):
        log_params(tracked, run, {"long": "x" * 6999 + "y"})


def test_a_metric_is_not_doubled_and_infinity_never_becomes_finite(tracked: Settings) -> None:
    run = open_run(tracked, "metrics", "a", "a", {})
    for _ in range(2):
        log_metrics(tracked, run, {"auc": 0.7, "nan": math.nan, "inf": math.inf})
    with open_client(tracked) as client:
        assert [len(client.get_metric_history(run, name)) for name in ("auc", "nan", "inf")] == [1, 1, 1]
    assert math.isnan(get_run(tracked, run).data.metrics["nan"])
    assert math.isnan(get_run(tracked, run).data.metrics["inf"])
    log_metrics(tracked, run, {"auc": 0.8})
    assert get_run(tracked, run).data.metrics["auc"] == 0.8


def test_artifacts_come_back_and_a_missing_one_is_named(tracked: Settings) -> None:
    run = open_run(tracked, "artifacts", "a", "a", {})
    log_json(tracked, run, {"auc": math.nan}, "deep/er.json")
    assert math.isnan(json.loads(read_artifact(tracked, run, "deep/er.json"))["auc"])
    with pytest.raises(TrackingConflict, match=r"no artifact .deep/none\.json."):
        read_artifact(tracked, run, "deep/none.json")


def test_a_long_note_is_shortened_and_a_long_tag_refused(tracked: Settings) -> None:
    run = open_run(tracked, "notes", "a", "a", {})
    set_note(tracked, run, "n" * 9000)
    assert read_tags(tracked, run)["mlflow.note.content"].endswith("… (shortened)")
    with pytest.raises(TrackingConflict, match="9000 characters"):
        set_tags(tracked, run, {"x": "n" * 9000})


def test_closing_a_parent_sweeps_open_children_only(tracked: Settings) -> None:
    parent = open_run(tracked, "swept", "p", "p", {})
    done = open_run(tracked, "swept", "p/done", "done", {}, parent_run_id=parent)
    hung = open_run(tracked, "swept", "p/hung", "hung", {}, parent_run_id=parent)
    close_run(tracked, done, "FINISHED")
    assert close_run(tracked, parent, "FAILED") == [hung]
    assert [get_run(tracked, run).info.status for run in (parent, done, hung)] == ["FAILED", "FINISHED", "KILLED"]
    ended = get_run(tracked, parent).info.end_time
    assert close_run(tracked, parent, "FAILED") == []
    assert get_run(tracked, parent).info.end_time == ended


def test_trials_below_a_child_are_swept_with_it_and_belong_to_whoever_owns_the_top(tracked: Settings) -> None:
    parent = open_run(tracked, "nested", "dag/run", "p", {})
    child = open_run(tracked, "nested", "dag/run/trees", "trees", {}, parent_run_id=parent)
    done, hung = (
        open_run(tracked, "nested", f"{child}/trial-{number}", "trial", {}, parent_run_id=child) for number in (0, 1)
    )
    close_run(tracked, done, "FINISHED")
    assert sweep_abandoned(tracked, "nested", lambda key: key == "dag/run") == []
    assert get_run(tracked, hung).info.status == "RUNNING"
    assert close_run(tracked, parent, "FAILED") == [hung, child]
    assert [get_run(tracked, run).info.status for run in (child, done, hung)] == ["KILLED", "FINISHED", "KILLED"]
    for run in (parent, child, hung):
        with open_client(tracked) as client:
            client.update_run(run, status="RUNNING")
    assert set(sweep_abandoned(tracked, "nested", lambda key: False)) == {parent, child, hung}


def test_a_killed_run_does_not_stay_running(tracked: Settings) -> None:
    over = open_run(tracked, "abandoned", "over", "over", {})
    child = open_run(tracked, "abandoned", "over/x", "x", {}, parent_run_id=over)
    alive = open_run(tracked, "abandoned", "alive", "alive", {})
    busy = open_run(tracked, "abandoned", "alive/x", "x", {}, parent_run_id=alive)
    closed_parent = open_run(tracked, "abandoned", "closed", "closed", {})
    orphan = open_run(tracked, "abandoned", "closed/x", "x", {}, parent_run_id=closed_parent)
    close_run(tracked, closed_parent, "FINISHED", sweep_children=False)
    assert set(sweep_abandoned(tracked, "abandoned", lambda key: key == "alive")) == {over, child, orphan}
    statuses = [get_run(tracked, run).info.status for run in (over, child, orphan, alive, busy)]
    assert statuses == ["KILLED", "KILLED", "KILLED", "RUNNING", "RUNNING"]
    assert sweep_abandoned(tracked, "never_trained", lambda key: False) == []


def test_a_task_that_was_cleared_alone_keeps_its_run_under_a_closed_parent(tracked: Settings) -> None:
    parent = open_run(tracked, "cleared", "cleared", "cleared", {})
    close_run(tracked, parent, "FAILED")
    child = open_run(tracked, "cleared", "cleared/x", "x", {}, parent_run_id=parent)
    assert sweep_abandoned(tracked, "cleared", lambda key: key == "cleared") == []
    assert get_run(tracked, child).info.status == "RUNNING"


def test_a_run_that_is_cleared_during_the_sweep_stays_open_with_its_children(tracked: Settings) -> None:
    parent = open_run(tracked, "racing", "racing", "racing", {})
    child = open_run(tracked, "racing", "racing/x", "x", {}, parent_run_id=parent)
    answers = iter([False, True, True])
    assert sweep_abandoned(tracked, "racing", lambda _: next(answers)) == []
    assert [get_run(tracked, run).info.status for run in (parent, child)] == ["RUNNING", "RUNNING"]


def test_a_persons_own_run_is_left_alone(tracked: Settings) -> None:
    with open_client(tracked) as client:
        own = client.create_run(ensure_experiment(client, "personal")).info.run_id
        closed = client.create_run(ensure_experiment(client, "personal")).info.run_id
        nested = client.create_run(ensure_experiment(client, "personal"), tags={"mlflow.parentRunId": closed})
        client.set_terminated(closed)
    assert sweep_abandoned(tracked, "personal", lambda _: False) == []
    assert [get_run(tracked, run).info.status for run in (own, nested.info.run_id)] == ["RUNNING", "RUNNING"]
