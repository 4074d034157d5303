"""A search in a really started Airflow: its trials are MLflow runs, and the next training begins where it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from include.runtime.history import list_fits
from tests.scenarios.lenient import take_rows
from tests.scenarios.system import RunningSystem

PIPELINES = Path(__file__).parent / "ladder_pipelines"
PIPELINE = "searcher"
DAG = f"{PIPELINE}.train_model"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system of its own: the champion must be this pipeline's."""
    running = RunningSystem(tmp_path_factory.mktemp("search") / "home", pipelines=PIPELINES)
    try:
        yield running.start()
    finally:
        running.stop()


def train(system: RunningSystem, month: int) -> dict[str, Any]:
    """Land a month and return its finished training."""
    seen = {run["dag_run_id"] for run in system.runs(DAG)}
    system.land(PIPELINE, f"2013-{month:02d}", take_rows(month))
    return system.wait_for_run(DAG, lambda run: run["dag_run_id"] not in seen, seconds=400)


def find_runs(system: RunningSystem, run: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The MLflow run of the trees in one training, and its trials by number."""
    client = MlflowClient(system.settings.mlflow_uri, system.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(PIPELINE)
    assert experiment is not None
    wanted = f"tags.`airflow.run_id` = '{run['dag_run_id']}' and tags.`tollgate.candidate` = 'trees'"
    (trees,) = client.search_runs([experiment.experiment_id], wanted)
    below = f"tags.`mlflow.parentRunId` = '{trees.info.run_id}'"
    trials = client.search_runs([experiment.experiment_id], below)
    return trees, sorted(trials, key=lambda trial: int(trial.data.tags["tollgate.trial"]))


def test_trials_are_runs_below_the_candidates_and_the_champion_is_first_in_the_next_training(
    system: RunningSystem,
) -> None:
    first = train(system, 1)
    assert first["state"] == "success", system.task_states(first)
    trees, trials = find_runs(system, first)
    assert [trial.info.status for trial in trials] == ["FINISHED"] * 4
    best = max(trials, key=lambda trial: trial.data.metrics["roc_auc"])
    found = json.loads(trees.data.params["parameters"])
    assert {name: str(value) for name, value in found.items()} == best.data.params
    assert "All 4 declared trials were made." in trees.data.tags["mlflow.note.content"]
    assert trees.data.tags["tollgate.blessing"] == "blessed"
    (record,) = [fit for fit in list_fits(system.settings, PIPELINE) if fit.candidate == "trees"]
    assert (record.trials, record.seconds.search > 0) == (4, True)
    system.wait_for_run(f"{PIPELINE}.deploy_model", lambda run: run["state"] == "success", seconds=200)

    second = train(system, 2)
    assert second["state"] == "success", system.task_states(second)
    trees, trials = find_runs(system, second)
    assert trees.data.tags["airflow.map_index"] == "0"
    assert trials[0].data.params == best.data.params
    assert {trial.info.status for trial in trials} == {"FINISHED"}
