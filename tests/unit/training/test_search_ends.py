"""A search ends when its time is over, goes on where it was killed, and is not made again."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from include.contracts import pack
from include.declaration import IntRange
from include.errors import TrackingConflict
from include.runtime.history import list_fits
from include.settings import PROJECT_ROOT, Settings
from include.tracking.client import open_client
from include.tracking.entries import read_tags
from include.tracking.runs import open_run
from include.training.fit import fit_candidate
from include.training.search import FOUND_TAG
from include.training.search_clock import Clock, Limit, SearchPlan
from include.training.trials import TrialResult, run_trial
from tests.unit.toy import features
from tests.unit.training.searches import (
    begin,
    build_odd,
    declare,
    declare_odd,
    list_trials,
    read_trials,
    search,
)

KILLED = """
import json, sys
from include.contracts import TrainingSet, unpack
from include.settings import load_settings
from tests.unit.toy import features
from tests.unit.training import test_search_ends as own

features.build_odd = own.build_odd
given = json.loads(sys.argv[1])
pipeline = own.declare(given["name"], given["candidate"], **own.KILLED_SEARCH)
own.search(load_settings(), pipeline, unpack(TrainingSet, given["set"]), given["run_id"])
"""
KILLED_SEARCH = {"trials": 6, "at_once": 3, "space": {"depth": IntRange(low=1, high=8)}}


def test_a_search_that_has_ended_is_taken_over_whoever_is_champion_by_then(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = declare("ended", trials=2)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    found = search(tracked, pipeline, training_set, run_id)
    monkeypatch.setattr("include.training.trials.run_trial", lambda *given: pytest.fail("it was made again"))
    other = SearchPlan(starts=({"learning_rate": 0.02},))
    assert search(tracked, pipeline, training_set, run_id, other) == found


@pytest.mark.parametrize(
    ("limits", "most", "reason"),
    [
        ((("sla.train_model (9 s)", 3.0), ("a fit's", 60.0)), None, r"sla\.train_model \(9 s\)"),
        ((("sla.train_model (9 s)", 60.0),), 0.04, r"search\.max_minutes \(0\.04\)"),
    ],
    ids=["sla", "own"],
)
def test_it_stops_when_there_is_no_time_for_another_trial_with_the_best_so_far(
    tracked: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[tuple[str, float], ...],
    most: float | None,
    reason: str,
) -> None:
    pipeline = declare_odd(f"late_{most is None}".lower(), monkeypatch, {"pause": 0.0}, trials=500, max_minutes=most)

    def run_slowly(estimator: Any, rows: Any, metric: str, threads: int) -> Any:
        time.sleep(0.3)
        return dataclasses.replace(run_trial(estimator, rows, metric, threads), seconds=0.3)

    monkeypatch.setattr("include.training.trials.run_trial", run_slowly)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    now = time.monotonic()
    plan = SearchPlan(limits=tuple(Limit(name, now + seconds) for name, seconds in limits), fit_seconds=0.5)
    found = search(tracked, pipeline, training_set, run_id, plan)
    # Whatever was kept for the fit is there.
    assert 0 < found.trials < 20
    assert pytest.approx(max(value or 0.0 for _, value in read_trials(tracked, pipeline, run_id))) == found.value
    tag = read_tags(tracked, run_id)["tollgate.search"]
    assert f"Stopped after {found.trials} of 500 trials" in tag
    assert re.search(reason, tag)


@pytest.mark.parametrize(
    ("trial", "forecast", "trials", "stop"),
    [
        # One more of 30 s, or two side by side, and then a fit on a quarter more rows: 67.5 s in all.
        (30.0, 0.0, 1, ""),
        (30.0, 0.0, 2, ""),
        # One after another, 97.5 s; a fit that was forecast, 120 s; longer trials, 180 s.
        (30.0, 0.0, 3, "short"),
        (30.0, 90.0, 1, "short"),
        (80.0, 0.0, 1, "short"),
    ],
)
def test_the_fit_after_it_is_left_its_time(trial: float, forecast: float, trials: int, stop: str) -> None:
    now = time.monotonic()
    plan = SearchPlan(limits=(Limit("long", now + 95), Limit("short", now + 85)), fit_seconds=forecast)
    searched = declare("clocked").training.candidates[0].search
    assert searched is not None
    clock = Clock(searched, plan, ratio=1.25, side=2)
    clock.count(TrialResult(0.7, trial, trial), taken_over=False)
    assert clock.find_stop(trials) == stop


def test_without_any_time_it_is_fitted_as_the_search_would_have_begun(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("no_time")
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    plan = SearchPlan(({"learning_rate": 0.2},), (Limit("sla.train_model (1 s)", time.monotonic() - 1),))
    trained = fit_candidate(tracked, pipeline, training_set, "trees", run_id, threads=1, plan=plan)
    assert trained.metrics["roc_auc"] > 0.6
    assert list_trials(tracked, pipeline, run_id) == []
    with open_client(tracked) as client:
        run = client.get_run(run_id)
    assert (run.data.params["parameter.learning_rate"], run.data.params["parameter.max_iter"]) == ("0.2", "10")
    assert "No trial was made" in run.data.tags["tollgate.search"]
    (record,) = list_fits(tracked, pipeline.name)
    assert (record.trials, record.trials_declared) == (0, 6)


def test_a_search_that_was_killed_goes_on_and_repeats_nothing(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really killed, in its fifth trial, the second of a batch; then it is the same as one that was not."""
    mark = tmp_path / "mark"
    candidate = {
        "kind": "custom",
        "function": "features:build_odd",
        "parameters": {"pause": 0.2, "mark": str(mark)},
    }
    monkeypatch.setattr(features, "build_odd", build_odd, raising=False)
    pipeline = declare("killed_search", candidate, **KILLED_SEARCH)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    given = {"name": pipeline.name, "candidate": candidate, "set": pack(training_set), "run_id": run_id}
    environment = {**os.environ, "TOLLGATE_HOME": str(tracked.home), "MLFLOW_TRACKING_URI": tracked.mlflow_uri}
    victim = subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(given)], cwd=PROJECT_ROOT, env=environment)
    try:
        deadline = time.monotonic() + 120
        while not (mark.is_file() and len(mark.read_text().split()) >= 5):
            assert victim.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait(10)
    before = {run.data.tags["tollgate.trial"]: run for run in list_trials(tracked, pipeline, run_id)}
    finished = {number for number, run in before.items() if run.info.status == "FINISHED"}
    assert 3 <= len(finished) < 6
    mark.unlink()
    found = search(tracked, pipeline, training_set, run_id)
    after = list_trials(tracked, pipeline, run_id)
    assert [run.data.tags["tollgate.trial"] for run in after] == [str(number) for number in range(6)]
    assert {run.info.status for run in after} == {"FINISHED"}
    assert len(mark.read_text().split()) == 6 - len(finished)
    for run in after:
        number = run.data.tags["tollgate.trial"]
        if number in before:
            assert run.info.run_id == before[number].info.run_id
        if number in finished:
            assert run.info.end_time == before[number].info.end_time
    calm = open_run(tracked, pipeline.name, "dag/calm/trees", "trees", {})
    whole = search(tracked, pipeline, training_set, calm)
    assert read_trials(tracked, pipeline, calm) == read_trials(tracked, pipeline, run_id)
    assert (whole.parameters, whole.value, whole.trials) == (found.parameters, found.value, found.trials)


def test_a_trial_that_was_stored_and_not_closed_is_closed_when_it_is_taken_over(
    tracked: Settings, tmp_path: Path
) -> None:
    """Killed between the two; or swept as killed after both."""
    pipeline = declare("half_closed", trials=2, at_once=2)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    search(tracked, pipeline, training_set, run_id)
    open_one, swept = (run.info.run_id for run in list_trials(tracked, pipeline, run_id))
    with open_client(tracked) as client:
        client.delete_tag(run_id, FOUND_TAG)
        client.update_run(open_one, status="RUNNING")
        client.set_terminated(swept, "KILLED")
    search(tracked, pipeline, training_set, run_id)
    assert [run.info.status for run in list_trials(tracked, pipeline, run_id)] == ["FINISHED"] * 2


def test_a_declaration_that_changed_in_between_is_refused(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("changed_between", trials=2, at_once=1)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    search(tracked, pipeline, training_set, run_id)
    with open_client(tracked) as client:
        client.delete_tag(run_id, FOUND_TAG)
    other = pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"seed": 7})})
    with pytest.raises(TrackingConflict, match="Trial 1 of 'trees' was made with"):
        search(tracked, other, training_set, run_id)
