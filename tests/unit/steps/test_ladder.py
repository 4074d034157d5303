"""A training on the ladder: chosen by forecast, one rung up after a failure, one MLflow run, the same model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.contracts import RunIdentity, TrainedModel, TrainingSet, Window
from include.declaration import Ladder, Pipeline, Rung, Sla
from include.errors import RungFailed, TerminalError, TrackingUnavailable
from include.records import write_record
from include.runtime.attempts import begin_attempt, list_attempts
from include.runtime.history import list_fits, name_recipe, write_fit
from include.runtime.ladder import Choice
from include.settings import Settings
from include.steps import ladder as steps
from include.steps.ladder import (
    choose_climbers,
    choose_training_rung,
    collect_models,
    fit_on_rung,
    is_divisible,
    measure_rest,
)
from include.steps.train import open_candidate, open_training
from include.tracking.client import open_client
from include.tracking.entries import read_tags
from tests.unit.factory import make_pipeline
from tests.unit.runtime.records import make_record
from tests.unit.training.sets import prepare_toy

LADDER = Ladder(
    rungs=(
        Rung(name="worker"),
        Rung(
            name="big",
            kind="queue",
            queue="big",
            speeds_up=("rows", "memory"),
            speed=10,
            memory_mb=64_000,
            cost_per_hour=3.6,
        ),
        Rung(
            name="huge",
            kind="queue",
            queue="huge",
            speeds_up=("rows", "memory"),
            speed=20,
            memory_mb=256_000,
            cost_per_hour=36,
        ),
    )
)


def declare(name: str, sla: str | None = "100s") -> Pipeline:
    pipeline = make_pipeline(name, sla=Sla(train_model=sla))
    training = pipeline.training.model_copy(update={"candidates": pipeline.training.candidates[:1], "ladder": LADDER})
    return pipeline.model_copy(update={"training": training})


def identify(pipeline: Pipeline, task: str = "fit_on_worker", try_number: int = 1) -> RunIdentity:
    return RunIdentity(f"{pipeline.name}.train_model", "run-1", task, try_number, 0, "http://airflow.test/task")


def begin(settings: Settings, pipeline: Pipeline, folder: Path) -> tuple[TrainingSet, str]:
    training_set = prepare_toy(settings, pipeline, folder)
    window = Window(pipeline.name, training_set.partition, (), training_set.window_digest)
    return training_set, open_training(settings, pipeline, window, identify(pipeline, "open_run"))


def fill(settings: Settings, pipeline: Pipeline, seconds: float) -> None:
    """Six fits of about the toy's rows, as long as given."""
    recipe = name_recipe(pipeline, pipeline.training.candidates[0])
    for number in range(6):
        rows = 700 + 20 * number
        told = {"pipeline": pipeline.name, "rows": rows, "seconds": seconds * rows / 800, "recipe": recipe}
        write_fit(settings, make_record(number, **told))


def break_fit(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*given: Any, **named: Any) -> TrainedModel:
        raise error

    monkeypatch.setattr(steps, "fit_opened", fail)


