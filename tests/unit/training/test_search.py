"""A search makes the same trials however often it is killed and wherever it is made, and ends when its time is over."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from include.contracts import DAY_COLUMN, LABEL_COLUMN, TrainingSet, pack
from include.declaration import Candidate, Choices, FloatRange, IntRange, Pipeline, Rung, Search
from include.errors import DeclarationError, TrackingConflict, TrainingDataInvalid
from include.runtime.history import list_fits
from include.runtime.measure import Meter
from include.settings import PROJECT_ROOT, Settings
from include.tracking.client import find_experiment, open_client
from include.tracking.entries import read_tags
from include.tracking.runs import open_run
from include.training.estimators import fix_parameters
from include.training.fit import fit_candidate, fit_scorer
from include.training.search import FOUND_TAG, Found, search_parameters
from include.training.search_clock import Limit, SearchPlan
from include.training.trials import run_trial
from tests.unit.factory import make_pipeline
from tests.unit.toy import features
from tests.unit.training.sets import prepare_toy

WORKER = Rung(name="worker")
SPACE = {
    "learning_rate": FloatRange(low=0.01, high=0.5, log=True),
    "max_iter": IntRange(low=5, high=25, step=5, start=10),
    "class_weight": Choices(values=(None, "balanced")),
}


def declare(name: str, candidate: Mapping[str, Any] | None = None, **search: Any) -> Pipeline:
    """The toy with one candidate whose parameters are searched for."""
    pipeline = make_pipeline(name)
    given = {"method": "bayesian", "trials": 6, "at_once": 2, "space": SPACE, **search}
    fields = {"name": "trees", "kind": "boosted_trees", **(candidate or {})}
    candidates = (Candidate(search=Search(**given), **fields),)
    return pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"candidates": candidates})})


def begin(settings: Settings, pipeline: Pipeline, folder: Path, run: str = "run") -> tuple[TrainingSet, str]:
    training_set = prepare_toy(settings, pipeline, folder)
    return training_set, open_run(settings, pipeline.name, f"dag/{run}/trees", "trees", {})


def search(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    run_id: str,
    plan: SearchPlan | None = None,
    rung: Rung = WORKER,
) -> Found:
    plan = plan or SearchPlan()
    return search_parameters(settings, pipeline, training_set, "trees", run_id, 1, rung, plan, Meter())


def list_trials(settings: Settings, pipeline: Pipeline, run_id: str) -> list[Any]:
    """The MLflow runs of the trials, by number."""
    with open_client(settings) as client:
        experiment = find_experiment(client, pipeline.name)
        runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return sorted(runs, key=lambda run: int(run.data.tags["tollgate.trial"]))


def read_trials(settings: Settings, pipeline: Pipeline, run_id: str) -> list[tuple[dict[str, str], float | None]]:
    """Parameters and value of every trial."""
    runs = list_trials(settings, pipeline, run_id)
    return [(run.data.params, run.data.metrics.get("roc_auc")) for run in runs]


def build_odd(seed: int, threads: int, depth: int = 1, pause: float = 0.0, mark: str = "") -> Any:
    """A tree that refuses some depths, and that may take its time, saying so in a file."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.pipeline import make_pipeline as chain
    from sklearn.tree import DecisionTreeClassifier

    if mark:
        with Path(mark).open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(pause)
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    return chain(numbers, DecisionTreeClassifier(max_depth=depth, random_state=seed))


def declare_odd(name: str, monkeypatch: pytest.MonkeyPatch, parameters: Mapping[str, Any], **search: Any) -> Pipeline:
    monkeypatch.setattr(features, "build_odd", build_odd, raising=False)
    candidate = {"kind": "custom", "function": "features:build_odd", "parameters": parameters}
    given = {"at_once": 1, "space": {"depth": IntRange(low=1, high=8)}, **search}
    return declare(name, candidate, **given)


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_the_same_search_makes_the_same_trials_and_each_is_a_run_below_the_candidates(
    tracked: Settings, tmp_path: Path, method: str
) -> None:
    pipeline = declare(f"twice_{method}", method=method)
    training_set, first = begin(tracked, pipeline, tmp_path, "first")
    second = open_run(tracked, pipeline.name, "dag/second/trees", "trees", {})
    found, again = (search(tracked, pipeline, training_set, run_id) for run_id in (first, second))
    trials = read_trials(tracked, pipeline, first)
    assert trials == read_trials(tracked, pipeline, second)
    assert found.parameters == again.parameters
    # Not one configuration again and again, and the declared one first: what no start is given for, in its middle.
    assert len({tuple(params.items()) for params, _ in trials}) == 6
    assert trials[0][0]["max_iter"] == "10"
    assert float(trials[0][0]["learning_rate"]) == pytest.approx((0.01 * 0.5) ** 0.5)
    assert found.value == max(value for _, value in trials)
    assert trials[found.best or 0][1] == found.value
    for run in list_trials(tracked, pipeline, first):
        assert run.info.status == "FINISHED"
        assert run.data.metrics["trial_seconds"] > 0
        assert run.data.metrics["trial_cpu_seconds"] > 0


