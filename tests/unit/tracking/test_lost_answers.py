"""What MLflow was asked to make, made, and did not say so: its client asks again, and there must not be two of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from include.settings import Settings
from include.tracking.client import find_experiment, open_client
from include.tracking.models import log_scorer
from include.tracking.registry import list_versions, register_version
from include.tracking.runs import iterate_runs, open_run
from tests.unit.factory import make_pipeline
from tests.unit.tracking.factory import fit_scorer, make_blessing, make_requests, make_training_set
from tests.unit.tracking.losing_proxy import LosingProxy

_API = "/api/2.0/mlflow"


def test_one_run_is_open(tracked: Settings) -> None:
    path = f"{_API}/runs/create"
    with LosingProxy(tracked.mlflow_uri, {path}) as proxy:
        run_id = open_run(replace(tracked, mlflow_uri=proxy.url), "lost_runs", "dag/run", "run", {})
        assert proxy.lost == [path]
    with open_client(tracked) as client:
        experiment_id = find_experiment(client, "lost_runs")
        assert experiment_id is not None
        status = {run.info.run_id: run.info.status for run in iterate_runs(client, experiment_id, "")}
    assert status.pop(run_id) == "RUNNING"
    assert list(status.values()) == ["KILLED"], "the second one of the repeated request"


def test_one_model_is_logged_and_one_version_registered(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("lost_versions")
    training_set = make_training_set(pipeline, tmp_path)
    paths = {f"{_API}/logged-models", f"{_API}/model-versions/create"}
    with LosingProxy(tracked.mlflow_uri, paths) as proxy:
        losing = replace(tracked, mlflow_uri=proxy.url)
        run_id = open_run(losing, pipeline.name, "dag/run", "run", {})
        uri = log_scorer(losing, run_id, fit_scorer(pipeline), pipeline, training_set, make_requests(5))
        version = register_version(losing, pipeline, make_blessing(pipeline, run_id, uri), training_set)
        assert set(proxy.lost) == paths
    assert list_versions(tracked, pipeline.name) == [version]
    with open_client(tracked) as client:
        experiment_id = find_experiment(client, pipeline.name)
        assert experiment_id is not None
        models = list(client.search_logged_models([experiment_id]))
    assert [f"models:/{model.model_id}" for model in models] == [uri]
