"""The evidence of the latency gate: beside the blessing in MLflow, in the ledger, in the error; then the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from include.contracts import ModelVersion, RunIdentity
from include.declaration import Deployment, LatencyGate, Pipeline
from include.errors import TooSlow
from include.records import list_records
from include.settings import Settings
from include.steps.deploy import measure_latency
from include.tracking.models import log_predictions, log_scorer
from include.tracking.registry import get_champion, promote_champion, register_version
from include.tracking.runs import log_blessing, open_run
from tests.unit.deployment.conftest import write_predictions
from tests.unit.factory import make_pipeline
from tests.unit.served_models import fit_scorer, make_requests
from tests.unit.tracking.factory import make_blessing, make_training_set

RUN = RunIdentity("slowness.deploy_model", "run", "measure_latency", url="http://airflow/task")


def declare(**gate: float) -> Pipeline:
    latency = LatencyGate(**{"samples": 200, **gate})
    return make_pipeline("slowness", deployment=Deployment(sandbox_seconds=120, latency=latency))


def register(settings: Settings, pipeline: Pipeline, seed: int, folder: Path) -> ModelVersion:
    scorer = fit_scorer(pipeline, seed)
    training_set = make_training_set(pipeline, folder, digest=f"{seed}" * 64)
    run = open_run(settings, pipeline.name, f"a/{seed}", "linear", {})
    uri = log_scorer(settings, run, scorer, pipeline, training_set, make_requests(pipeline, 40))
    log_predictions(settings, run, Path(write_predictions(pipeline, scorer, folder / f"{seed}.parquet")))
    blessing = make_blessing(pipeline, run, uri)
    log_blessing(settings, run, blessing, {})
    return register_version(settings, pipeline, blessing, training_set)


def test_the_figures_stand_beside_the_blessing_whatever_the_verdict(tracked: Settings, tmp_path: Path) -> None:
    champion = register(tracked, declare(), 1, tmp_path)
    promote_champion(tracked, "slowness", champion.version, "because")
    version = register(tracked, declare(), 2, tmp_path)
    client = MlflowClient(tracked.mlflow_uri, tracked.mlflow_uri)

    with pytest.raises(TooSlow, match=r"p99 is .* ms, above the objective of 0\.001 ms") as caught:
        measure_latency(tracked, declare(p99_ms=0.001), version, RUN)
    assert not caught.value.retryable
    assert "p50" in caught.value.latency
    assert "version 1: p50" in caught.value.champion
    assert version.run_id in caught.value.next_step
    entry = client.get_model_version("slowness", version.version)
    assert entry.tags["tollgate.latency"] == "refused"
    assert float(entry.tags["tollgate.latency_p99_ms"]) > 0.001
    assert float(entry.tags["tollgate.latency_ratio"]) > 0
    assert entry.tags["tollgate.latency_compared_with"] == champion.version
    assert entry.description.startswith("Blessed: linear of 2013-02\n")
    assert "## Latency: refused" in entry.description
    assert "Training data: 2013-02 (222222222222) instead of 2013-02 (111111111111)." in entry.description
    assert get_champion(tracked, "slowness") == champion

    report = measure_latency(tracked, declare(), version, RUN)
    assert report.passed
    entry = client.get_model_version("slowness", version.version)
    assert entry.tags["tollgate.latency"] == "passed"
    assert entry.description.startswith("Blessed: linear of 2013-02\n")
    assert entry.description.count("## Latency") == 1
    run = client.get_run(version.run_id)
    assert run.data.metrics["latency_p50_ms"] == pytest.approx(report.candidate.p50_ms)
    assert run.data.tags["mlflow.note.content"].count("## Latency: passed") == 1
    assert run.data.tags["mlflow.note.content"].startswith("Blessed: linear of 2013-02\n")
    files = {item.path for item in client.list_artifacts(version.run_id, "latency")}
    assert files == {"latency/latency.json", "latency/latency.md", "latency/latency.png"}
    document = json.loads(Path(client.download_artifacts(version.run_id, "latency/latency.json")).read_bytes())
    assert sum(map(len, document["times_ms"][version.version])) == document["candidate"]["requests"] == 200
    picture = Path(client.download_artifacts(version.run_id, "latency/latency.png")).read_bytes()
    assert picture.startswith(b"\x89PNG")

    records = [record for _, record in list_records(tracked, "slowness", "latency")]
    assert [record["passed"] for record in records] == [False, True]
    assert {record["candidate_run_id"] for record in records} == {version.run_id}
    assert records[0]["run_url"] == "http://airflow/task"


def test_a_long_blessing_makes_room_for_the_figures(tracked: Settings, tmp_path: Path) -> None:
    version = register(tracked, declare(), 3, tmp_path)
    client = MlflowClient(tracked.mlflow_uri, tracked.mlflow_uri)
    client.update_model_version("slowness", version.version, "Blessed: x" + "y" * 4990)
    measure_latency(tracked, declare(max_ratio=1e6), version, RUN)
    description = client.get_model_version("slowness", version.version).description
    assert len(description) <= 5000
    assert description.startswith("Blessed: x")
    assert "## Latency: passed" in description
