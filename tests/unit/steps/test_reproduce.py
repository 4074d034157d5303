"""A registered version is made again to the same figures, also by `mlflow run`; what changed since is named."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.contracts import Blessing, Check, TrainedModel, TrainingSet
from include.data.window import choose_window
from include.declaration import Pipeline
from include.errors import RefreshMissing, TrackingConflict
from include.scoring.scorer import Scorer
from include.settings import PROJECT_ROOT, Settings
from include.steps.housekeeping import UNUSED_SECONDS, prune_files
from include.steps.reproduce import main, reproduce_version
from include.tracking.registry import register_version
from include.tracking.runs import open_run
from include.training.dataset import prepare_training_set
from include.training.fit import fit_candidate, fit_scorer
from tests.unit.steps.declared import age_files, publish_month, write_pipeline


def register_one(settings: Settings, name: str, folder: Path) -> Pipeline:
    pipeline = write_pipeline(settings, name)
    for month in ("2013-01", "2013-02", "2013-03"):
        publish_month(settings, pipeline, month, folder)
    window = choose_window(settings, pipeline, "2013-03", "test")
    training_set = prepare_training_set(settings, pipeline, window)
    run_id = open_run(settings, pipeline.name, "dag/run/trees", "trees", {})
    trained = fit_candidate(settings, pipeline, training_set, "trees", run_id, threads=1)
    blessing = make_blessing_of(pipeline, trained, training_set)
    assert register_version(settings, pipeline, blessing, training_set).version == "1"
    return pipeline


def make_blessing_of(pipeline: Pipeline, trained: TrainedModel, training_set: TrainingSet) -> Blessing:
    return Blessing(
        pipeline=pipeline.name,
        partition=training_set.partition,
        candidate=trained.candidate,
        candidate_run_id=trained.run_id,
        candidate_model_uri=trained.model_uri,
        champion_version=None,
        blessed=True,
        checks=(Check("roc_auc ≥ 0.6", "value", "pass", trained.metrics["roc_auc"], 0.6),),
        reasons=("Good.",),
        training_set_digest=training_set.digest,
        window_digest=training_set.window_digest,
    )


def make_environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "TOLLGATE_HOME": str(settings.home),
        "TOLLGATE_PIPELINES": str(settings.pipelines_path),
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TOLLGATE_CORES": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def test_a_version_is_made_again_to_the_same_figures_and_a_change_is_named(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = register_one(tracked, "again", tmp_path)
    # Today's candidate is another one, and a newer refresh has landed: neither matters to the registered version.
    changed = pipeline.training.model_copy(update={"seed": 1, "candidates": pipeline.training.candidates[1:]})
    publish_month(tracked, pipeline, "2013-04", tmp_path)
    # Housekeeping has removed everything that it ever removes.
    age_files(tracked.home, UNUSED_SECONDS + 60)
    assert "removed 1 unused" in prune_files(tracked, lambda _: False)
    result = reproduce_version(tracked, pipeline.model_copy(update={"training": changed}), "1")
    assert result.differences == ()
    assert result.found["roc_auc"] == result.logged["roc_auc"] > 0.7

    for name, value in make_environment(tracked).items():
        monkeypatch.setenv(name, value)
    assert main(["--pipeline", "again", "--version", "1"]) == 0
    assert "again version 1 is reproduced." in capsys.readouterr().out
    (Path(pipeline.folder) / "features.py").write_text(
        "from tests.unit.toy.features import *  # noqa: F403\n\n\ndef unused(): ...\n"
    )
    assert main(["--pipeline", "again", "--version", "1"]) == 1
    assert "The training set is" in capsys.readouterr().err
    assert main(["--pipeline", "again", "--version", "7"]) == 1
    assert "no registered version '7'" in capsys.readouterr().err


def test_many_partitions_and_another_machine_make_the_same_model(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a year of days is more than a parameter of MLflow holds, and sums follow the number of threads."""
    monkeypatch.setattr("include.tracking.entries._PARAM_LENGTH", 90)
    pipeline = register_one(tracked, "many", tmp_path)
    used: list[int] = []

    def fit_watched(pipeline: Pipeline, training_set: TrainingSet, candidate: str, threads: int) -> Scorer:
        used.append(threads)
        return fit_scorer(pipeline, training_set, candidate, threads)

    monkeypatch.setattr("include.steps.reproduce.fit_scorer", fit_watched)
    assert reproduce_version(dataclasses.replace(tracked, cores=3), pipeline, "1").differences == ()
    assert used == [1]


def test_a_partition_version_that_is_gone_is_named(tracked: Settings, tmp_path: Path) -> None:
    pipeline = register_one(tracked, "gone", tmp_path)
    elsewhere = dataclasses.replace(tracked, home=tmp_path / "elsewhere")
    with pytest.raises(RefreshMissing, match="partition 2013-01"):
        reproduce_version(elsewhere, pipeline, "1")
    with pytest.raises(TrackingConflict, match="no registered version '2'"):
        reproduce_version(tracked, pipeline, "2")


@pytest.mark.slow
def test_mlflow_run_reproduces_a_version(tracked: Settings, tmp_path: Path) -> None:
    register_one(tracked, "project", tmp_path)
    command = [str(Path(sys.executable).parent / "mlflow"), "run", ".", "--env-manager", "local"]
    command += ["--experiment-name", "projects", "-P", "pipeline=project", "-P", "version=1"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=make_environment(tracked), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "project version 1 is reproduced." in done.stdout
