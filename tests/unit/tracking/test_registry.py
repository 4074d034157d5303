"""The registry: one version per blessed run, and a champion whose predecessor is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.contracts import ModelVersion
from include.declaration import Pipeline
from include.errors import NotBlessed, TrackingConflict, UnsafeModel
from include.scoring.scorer import load_scorer
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.entries import read_tags
from include.tracking.models import download_model, log_scorer
from include.tracking.registry import (
    get_challenger,
    get_champion,
    get_previous_champion,
    get_version,
    list_versions,
    promote_champion,
    register_version,
    set_challenger,
)
from include.tracking.runs import SEARCH_TAG, log_blessing, open_run
from tests.unit.factory import make_pipeline
from tests.unit.tracking.factory import fit_scorer, make_blessing, make_requests, make_training_set


def register_toy(settings: Settings, pipeline: Pipeline, key: str, folder: Path) -> ModelVersion:
    run = open_run(settings, pipeline.name, key, key, {})
    training_set = make_training_set(pipeline, folder)
    uri = log_scorer(settings, run, fit_scorer(pipeline), pipeline, training_set, make_requests(5))
    return register_version(settings, pipeline, make_blessing(pipeline, run, uri), training_set)


def test_a_pipeline_that_never_trained_has_no_champion(tracked: Settings) -> None:
    assert get_champion(tracked, "unborn") is None
    assert get_challenger(tracked, "unborn") is None
    assert get_previous_champion(tracked, "unborn") is None
    assert list_versions(tracked, "unborn") == []
    with pytest.raises(TrackingConflict, match="no registered version '1'"):
        get_version(tracked, "unborn", "1")


def test_registering_again_adopts_the_version(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("registered")
    first = register_toy(tracked, pipeline, "a", tmp_path)
    assert register_toy(tracked, pipeline, "a", tmp_path) == first
    second = register_toy(tracked, pipeline, "b", tmp_path)
    assert [v.version for v in list_versions(tracked, pipeline.name)] == [first.version, second.version] == ["1", "2"]
    assert get_version(tracked, pipeline.name, "1") == first
    assert (first.partition, first.training_set_digest) == ("2013-02", "a" * 64)
    with open_client(tracked) as client:
        entry = client.get_model_version(pipeline.name, "1")
    assert entry.tags["tollgate.blessing"] == "blessed"
    assert len(entry.tags["tollgate.model_sha256"]) == 64
    assert "| roc_auc ≥ 0.6 | pass | 0.7000 |" in entry.description


def test_a_refused_candidate_is_not_registered(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("refused")
    blessing = make_blessing(pipeline, "r", "models:/m-x", blessed=False)
    with pytest.raises(NotBlessed):
        register_version(tracked, pipeline, blessing, make_training_set(pipeline, tmp_path))
    assert list_versions(tracked, pipeline.name) == []


def test_a_version_without_a_blessing_is_never_promoted(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("smuggled")
    version = register_toy(tracked, pipeline, "a", tmp_path)
    with open_client(tracked) as client:
        client.delete_model_version_tag(pipeline.name, version.version, "tollgate.blessing")
    with pytest.raises(NotBlessed):
        set_challenger(tracked, pipeline.name, version.version)
    with pytest.raises(NotBlessed):
        promote_champion(tracked, pipeline.name, version.version, "by hand")
    assert get_champion(tracked, pipeline.name) is None


def test_a_version_signed_off_for_another_file_is_not_downloaded(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("swapped")
    register_toy(tracked, pipeline, "a", tmp_path)
    with open_client(tracked) as client:
        client.set_model_version_tag(pipeline.name, "1", "tollgate.model_sha256", "0" * 64)
    with pytest.raises(UnsafeModel, match="different SHA-256"):
        download_model(tracked, "models:/swapped/1", tmp_path / "model")
    with open_client(tracked) as client:
        client.delete_model_version_tag(pipeline.name, "1", "tollgate.model_uri")
    with pytest.raises(UnsafeModel, match="by hand"):
        download_model(tracked, "models:/swapped/1", tmp_path / "model")


def test_promotion_remembers_the_previous_champion_and_repeats_harmlessly(tracked: Settings, tmp_path: Path) -> None:
    pipeline = make_pipeline("promoted")
    first = register_toy(tracked, pipeline, "a", tmp_path)
    second = register_toy(tracked, pipeline, "b", tmp_path)
    assert set_challenger(tracked, pipeline.name, "1") == get_challenger(tracked, pipeline.name) == first
    promote_champion(tracked, pipeline.name, "1", "first")
    assert get_challenger(tracked, pipeline.name) is None
    assert get_champion(tracked, pipeline.name) == first
    assert get_previous_champion(tracked, pipeline.name) is None
    for _ in range(2):
        promote_champion(tracked, pipeline.name, "2", "better")
        assert get_champion(tracked, pipeline.name) == second
        assert get_previous_champion(tracked, pipeline.name) == first
    promote_champion(tracked, pipeline.name, "1", "rolled back")
    for uri in (first.model_uri, "models:/promoted/1", "models:/promoted@champion"):
        folder = download_model(tracked, uri, tmp_path / "served" / uri[-3:])
        assert load_scorer(folder).predict(make_requests(3)).shape == (3,)
    assert first.model_uri.startswith("models:/m-")
    assert (get_champion(tracked, pipeline.name), get_previous_champion(tracked, pipeline.name)) == (first, second)
    with pytest.raises(TrackingConflict, match="no registered version '9'"):
        promote_champion(tracked, pipeline.name, "9", "?")


def test_how_a_candidates_search_ended_is_said_below_the_verdict_on_its_own_run(tracked: Settings) -> None:
    pipeline = make_pipeline("searched_verdict")
    parent = open_run(tracked, pipeline.name, "p", "p", {})
    child = open_run(tracked, pipeline.name, "p/c", "c", {SEARCH_TAG: "Trial 3 was the best."}, parent_run_id=parent)
    for _ in range(2):
        log_blessing(tracked, parent, make_blessing(pipeline, child, "models:/m-x"), {})
    notes = [read_tags(tracked, run)["mlflow.note.content"] for run in (child, parent)]
    assert notes[0] == f"{notes[1]}\n\nTrial 3 was the best."


def test_the_verdict_is_on_the_run_the_parent_and_as_a_file(tracked: Settings) -> None:
    pipeline = make_pipeline("verdict")
    parent = open_run(tracked, pipeline.name, "p", "p", {})
    child = open_run(tracked, pipeline.name, "p/c", "c", {}, parent_run_id=parent)
    blessing = make_blessing(pipeline, child, "models:/m-x", blessed=False, reasons=("a <b>bad</b> | slice",))
    for _ in range(2):
        log_blessing(
            tracked, parent, blessing, {"data docs": "http://airflow.test/docs", "Task": "http://airflow.test"}
        )
    with open_client(tracked) as client:
        for run in (parent, child):
            tags = client.get_run(run).data.tags
            assert tags["tollgate.blessing"] == "refused"
            assert (
                "\n\n[data docs](http://airflow.test/docs) · [Task](http://airflow.test)\n\n"
                in tags["mlflow.note.content"]
            )
            assert "a &lt;b&gt;bad&lt;/b&gt; \\| slice" in tags["mlflow.note.content"]
            assert {f.path for f in client.list_artifacts(run, "blessing")} == {
                "blessing/blessing.json",
                "blessing/blessing.md",
            }
