"""A search makes the same trials wherever it is made, and the best of them is what is fitted."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from include.contracts import DAY_COLUMN, LABEL_COLUMN
from include.declaration import FloatRange, IntRange, Rung
from include.errors import DeclarationError, TrainingDataInvalid
from include.runtime.history import list_fits
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.entries import read_tags
from include.tracking.runs import open_run
from include.training.estimators import fix_parameters
from include.training.fit import fit_candidate, fit_scorer
from include.training.search import FOUND_TAG
from include.training.search_clock import SearchPlan
from include.training.trials import run_trial
from tests.unit.training.searches import (
    begin,
    declare,
    declare_odd,
    list_trials,
    read_trials,
    search,
)


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