def test_another_seed_makes_other_trials_and_a_batch_is_not_the_same_as_one_by_one(
    tracked: Settings, tmp_path: Path
) -> None:
    made = []
    for number, (seed, at_once) in enumerate(((1, 1), (2, 1), (1, 3))):
        pipeline = declare("seeded", at_once=at_once)
        pipeline = pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"seed": seed})})
        training_set, run_id = begin(tracked, pipeline, tmp_path, f"run-{number}")
        search(tracked, pipeline, training_set, run_id)
        made.append([params for params, _ in read_trials(tracked, pipeline, run_id)])
    assert made[0] != made[1]
    assert made[0] != made[2]


def test_a_trial_is_measured_on_the_newest_training_days_and_never_on_the_holdout(
    tracked: Settings, tmp_path: Path
) -> None:
    pipeline = declare("measured", trials=1, at_once=1, validation_share=0.3)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    # Whoever reads it finds nothing.
    (Path(training_set.folder) / "holdout.parquet").unlink()
    found = search(tracked, pipeline, training_set, run_id)
    rows = pd.read_parquet(Path(training_set.folder) / "train.parquet")
    days = rows[DAY_COLUMN]
    first = sorted(days)[int(len(days) * 0.7)]
    # At least three tenths, and whole days.
    older, newer = rows[days < first], rows[days >= first]
    older.to_parquet(Path(training_set.folder) / "train.parquet", index=False)
    scorer = fit_scorer(fix_parameters(pipeline, "trees", found.parameters), training_set, "trees", 1)
    assert found.value == pytest.approx(roc_auc_score(newer[LABEL_COLUMN], scorer.predict(newer)), abs=1e-8)


def test_the_champions_configuration_is_first_as_far_as_it_is_in_the_space_and_is_fixed_by_the_first_try(
    tracked: Settings, tmp_path: Path
) -> None:
    pipeline = declare("championed", trials=3, at_once=3)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    known = {"learning_rate": 0.3, "max_iter": 15, "class_weight": "wrong", "l2_regularization": 1.0}
    search(tracked, pipeline, training_set, run_id, SearchPlan(starts=(known,)))
    first, second, _ = (params for params, _ in read_trials(tracked, pipeline, run_id))
    assert (first["learning_rate"], first["max_iter"]) == ("0.3", "15")
    assert second["max_iter"] == "10"
    assert "0.3" in read_tags(tracked, run_id)["tollgate.search_starts"]


