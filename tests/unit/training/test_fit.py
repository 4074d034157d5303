"""A fit is logged whole, is the same when made again, and is taken over instead of repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from include.declaration import Candidate, Training
from include.errors import TrackingConflict, TrainingDataInvalid, UnsafeModel
from include.runtime.history import list_fits
from include.scoring.scorer import load_scorer
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.models import download_model, download_predictions
from include.tracking.runs import open_run
from include.training import fit
from include.training.cost import list_metrics
from include.training.fit import fit_candidate, fit_scorer
from tests.unit.factory import make_pipeline
from tests.unit.training.sets import prepare_toy


def hash_contents(model: Path) -> list[str]:
    """The arrays of a skops file; their names, and the schema, hold addresses of the process that wrote it."""
    with zipfile.ZipFile(model) as parts:
        names = [name for name in parts.namelist() if name != "schema.json"]
        return sorted(hashlib.sha256(parts.read(name)).hexdigest() for name in names)


@pytest.mark.parametrize("candidate", ["trees", "linear", "naive"])
def test_the_same_inputs_give_the_same_model(settings: Settings, tmp_path: Path, candidate: str) -> None:
    pipeline = make_pipeline()
    training_set = prepare_toy(settings, pipeline, tmp_path)
    requests = pd.read_parquet(Path(training_set.folder) / "holdout.parquet")
    first, second = (fit_scorer(pipeline, training_set, candidate, threads) for threads in (1, 2))
    assert np.array_equal(first.predict(requests), second.predict(requests))
    for name, scorer in (("first", first), ("second", second)):
        skops.io.dump(scorer, tmp_path / name)
    assert hash_contents(tmp_path / "first") == hash_contents(tmp_path / "second")


def test_a_feature_without_any_value_is_named(settings: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline()
    training_set = prepare_toy(settings, pipeline, tmp_path)
    train = Path(training_set.folder) / "train.parquet"
    pd.read_parquet(train).assign(weight=np.nan).to_parquet(train)
    with pytest.raises(TrainingDataInvalid, match="no value in any training row: weight"):
        fit_scorer(pipeline, training_set, "trees", 1)


def test_everything_of_a_fit_is_in_its_run_and_a_retry_resumes(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline("fitted")
    training_set = prepare_toy(tracked, pipeline, tmp_path)
    run_id = open_run(tracked, pipeline.name, "dag/run/trees", "trees", {})
    trained = fit_candidate(tracked, pipeline, training_set, "trees", run_id, threads=1)
    assert trained.metrics["roc_auc"] > 0.7
    with open_client(tracked) as client:
        run = client.get_run(run_id)
        assert {f.path for f in client.list_artifacts(run_id, "plots")} == {
            f"plots/{name}"
            for name in (
                "calibration.png",
                "confusion.png",
                "curves.png",
                "importance.json",
                "importance.png",
                "runtime.png",
            )
        }
        assert client.list_artifacts(run_id, "training_set")
    assert run.data.metrics["roc_auc"] == trained.metrics["roc_auc"]
    assert run.data.metrics["fit_cpu_seconds"] > 0
    assert run.data.params["training_set"] == training_set.digest
    assert {item.dataset.name for item in run.inputs.dataset_inputs} >= {"fitted train", "fitted 2013-01"}
    (record,) = list_fits(tracked, pipeline.name)
    expected = {"candidate": "trees", "rows": 800, "columns": 5, "partitions": 3, "rung": "worker", "cores": 2}
    assert {name: getattr(record, name) for name in expected} == expected
    assert (record.training_set, record.mlflow_run_id) == (training_set.digest, run_id)
    seconds = dataclasses.asdict(record.seconds)
    assert (seconds.pop("search"), min(seconds.values()) > 0) == (0, True)
    assert record.peak_mb >= record.base_mb > 0
    assert run.data.metrics.items() >= list_metrics(record).items()
    assert run.data.tags["tollgate.rung"] == "worker"
    stored = load_scorer(download_model(tracked, trained.model_uri, tmp_path / "model"))
    frame = pd.read_parquet(trained.predictions_path)
    assert np.array_equal(stored.predict(frame), frame["prediction"])

    monkeypatch.setattr(fit, "fit_scorer", lambda *given: pytest.fail("it was fitted again"))
    assert fit_candidate(tracked, pipeline, training_set, "trees", run_id, threads=2) == trained
    content = Path(trained.predictions_path).read_bytes()
    Path(trained.predictions_path).unlink()
    assert fit_candidate(tracked, pipeline, training_set, "trees", run_id, threads=1) == trained
    assert Path(trained.predictions_path).read_bytes() == content
    assert list_fits(tracked, pipeline.name) == [record]
    with open_client(tracked) as client:
        assert len(client.get_metric_history(run_id, "fit_cpu_seconds")) == 1


def test_forecast_and_outcome_of_the_fourth_training_stand_beside_each_other(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("foretold")
    training_set = prepare_toy(tracked, pipeline, tmp_path)
    for number in range(4):
        run_id = open_run(tracked, pipeline.name, f"dag/run-{number}/trees", "trees", {})
        fit_candidate(tracked, pipeline, training_set, "trees", run_id, threads=1)
    *past, record = list_fits(tracked, pipeline.name)
    assert [len(fit.forecasts) for fit in past] == [0, 3, 3]
    assert [fit.forecasts["cpu_seconds"].trusted for fit in [*past[1:], record]] == [False, False, True]
    forecast = record.forecasts["cpu_seconds"]
    assert (forecast.rows, forecast.runs) == (800, 3)
    assert min(fit.cpu_seconds for fit in past) <= forecast.value <= max(fit.cpu_seconds for fit in past)
    with open_client(tracked) as client:
        metrics = client.get_run(run_id).data.metrics
    told = {name: metrics[f"forecast_{name}"] for name in ("cpu_seconds", "wall_seconds", "peak_memory_mb")}
    assert told["cpu_seconds"] == forecast.value
    assert metrics["forecast_cpu_seconds_low"] < forecast.value < metrics["forecast_cpu_seconds_high"]
    assert metrics["peak_memory_mb"] == pytest.approx(told["peak_memory_mb"], rel=0.2)


def test_a_try_that_died_after_its_model_was_logged_is_made_again_with_the_same_model(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline("died")
    training_set = prepare_toy(tracked, pipeline, tmp_path)
    run_id = open_run(tracked, pipeline.name, "dag/run/linear", "linear", {})
    with monkeypatch.context() as dying:
        dying.setattr(fit, "set_tags", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit_candidate(tracked, pipeline, training_set, "linear", run_id, threads=1)
    trained = fit_candidate(tracked, pipeline, training_set, "linear", run_id, threads=1)
    (record,) = list_fits(tracked, pipeline.name)
    assert round(record.cpu.fit, 3) == trained.fit_cpu_seconds
    with open_client(tracked) as client:
        run = client.get_run(run_id)
        assert [f"models:/{output.model_id}" for output in run.outputs.model_outputs] == [trained.model_uri]
    other = dataclasses.replace(training_set, digest="f" * 32)
    with pytest.raises(TrackingConflict, match="training_set"):
        fit_candidate(tracked, pipeline, other, "linear", run_id, threads=1)


def test_predictions_changed_in_the_store_are_refused(tracked: Settings, mlflow_root: Path, tmp_path: Path) -> None:
    pipeline = make_pipeline("tampered")
    training_set = prepare_toy(tracked, pipeline, tmp_path)
    run_id = open_run(tracked, pipeline.name, "dag/run/naive", "naive", {})
    fit_candidate(tracked, pipeline, training_set, "naive", run_id, threads=1)
    path = download_predictions(tracked, run_id, tmp_path / "p")
    assert len(pd.read_parquet(path)) == training_set.holdout_rows
    (stored,) = (mlflow_root / "artifacts").rglob(f"{run_id}/artifacts/holdout/predictions.parquet")
    stored.write_bytes(stored.read_bytes() + b" ")
    assert download_predictions(tracked, run_id, tmp_path / "p") == path
    with pytest.raises(UnsafeModel, match="changed"):
        download_predictions(tracked, run_id, tmp_path / "q")


def test_an_estimator_of_untrusted_types_is_refused_before_it_is_logged(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline as chain
    from sklearn.preprocessing import FunctionTransformer

    from tests.unit.toy import features

    def build_own(**given: int) -> object:
        return chain(FunctionTransformer(_fill_numbers), GaussianNB())

    monkeypatch.setattr(features, "build_own", build_own, raising=False)
    own = Candidate(name="own", kind="custom", function="features:build_own")
    training = Training(candidates=(own,), day_columns=("year", "month", "day"), features_suite="parcels_features")
    pipeline = make_pipeline("untrusted", training=training)
    training_set = prepare_toy(tracked, pipeline, tmp_path)
    run_id = open_run(tracked, pipeline.name, "dag/run/own", "own", {})
    with pytest.raises(UnsafeModel, match="_fill_numbers"):
        fit_candidate(tracked, pipeline, training_set, "own", run_id, threads=1)


def _fill_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.select_dtypes("number").fillna(0)
