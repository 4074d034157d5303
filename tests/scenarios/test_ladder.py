"""S5 and S6: a training that will be late, or fails for want of a bigger machine, goes to the next rung by itself.

Beside them a search, in a pipeline without a ladder."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from include.contracts import pack
from include.declaration.loader import get_pipeline
from include.records import write_record
from include.runtime.attempts import list_attempts
from include.runtime.history import list_fits, name_recipe, write_fit
from include.training.fit import fit_scorer
from tests.scenarios.kills import find_task_processes
from tests.scenarios.lenient import take_rows
from tests.scenarios.system import RunningSystem
from tests.unit.runtime.records import make_record

PIPELINES = Path(__file__).parent / "ladder_pipelines"
PIPELINE = "climber"
DAG = f"{PIPELINE}.train_model"
SEARCHER = "searcher"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system of its own, with the pipeline that climbs and the one that searches."""
    running = RunningSystem(tmp_path_factory.mktemp("ladder") / "home", pipelines=PIPELINES)
    try:
        yield running.start()
    finally:
        running.stop()


def train(system: RunningSystem, month: int, pipeline: str = PIPELINE) -> dict[str, Any]:
    """Land a month and return its finished training."""
    dag = f"{pipeline}.train_model"
    seen = {run["dag_run_id"] for run in system.runs(dag)}
    system.land(pipeline, f"2013-{month:02d}", take_rows(month))
    return system.wait_for_run(dag, lambda run: run["dag_run_id"] not in seen, seconds=400)


def search_runs(system: RunningSystem, pipeline: str, wanted: str) -> list[Any]:
    """The pipeline's MLflow runs that fit a filter."""
    client = MlflowClient(system.settings.mlflow_uri, system.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(pipeline)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], wanted))


def find_runs(system: RunningSystem, run: dict[str, Any], pipeline: str = PIPELINE) -> list[Any]:
    """The MLflow runs of the candidate in one training."""
    wanted = f"tags.`airflow.run_id` = '{run['dag_run_id']}' and tags.`tollgate.candidate` = 'trees'"
    return search_runs(system, pipeline, wanted)


def find_trials(system: RunningSystem, trees: Any) -> list[Any]:
    """The MLflow runs below the candidate's, by the number of their trial."""
    trials = search_runs(system, SEARCHER, f"tags.`mlflow.parentRunId` = '{trees.info.run_id}'")
    return sorted(trials, key=lambda trial: int(trial.data.tags["tollgate.trial"]))


def check_it_climbed(system: RunningSystem, run: dict[str, Any], failure: str) -> None:
    """One MLflow run, closed, fitted on the big rung; the training is green, and one mail says why."""
    states = system.task_states(run)
    assert run["state"] == "success", states
    assert "fit_on_worker[0]" in states, system.task_log(run, "choose_rung")
    assert (states["fit_on_worker[0]"], states["climb_to_big"], states["fit_on_big[0]"]) == (
        "failed",
        "success",
        "success",
    )
    (child,) = find_runs(system, run)
    assert (child.info.status, child.data.tags["tollgate.rung"]) == ("FINISHED", "big")
    mails = [mail for mail in system.mails("training goes on on big") if f"trees on worker: {failure}" in mail["text"]]
    assert len(mails) == 1
    assert "36.00 USD an hour" in mails[0]["text"]
    assert not system.mails("fit_on_worker failed")
    assert list_fits(system.settings, PIPELINE)[-1].rung == "big"


def test_s6_a_training_that_nobody_knows_is_sampled_and_stays_on_the_worker(system: RunningSystem) -> None:
    run = train(system, 1)
    states = system.task_states(run)
    assert run["state"] == "success", states
    assert (states["fit_on_worker[0]"], states["climb_to_big"], states["fit_on_big"]) == (
        "success",
        "success",
        "skipped",
    ), system.task_log(run, "choose_rung")
    (child,) = find_runs(system, run)
    assert child.data.tags["tollgate.rung"] == "worker"
    (record,) = list_fits(system.settings, PIPELINE)
    assert (record.rung, record.cost, record.mlflow_run_id) == ("worker", 0.0, child.info.run_id)
    assert "samples" in system.task_log(run, "choose_rung")


@pytest.mark.parametrize(("month", "fault", "failure"), [(2, "hungry", "memory"), (3, "hung", "time")])
def test_s6_out_of_memory_and_out_of_time_go_one_rung_up_in_the_same_mlflow_run(
    system: RunningSystem, month: int, fault: str, failure: str
) -> None:
    marker = system.home / fault
    marker.touch()
    run = train(system, month)
    marker.unlink()
    check_it_climbed(system, run, failure)


