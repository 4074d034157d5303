"""A training's gate, threads and tags: what stops it is linked from its run, and each run leads back to its data."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest

from include.console.evidence import find_features_docs
from include.contracts import RunIdentity, TrainingSet, Window
from include.data.trainings import read_claims
from include.data.window import choose_window
from include.declaration import Pipeline
from include.errors import GateBlocked, SuiteInvalid
from include.links import link_report
from include.records import read_record
from include.settings import Settings
from include.steps.train import (
    bless_best,
    count_threads,
    fit_one,
    gate_features,
    make_tags,
    open_training,
    settle_claim,
)
from include.tracking.entries import read_tags
from include.training.dataset import prepare_training_set
from tests.unit.factory import make_pipeline
from tests.unit.gates.suite_files import BETWEEN, make_rule, write_suite
from tests.unit.steps.declared import publish_month, write_pipeline


def identify(pipeline: Pipeline, task: str = "gate_features", run: str = "run-1") -> RunIdentity:
    return RunIdentity(f"{pipeline.name}.train_model", run, task, 2, -1, f"http://airflow.test/{run}/{task}")


def open_one(settings: Settings, pipeline: Pipeline, folder: Path) -> tuple[Window, str]:
    """The window of three months, and the training's run of it."""
    for month in ("2013-01", "2013-02", "2013-03"):
        publish_month(settings, pipeline, month, folder)
    window = choose_window(settings, pipeline, "2013-03", "test")
    assert isinstance(window, Window)
    return window, open_training(settings, pipeline, window, identify(pipeline, "open_run"))


def name_partitions(window: Window) -> dict[str, str]:
    """The tags from which anybody finds the data again: version and SHA-256 of each partition."""
    return {f"tollgate.partition.{p.partition}": f"{p.version} sha256={p.fingerprint}" for p in window.partitions}


def prepare(settings: Settings, pipeline: Pipeline, window: Window) -> TrainingSet:
    write_suite(settings, "parcels_features", make_rule(BETWEEN, column="hour", min_value=0, max_value=23))
    return prepare_training_set(settings, pipeline, window)


def test_spoilt_features_are_blocked_and_their_data_docs_are_linked_from_run_and_task(
    tracked: Settings, tmp_path: Path
) -> None:
    pipeline = write_pipeline(tracked, "spoilt")
    window, parent = open_one(tracked, pipeline, tmp_path)
    training_set = prepare(tracked, pipeline, window)
    features = Path(training_set.folder) / "features.parquet"
    frame = pd.read_parquet(features)
    frame.loc[frame.index[:7], "hour"] = 99
    frame.to_parquet(features, index=False)
    with pytest.raises(GateBlocked, match="7 rows") as caught:
        gate_features(tracked, pipeline, training_set, parent, identify(pipeline))
    docs = link_report(tracked, caught.value.report.docs_path)
    assert docs
    tags = read_tags(tracked, parent)
    assert tags["tollgate.features_gate"] == f"block {docs}"
    assert f"blocked by {BETWEEN}(hour)." in tags["mlflow.note.content"]
    assert f"]({docs})" in tags["mlflow.note.content"]
    assert "](http://airflow.test/run-1/gate_features)" in tags["mlflow.note.content"]
    assert find_features_docs(tracked, pipeline.name, "run-1") == docs
    assert find_features_docs(tracked, pipeline.name, "run-2") == ""