def test_a_search_that_has_ended_is_taken_over_whoever_is_champion_by_then(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = declare("ended", trials=2)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    found = search(tracked, pipeline, training_set, run_id)
    monkeypatch.setattr("include.training.trials.run_trial", lambda *given: pytest.fail("it was made again"))
    other = SearchPlan(starts=({"learning_rate": 0.02},))
    assert search(tracked, pipeline, training_set, run_id, other) == found


def test_the_fit_is_of_the_best_on_all_rows_and_says_so_everywhere(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("fitted_best", {"parameters": {"min_samples_leaf": 5}}, trials=4)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    trained = fit_candidate(tracked, pipeline, training_set, "trees", run_id, threads=1)
    with open_client(tracked) as client:
        run = client.get_run(run_id)
    params, tags = run.data.params, run.data.tags
    best = max(read_trials(tracked, pipeline, run_id), key=lambda trial: trial[1] or 0.0)[0]
    assert {name: params[f"parameter.{name}"] for name in best} == best
    assert params["parameter.min_samples_leaf"] == "5"
    assert '"low": 5' in params["search"]
    assert "All 4 declared trials were made." in tags["tollgate.search"]
    assert tags["mlflow.note.content"] == tags["tollgate.search"]
    (record,) = list_fits(tracked, pipeline.name)
    assert (record.trials, record.trials_declared) == (4, 4)
    assert record.seconds.search > record.seconds.fit > 0
    assert run.data.metrics["search_seconds"] == record.seconds.search
    assert run.data.metrics["search_trials"] == 4
    # The same model as of a candidate that declares them.
    assert FOUND_TAG in tags
    found = search(tracked, pipeline, training_set, run_id)
    frame = pd.read_parquet(trained.predictions_path)
    declared = fit_scorer(fix_parameters(pipeline, "trees", found.parameters), training_set, "trees", 1)
    assert np.array_equal(declared.predict(frame), frame["prediction"])


def test_a_failed_trial_is_no_failed_training(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"depth": IntRange(low=-2, high=3, start=-1)}
    pipeline = declare_odd("odd_trials", monkeypatch, {}, space=space, method="random", trials=8)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    found = search(tracked, pipeline, training_set, run_id)
    runs = list_trials(tracked, pipeline, run_id)
    failed = [run for run in runs if int(run.data.params["depth"]) < 1]
    assert 0 < len(failed) == found.failed < 8
    assert {run.info.status for run in failed} == {"FAILED"}
    assert all("max_depth" in run.data.tags["mlflow.note.content"] for run in failed)
    assert {run.info.status for run in runs if run not in failed} == {"FINISHED"}
    assert found.parameters["depth"] >= 1


def test_when_every_trial_fails_the_training_says_why(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = declare_odd("all_odd", monkeypatch, {}, space={"depth": IntRange(low=-9, high=-1)}, trials=3)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    with pytest.raises(TrainingDataInvalid, match=r"All 3 trials of the search of 'trees' failed.*max_depth") as caught:
        search(tracked, pipeline, training_set, run_id)
    assert (caught.value.trials, caught.value.retryable) == (3, False)
    assert [run.info.status for run in list_trials(tracked, pipeline, run_id)] == ["FAILED"] * 3


def test_a_parameter_that_the_recipe_does_not_take_is_a_wrong_declaration(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("mistaken", space={"leaning_rate": FloatRange(low=0.1, high=0.2)})
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    with pytest.raises(DeclarationError, match="leaning_rate"):
        search(tracked, pipeline, training_set, run_id)


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


KILLED = """
import json, sys
import msgspec
from include.contracts import TrainingSet, unpack
from include.runtime.measure import Meter
from include.settings import load_settings
from include.training.search_clock import SearchPlan
from tests.unit.toy import features
from tests.unit.training import test_search as own

features.build_odd = own.build_odd
given = json.loads(sys.argv[1])
pipeline = own.declare(given["name"], given["candidate"], **own.KILLED_SEARCH)
own.search(load_settings(), pipeline, unpack(TrainingSet, given["set"]), given["run_id"])
"""
KILLED_SEARCH = {"trials": 6, "at_once": 3, "space": {"depth": IntRange(low=1, high=8)}}


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


def test_a_declaration_that_changed_in_between_is_refused(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("changed_between", trials=2, at_once=1)
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    search(tracked, pipeline, training_set, run_id)
    with open_client(tracked) as client:
        client.delete_tag(run_id, FOUND_TAG)
    other = pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"seed": 7})})
    with pytest.raises(TrackingConflict, match="Trial 1 of 'trees' was made with"):
        search(tracked, other, training_set, run_id)


def test_a_training_set_of_one_day_cannot_be_cut(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("one_day")
    training_set, run_id = begin(tracked, pipeline, tmp_path)
    path = Path(training_set.folder) / "train.parquet"
    rows = pd.read_parquet(path)
    rows.assign(**{DAY_COLUMN: "2013-01-01"}).to_parquet(path, index=False)
    with pytest.raises(TrainingDataInvalid, match=r"800 training rows of 1 days.*validation_share"):
        search(tracked, pipeline, training_set, run_id)


def test_a_clusters_workers_make_the_same_trials_side_by_side(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = declare("clustered", trials=4, at_once=4)
    training_set, here = begin(tracked, pipeline, tmp_path, "here")
    there = open_run(tracked, pipeline.name, "dag/there/trees", "trees", {})
    found = search(tracked, pipeline, training_set, here)
    monkeypatch.setattr("include.training.trials.run_trial", run_and_tell)
    cluster = Rung(name="dask", kind="dask", workers=2, speeds_up=("trials",))
    monkeypatch.setenv("TOLD_OF_TEST", str(tmp_path / "told"))
    far = search(tracked, pipeline, training_set, there, rung=cluster)
    assert (far.parameters, far.value) == (found.parameters, found.value)
    assert read_trials(tracked, pipeline, there) == read_trials(tracked, pipeline, here)
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    processes = {pid for pid, _, _ in told}
    assert len(told) == 4
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    # Two of them were at work at the same time.
    spans = sorted((float(begin), float(end), pid) for pid, begin, end in told)
    assert any(later[0] < earlier[1] and later[2] != earlier[2] for earlier, later in pairwise(spans))


def run_and_tell(estimator: Any, rows: Any, metric: str, threads: int) -> Any:
    """A trial, and which process was at it from when to when."""
    began = time.time()
    time.sleep(0.5)
    result = run_trial(estimator, rows, metric, threads)
    with Path(os.environ["TOLD_OF_TEST"]).open("a") as file:
        file.write(f"{os.getpid()} {began} {time.time()}\n")
    return result