def test_s6_a_fit_that_was_killed_goes_one_rung_up(system: RunningSystem) -> None:
    """As the kernel kills what has no memory left; it hangs only so that the test finds it alive."""
    marker = system.home / "hung"
    marker.touch()
    seen = {run["dag_run_id"] for run in system.runs(DAG)}
    system.land(PIPELINE, "2013-04", take_rows(4))

    def look() -> int | None:
        running = find_task_processes(system)
        for run in system.runs(DAG):
            # Killed before its fit has begun, it would simply be tried again where it was.
            if list_attempts(system.settings, PIPELINE, f"{DAG}/{run['dag_run_id']}") and run["dag_run_id"] not in seen:
                for task in system.api.list_tasks(DAG, run["dag_run_id"]):
                    if task["task_id"] == "fit_on_worker" and task["id"] in running:
                        return running[task["id"]]
        return None

    os.kill(system.wait_for(look, 120, "a fit to kill"), signal.SIGKILL)
    marker.unlink()
    run = system.wait_for_run(DAG, lambda run: run["dag_run_id"] not in seen, seconds=400)
    check_it_climbed(system, run, "lost")


def test_s6_a_mistake_in_the_code_does_not_climb(system: RunningSystem) -> None:
    marker = system.home / "broken"
    marker.touch()
    run = train(system, 5)
    marker.unlink()
    states = system.task_states(run)
    assert run["state"] == "failed"
    assert (states["fit_on_big"], states["collect_fits"], states["bless_best"]) == (
        "skipped",
        "failed",
        "upstream_failed",
    )
    mail = system.wait_for_mail("collect_fits failed")
    assert "a mistake in the pipeline's own code" in mail["text"]


def test_s5_growth_is_foreseen_and_trained_on_a_higher_rung_before_it_is_late(system: RunningSystem) -> None:
    """Past fits took half a minute for each thousand rows; with this refresh that is beyond the ten minutes."""
    settings, pipeline = system.settings, get_pipeline(system.settings, PIPELINE)
    recipe = name_recipe(pipeline, pipeline.training.candidates[0])
    before = {fit.mlflow_run_id: fit for fit in list_fits(settings, PIPELINE)}
    for fit in before.values():
        write_record(settings, PIPELINE, "fit", fit.mlflow_run_id, {**pack(fit), "recipe": "of another year"})
    now = datetime.now(UTC)
    for number in range(6):
        rows = 2_000 * (number + 1)
        told = {"pipeline": PIPELINE, "recipe": recipe, "rows": rows, "seconds": rows / 1000 * 30}
        finished = (now - timedelta(hours=6 - number)).isoformat(timespec="milliseconds")
        write_fit(settings, make_record(number, finished_at=finished, **told))
    run = train(system, 6)
    states = system.task_states(run)
    assert run["state"] == "success", states
    assert (states["fit_on_worker"], states["fit_on_big[0]"]) == ("skipped", "success")
    (child,) = find_runs(system, run)
    assert child.data.tags["tollgate.rung"] == "big"
    mail = system.wait_for_mail("training for 2013-06 begins on big")
    assert "big is the lowest rung that suffices" in mail["text"]
    assert "too slow" in mail["text"]
    assert "USD" in mail["text"]

    # The same partitions on the worker give the same model.
    record = list_fits(settings, PIPELINE)[-1]
    assert record.rung == "big"
    folder = settings.work_root / PIPELINE / "sets" / record.training_set
    from include.training.storage import find_stored_set

    training_set = find_stored_set(folder)
    assert training_set is not None
    (stored,) = folder.glob(f"predictions/trees-{child.info.run_id}.parquet")
    frame = pd.read_parquet(stored)
    scorer = fit_scorer(pipeline, training_set, "trees", 1)
    assert np.array_equal(scorer.predict(frame), frame["prediction"])


def test_a_searchs_trials_are_runs_below_the_candidates_and_the_next_training_begins_with_the_champion(
    system: RunningSystem,
) -> None:
    first = train(system, 1, SEARCHER)
    assert first["state"] == "success", system.task_states(first)
    (trees,) = find_runs(system, first, SEARCHER)
    trials = find_trials(system, trees)
    assert [trial.info.status for trial in trials] == ["FINISHED"] * 4
    best = max(trials, key=lambda trial: trial.data.metrics["roc_auc"])
    found = json.loads(trees.data.params["parameters"])
    assert {name: str(value) for name, value in found.items()} == best.data.params
    assert "All 4 declared trials were made." in trees.data.tags["mlflow.note.content"]
    assert trees.data.tags["tollgate.blessing"] == "blessed"
    (record,) = [fit for fit in list_fits(system.settings, SEARCHER) if fit.candidate == "trees"]
    assert (record.trials, record.seconds.search > 0) == (4, True)
    system.wait_for_run(f"{SEARCHER}.deploy_model", lambda run: run["state"] == "success", seconds=200)

    second = train(system, 2, SEARCHER)
    assert second["state"] == "success", system.task_states(second)
    (trees,) = find_runs(system, second, SEARCHER)
    trials = find_trials(system, trees)
    assert trees.data.tags["airflow.map_index"] == "0"
    assert trials[0].data.params == best.data.params
    assert {trial.info.status for trial in trials} == {"FINISHED"}
