"""Models: logged once, loadable by stock MLflow elsewhere, refused when a file changed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from include.declaration import Pipeline
from include.errors import TrackingConflict, UnsafeModel
from include.scoring.scorer import load_scorer
from include.settings import Settings
from include.tracking.client import ensure_experiment, open_client
from include.tracking.entries import read_tags
from include.tracking.models import download_model, log_scorer
from include.tracking.registry import promote_champion, register_version
from include.tracking.runs import open_run
from tests.unit.factory import make_pipeline
from tests.unit.mlflow_server import find_free_port, stop_server
from tests.unit.tracking.factory import fit_scorer, make_blessing, make_requests, make_training_set


def log_toy(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> tuple[str, str]:
    run = open_run(settings, pipeline.name, "a/b", "linear", {})
    training_set = make_training_set(pipeline, tmp_path)
    return run, log_scorer(settings, run, fit_scorer(pipeline), pipeline, training_set, make_requests(5))


def find_stored(root: Path, model_uri: str, name: str) -> Path:
    (path,) = (root / "artifacts").rglob(f"{model_uri.removeprefix('models:/')}/artifacts/{name}")
    return path


def test_a_downloaded_model_predicts_what_was_fitted(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("downloaded")
    run, uri = log_toy(tracked, pipeline, tmp_path)
    folder = download_model(tracked, uri, tmp_path / "models" / "1")
    requests = make_requests(50)
    assert np.array_equal(load_scorer(folder).predict(requests), fit_scorer(pipeline).predict(requests))
    stamp = (folder / "model.skops").stat().st_mtime_ns
    assert download_model(tracked, uri, folder) == folder
    assert (folder / "model.skops").stat().st_mtime_ns == stamp
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    assert read_tags(tracked, run)["tollgate.model_uri"] == uri


def test_the_mlmodel_says_all_that_serving_must_know(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("described")
    _, uri = log_toy(tracked, pipeline, tmp_path)
    document = yaml.safe_load((download_model(tracked, uri, tmp_path / "model") / "MLmodel").read_text())
    facts = document["metadata"]["tollgate"]
    assert facts["request"]["weight"] == {"type": "number", "required": False, "private": False, "description": ""}
    assert facts["request_rules"] == {
        "unknown_columns": "refuse",
        "required_nulls": "refuse",
        "number_texts": "refuse",
    }
    assert (facts["pipeline"], facts["task"], facts["partition"]) == ("described", "binary", "2013-02")
    inputs = {column["name"]: column for column in json.loads(document["signature"]["inputs"])}
    assert (inputs["carrier"]["type"], inputs["carrier"]["required"]) == ("string", True)
    assert (inputs["weight"]["type"], inputs["weight"]["required"]) == ("double", False)


def test_a_retry_adopts_the_model_and_deletes_a_half_made_one(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("adopted")
    run = open_run(tracked, pipeline.name, "a/b", "linear", {})
    with open_client(tracked) as client:
        experiment = ensure_experiment(client, pipeline.name)
        client.create_logged_model(experiment, pipeline.name, source_run_id=run)
    again, uri = log_toy(tracked, pipeline, tmp_path)
    assert again == run
    with open_client(tracked) as client:
        client.delete_tag(run, "tollgate.model_uri")
    assert log_toy(tracked, pipeline, tmp_path) == (run, uri)
    with open_client(tracked) as client:
        assert [f"models:/{m.model_id}" for m in client.search_logged_models([experiment])] == [uri]
        assert [f"models:/{o.model_id}" for o in client.get_run(run).outputs.model_outputs] == [uri]
    other = make_training_set(pipeline, tmp_path, digest="b" * 64)
    with pytest.raises(TrackingConflict, match="already has a model"):
        log_scorer(tracked, run, fit_scorer(pipeline), pipeline, other, make_requests(5))


@pytest.mark.parametrize("name", ["model.skops", "MLmodel", "code/include/scoring/scorer.py"])
def test_a_file_changed_in_the_store_is_refused(
    tracked: Settings, mlflow_root: Path, tmp_path: Path, name: str
) -> None:
    _, uri = log_toy(tracked, make_pipeline(f"changed_{name[:2].lower()}"), tmp_path)
    stored = find_stored(mlflow_root, uri, name)
    stored.write_bytes(stored.read_bytes() + b" ")
    with pytest.raises(UnsafeModel, match=f"changed, missing or added: {name}"):
        download_model(tracked, uri, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_file_added_in_the_store_is_refused(tracked: Settings, mlflow_root: Path, tmp_path: Path) -> None:
    _, uri = log_toy(tracked, make_pipeline("added"), tmp_path)
    find_stored(mlflow_root, uri, "MLmodel").with_name("extra.py").write_text("print(1)")
    with pytest.raises(UnsafeModel, match=r"extra\.py"):
        download_model(tracked, uri, tmp_path / "model")


def test_a_destination_that_is_not_right_is_replaced(tracked: Settings, tmp_path: Path) -> None:
    _, uri = log_toy(tracked, make_pipeline("replaced"), tmp_path)
    folder = download_model(tracked, uri, tmp_path / "model")
    (folder / "model.skops").write_bytes(b"cut")
    assert load_scorer(download_model(tracked, uri, folder)).predict(make_requests(3)).shape == (3,)


def promote_toy(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    """Make the toy's model the registry's champion."""
    run, uri = log_toy(settings, pipeline, tmp_path)
    blessing = make_blessing(pipeline, run, uri)
    version = register_version(settings, pipeline, blessing, make_training_set(pipeline, tmp_path))
    promote_champion(settings, pipeline.name, version.version, "test")


def test_stock_mlflow_elsewhere_predicts_the_same(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("stock")
    promote_toy(tracked, pipeline, tmp_path)
    requests = make_requests(20).drop(columns=["weight", "depot"])
    requests.to_parquet(tmp_path / "requests.parquet")
    program = (
        "import json, sys, mlflow, pandas\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "frame = pandas.read_parquet(sys.argv[2])\n"
        "frame['carrier'] = frame['carrier'].astype(object)\n"
        "model = mlflow.pyfunc.load_model('models:/stock@champion')\n"
        "print(json.dumps(model.predict(frame).tolist()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, tracked.mlflow_uri, str(tmp_path / "requests.parquet")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == fit_scorer(pipeline).predict(requests).tolist()


@contextmanager
def serve_stock(settings: Settings, model_uri: str, folder: Path) -> Iterator[str]:
    """The address of ``mlflow models serve`` once it answers; it knows nothing of this project but the model."""
    port = find_free_port()
    command = ["mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "-p", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = folder / "serve.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
    try:
        while True:
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{address}/ping", trust_env=False, timeout=5).status_code == 200:
                    break
            time.sleep(0.2)
        yield address
    finally:
        stop_server(server)


@pytest.mark.slow
def test_stock_mlflow_serves_the_champion(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("served")
    promote_toy(tracked, pipeline, tmp_path)
    requests = make_requests(20).drop(columns=["weight", "depot"])
    split = requests.astype(object).to_dict("split", index=False)
    with serve_stock(tracked, "models:/served@champion", tmp_path) as address:
        url = f"{address}/invocations"
        answer = httpx.post(url, json={"dataframe_split": split}, trust_env=False, timeout=60)
        refused = httpx.post(
            url, json={"dataframe_split": {"columns": ["hour"], "data": [[7]]}}, trust_env=False, timeout=60
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == fit_scorer(pipeline).predict(requests).tolist()
    assert refused.status_code == 400, "the signature is the raw request, so a row without its columns does not fit"