def test_a_history_that_misses_the_sla_takes_a_higher_rung_and_says_so(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("foreseen")
    training_set, parent = begin(tracked, pipeline, tmp_path)
    fill(tracked, pipeline, 300.0)
    choice, mail = choose_training_rung(tracked, pipeline, training_set, parent, identify(pipeline), elapsed=10.0)
    assert (choice.rung, choice.lowest, choice.forecast_from) == ("big", False, "history")
    assert choice.allowed == pytest.approx(90.0)
    tags = read_tags(tracked, parent)
    assert tags["tollgate.rung"] == "big"
    assert "big is the lowest rung that suffices" in tags["tollgate.rung_reason"]
    assert mail is not None
    assert "begins on big" in mail.subject
    assert dict(mail.facts)["Expected cost"] == f"{choice.cost:.4f} USD"
    assert choice.cost == pytest.approx(30 / 3600 * 3.6, rel=0.1)
    # 60 of the 100 seconds are gone before the fits may begin.
    assert (
        choose_training_rung(tracked, pipeline, training_set, parent, identify(pipeline), elapsed=75.0)[0].rung
        == "huge"
    )


def test_without_a_history_samples_are_timed_and_a_quick_fit_stays_where_it_is(
    tracked: Settings, tmp_path: Path
) -> None:
    pipeline = declare("unknown")
    training_set, parent = begin(tracked, pipeline, tmp_path)
    choice, mail = choose_training_rung(tracked, pipeline, training_set, parent, identify(pipeline), elapsed=1.0)
    assert (choice.rung, choice.forecast_from, mail) == ("worker", "samples", None)
    (outlook, *_) = choice.outlooks
    assert 0 < outlook.seconds < 20
    assert list_fits(tracked, pipeline.name) == []


def test_what_usually_follows_the_fits_is_left_for_it(settings: Settings) -> None:
    pipeline = declare("followed")
    for number in range(3):
        record = make_record(number, pipeline="followed", dag_run=f"followed.train_model/run-{number}")
        write_fit(settings, record)
        later = record.finished_at.replace("00:00:00.000", f"00:00:0{4 + number}.000")
        payload = {"run_id": f"run-{number}", "recorded_at": later}
        write_record(settings, "followed", "blessing", record.mlflow_run_id, payload)
    assert measure_rest(settings, pipeline) == pytest.approx(5.0)
    assert measure_rest(settings, declare("new")) == 0.0


@pytest.mark.parametrize(("error", "failure"), [(MemoryError(), "memory"), (TimeoutError("hung"), "time")])
def test_out_of_memory_and_out_of_time_go_one_rung_up_in_the_same_run(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, failure: str
) -> None:
    pipeline = declare(f"out_of_{failure}")
    training_set, parent = begin(tracked, pipeline, tmp_path)
    choice = Choice("worker", True, "", 0.0, None)
    with monkeypatch.context() as broken, pytest.raises(RungFailed, match=failure) as caught:
        break_fit(broken, error)
        fit_on_rung(tracked, pipeline, training_set, "trees", parent, identify(pipeline), "worker")
    assert not caught.value.retryable
    climbers, mail = choose_climbers(tracked, pipeline, choice, "big", identify(pipeline, "climb_to_big"), parent)
    assert climbers == ["trees"]
    assert mail is not None
    assert "goes on on big, at 3.60 USD an hour" in mail.headline
    assert f"trees on worker: {failure}" in mail.lines[0]
    trained = fit_on_rung(tracked, pipeline, training_set, "trees", parent, identify(pipeline, "fit_on_big"), "big")
    with open_client(tracked) as client:
        children = client.search_runs(
            [client.get_run(parent).info.experiment_id], "tags.`tollgate.candidate` = 'trees'"
        )
    assert [child.info.run_id for child in children] == [trained.run_id]
    assert read_tags(tracked, trained.run_id)["tollgate.rung"] == "big"
    (record,) = list_fits(tracked, pipeline.name)
    assert (record.rung, record.cost) == ("big", pytest.approx(record.wall_seconds / 3600 * 3.6, abs=1e-5))
    assert choose_climbers(tracked, pipeline, choice, "huge", identify(pipeline), parent) == ([], None)
    assert collect_models(tracked, pipeline, [trained], identify(pipeline)) == [trained]


def test_a_try_that_was_killed_goes_one_rung_up_and_on_the_highest_is_made_again(
    tracked: Settings, tmp_path: Path
) -> None:
    pipeline = declare("killed")
    training_set, parent = begin(tracked, pipeline, tmp_path)
    run_id = open_candidate(tracked, pipeline, "trees", parent, identify(pipeline))
    run = f"{pipeline.name}.train_model/run-1"
    for rung in ("worker", "huge"):
        begin_attempt(tracked, pipeline.name, "trees", run_id, rung, dag_run=run, try_number=1)
    with pytest.raises(RungFailed, match="killed without a word"):
        fit_on_rung(tracked, pipeline, training_set, "trees", parent, identify(pipeline, try_number=2), "worker")
    trained = fit_on_rung(tracked, pipeline, training_set, "trees", parent, identify(pipeline, try_number=2), "huge")
    assert trained.run_id == run_id
    assert {each.rung: each.state for each in list_attempts(tracked, pipeline.name, run)} == {
        "worker": "failed",
        "huge": "done",
    }


@pytest.mark.parametrize(
    "error", [ValueError("a mistake"), TrackingUnavailable("away.", next_step="wait.")], ids=["code", "transient"]
)
def test_what_no_machine_mends_does_not_climb_and_is_said_at_the_end(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pipeline = declare(f"stopped_{type(error).__name__.lower()}")
    training_set, parent = begin(tracked, pipeline, tmp_path)
    break_fit(monkeypatch, error)
    with pytest.raises(type(error)):
        fit_on_rung(tracked, pipeline, training_set, "trees", parent, identify(pipeline), "worker")
    choice = Choice("worker", True, "", 0.0, None)
    assert choose_climbers(tracked, pipeline, choice, "big", identify(pipeline), parent) == ([], None)
    with pytest.raises(TerminalError, match=f"trees failed on rung worker: {type(error).__name__}"):
        collect_models(tracked, pipeline, [], identify(pipeline))


def test_the_chosen_rung_fits_all_and_those_below_it_none(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("chosen")
    _, parent = begin(tracked, pipeline, tmp_path)
    choice = Choice("huge", False, "", 1.0, None)
    asked = [
        choose_climbers(tracked, pipeline, choice, rung, identify(pipeline), parent)[0] for rung in ("big", "huge")
    ]
    assert asked == [[], ["trees"]]


def test_every_rung_gives_the_same_predictions(tracked: Settings, tmp_path: Path) -> None:
    pipeline = declare("same")
    training_set, parent = begin(tracked, pipeline, tmp_path)
    found: list[Any] = []
    for place, rung in enumerate(("worker", "big")):
        who = dataclasses.replace(identify(pipeline), run_id=f"run-{place}")
        trained = fit_on_rung(tracked, pipeline, training_set, "trees", parent, who, rung)
        found.append(pd.read_parquet(trained.predictions_path)["prediction"].to_numpy())
    assert np.array_equal(*found)


def test_searches_and_forests_can_be_divided_and_the_built_in_kinds_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline as chain
    from sklearn.preprocessing import StandardScaler

    for candidate in ("trees", "linear", "naive"):
        assert not is_divisible(make_pipeline(), candidate)
    forest = chain(StandardScaler(), RandomForestClassifier())
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]})
    for estimator in (forest, search):
        monkeypatch.setattr(steps, "build_estimator", lambda *given, made=estimator: made)
        assert is_divisible(make_pipeline(), "trees")