def test_good_features_pass_and_are_linked_as_well(tracked: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(tracked, "sound")
    window, parent = open_one(tracked, pipeline, tmp_path)
    report = gate_features(tracked, pipeline, prepare(tracked, pipeline, window), parent, identify(pipeline))
    tags = read_tags(tracked, parent)
    assert tags["tollgate.features_gate"] == f"pass {link_report(tracked, report.docs_path)}"
    assert "mlflow.note.content" not in tags


def test_a_suite_of_features_that_cannot_be_evaluated_is_evidence_too(tracked: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(tracked, "unreadable")
    window, parent = open_one(tracked, pipeline, tmp_path)
    training_set = prepare(tracked, pipeline, window)
    write_suite(tracked, "parcels_features", make_rule("expect_the_impossible", column="hour"))
    with pytest.raises(SuiteInvalid):
        gate_features(tracked, pipeline, training_set, parent, identify(pipeline))
    tags = read_tags(tracked, parent)
    assert tags["tollgate.features_gate"].startswith("block")
    assert "expect_the_impossible" in tags["mlflow.note.content"]


def test_where_no_candidate_has_a_figure_the_blessing_says_so_and_refuses(tracked: Settings, tmp_path: Path) -> None:
    """S7: a red task would leave no blessing, no tags and no mail about the model."""
    pipeline = write_pipeline(tracked, "numberless")
    window, parent = open_one(tracked, pipeline, tmp_path)
    training_set = prepare(tracked, pipeline, window)
    write_suite(tracked, "parcels_predictions", make_rule(BETWEEN, column="prediction", min_value=0, max_value=1))
    trained = [
        fit_one(tracked, pipeline, training_set, name, parent, identify(pipeline, "fit_candidate"))
        for name in ("linear", "naive")
    ]
    for model in trained:
        pd.read_parquet(model.predictions_path).assign(prediction=math.nan).to_parquet(model.predictions_path)
    numberless = [dataclasses.replace(model, metrics=dict.fromkeys(model.metrics, math.nan)) for model in trained]
    # They come as they were fitted: the champion's candidate first, whatever is declared first.
    as_fitted = numberless[::-1]
    blessing = bless_best(tracked, pipeline, training_set, as_fitted, parent, identify(pipeline, "bless_best"))
    assert not blessing.blessed
    assert blessing.candidate == "linear"
    assert "roc_auc of linear is not a number, so it cannot be judged." in blessing.reasons
    for run_id in (parent, trained[0].run_id):
        tags = read_tags(tracked, run_id)
        assert tags["tollgate.blessing"] == "refused"
        assert "roc_auc of linear is not a number" in tags["mlflow.note.content"]
    record = read_record(tracked, pipeline.name, "blessing", trained[0].run_id)
    assert record is not None
    assert {name: set(map(math.isnan, of.values())) for name, of in record["candidates"].items()} == {
        "linear": {True},
        "naive": {True},
    }


def test_how_a_training_ended_is_said_of_its_claim(settings: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(settings, "ended")
    publish_month(settings, pipeline, "2013-01", tmp_path)
    who = identify(pipeline, "close_run", run="manual__2013-02-01T00:00:00+00:00")
    claimed_by = f"{who.dag_id}/{who.run_id}"
    window = choose_window(settings, pipeline, "2013-01", claimed_by)
    assert isinstance(window, Window)
    settle_claim(settings, pipeline, who, "Column hour is empty.")
    (claim,) = read_claims(settings, pipeline.name).values()
    url = "http://127.0.0.1:8080/dags/ended.train_model/runs/manual__2013-02-01T00%3A00%3A00%2B00%3A00"
    facts = {"by": claimed_by, "reason": "Column hour is empty.", "window_digest": window.digest, "run_url": url}
    assert claim["stop"].items() >= facts.items()
    settle_claim(settings, pipeline, who, "")
    (claim,) = read_claims(settings, pipeline.name).values()
    assert claim["stop"] is None


def test_the_training_run_leads_to_the_data_docs_of_each_partition(tracked: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(tracked, "linked")
    window, _ = open_one(tracked, pipeline, tmp_path)
    page = tracked.reports_root / pipeline.name / "data_docs" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    newest = dataclasses.replace(window.partitions[-1], docs_path=str(page), verdict="warn")
    window = dataclasses.replace(window, partitions=(*window.partitions[:-1], newest))
    tags = read_tags(tracked, open_training(tracked, pipeline, window, identify(pipeline, "open_run")))
    assert tags["tollgate.gate.2013-03"] == f"warn {link_report(tracked, str(page))}"


def test_a_run_leads_back_to_the_task_that_made_it() -> None:
    who = RunIdentity("parcels.train_model", "run-1", "fit_candidate", 2, 1, "http://airflow.test/task")
    assert make_tags(who) == {
        "airflow.dag_id": "parcels.train_model",
        "airflow.run_id": "run-1",
        "airflow.task_id": "fit_candidate",
        "airflow.map_index": "1",
        "airflow.try_number": "2",
        "airflow.url": "http://airflow.test/task",
        "mlflow.source.name": "parcels.train_model",
        "mlflow.source.type": "JOB",
    }


def test_a_training_and_its_candidates_lead_back_to_the_hash_of_every_partition(
    tracked: Settings, tmp_path: Path
) -> None:
    pipeline = write_pipeline(tracked, "traced")
    window, parent = open_one(tracked, pipeline, tmp_path)
    data = {
        **name_partitions(window),
        "tollgate.partition": "2013-03",
        "tollgate.window_digest": window.digest,
        "tollgate.gate.2013-03": "pass ",
    }
    opener = identify(pipeline, "open_run")
    assert read_tags(tracked, parent).items() >= (data | make_tags(opener)).items()
    assert len(name_partitions(window)) == 3
    fitter = identify(pipeline, "fit_candidate")
    trained = fit_one(tracked, pipeline, prepare(tracked, pipeline, window), "naive", parent, fitter)
    own = {"tollgate.candidate": "naive", "mlflow.parentRunId": parent}
    assert read_tags(tracked, trained.run_id).items() >= (data | make_tags(fitter) | own).items()


@pytest.mark.parametrize(
    ("cores", "candidates", "threads"), [(1, 3, 1), (2, 1, 2), (2, 3, 1), (4, 3, 1), (8, 3, 2), (8, 2, 4), (16, 1, 16)]
)
def test_fits_that_run_side_by_side_share_the_cores(
    settings: Settings, cores: int, candidates: int, threads: int
) -> None:
    pipeline = make_pipeline()
    few = pipeline.training.model_copy(update={"candidates": pipeline.training.candidates[:candidates]})
    pipeline = pipeline.model_copy(update={"training": few})
    assert count_threads(dataclasses.replace(settings, cores=cores), pipeline) == threads
    assert threads == 1 or threads * min(candidates, cores) <= cores
