"""docs/your-own-data.md, followed word by word: its blocks make a pipeline that is gated, trained and blessed."""

from __future__ import annotations

import importlib
import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.blessing.bless import bless_candidate
from include.contracts import RunIdentity, TrainedModel
from include.data.landing import find_arrival
from include.data.window import choose_window
from include.declaration.loader import get_pipeline
from include.gates.check import check_suites
from include.gates.gate import run_frame_gate
from include.settings import PROJECT_ROOT, Settings, load_settings
from include.steps.refresh import gate_refresh, publish_refresh, take_in_arrival
from include.training.dataset import prepare_training_set
from include.training.evaluate import evaluate_predictions, write_predictions
from include.training.fit import fit_scorer

PAGE = (PROJECT_ROOT / "docs" / "your-own-data.md").read_text()
BLOCKS = re.findall(r"^`([\w/.]+)`\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WHO = RunIdentity("bikes.data_refresh", "by hand", "test", 1, -1, "http://airflow.test")


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A project in which somebody has done what the page says, up to the running."""
    shutil.copytree(PROJECT_ROOT / "great_expectations", tmp_path / "great_expectations")
    for name, content in BLOCKS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "include" / "pipelines" / "bikes" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    runpy.run_path("make_bikes.py")
    yield load_settings(
        {
            "TOLLGATE_HOME": str(tmp_path / ".tollgate"),
            "TOLLGATE_PIPELINES": str(tmp_path / "include" / "pipelines"),
            "TOLLGATE_GX_ROOT": str(tmp_path / "great_expectations"),
        }
    )
    for name in [name for name in sys.modules if name.startswith("tollgate_pipelines")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def test_the_page_makes_a_pipeline_whose_first_months_pass_every_gate(followed: Settings) -> None:
    assert len(BLOCKS) == 6
    pipeline = get_pipeline(followed, "bikes")
    assert check_suites(followed)[0] == []
    for month in ("2024-01", "2024-02"):
        target = followed.landing_root / "bikes" / f"{month}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(f"bikes/{month}.csv", target)
        target.with_name(f"{target.name}.done").touch()
        arrival = find_arrival(followed, pipeline, month)
        refresh = take_in_arrival(followed, pipeline, arrival, WHO)
        report = gate_refresh(followed, pipeline, refresh, arrival, WHO)
        published = publish_refresh(followed, pipeline, refresh, arrival, report, WHO)
        assert (published.verdict, published.rows) == ("pass", 4000)
    window = choose_window(followed, pipeline, "2024-02", "test")
    training_set = prepare_training_set(followed, pipeline, window)
    features, suite = Path(training_set.folder) / "features.parquet", pipeline.training.features_suite
    assert run_frame_gate(followed, pipeline, "features", suite, {}, str(features), "2024-02").verdict == "pass"
    for candidate in pipeline.training.candidates:
        scorer = fit_scorer(pipeline, training_set, candidate.name, threads=1)
        path = Path(training_set.folder) / f"{candidate.name}.parquet"
        labels, predictions = write_predictions(training_set, scorer, path)
        rules = run_frame_gate(followed, pipeline, "predictions", "bikes_predictions", {}, str(path), "2024-02")
        metrics = evaluate_predictions(labels, predictions)
        trained = TrainedModel(candidate.name, "run", "models:/m", metrics, 0.0, 0.0, str(path))
        assert bless_candidate(pipeline, training_set, trained, None, None, rules).blessed, candidate.name


def test_the_request_of_the_page_fits_the_declaration(followed: Settings) -> None:
    (request,) = re.findall(r"dataframe_records\": \[\s*(\{.*?\})\]", PAGE, re.DOTALL)
    asked = set(re.findall(r'"(\w+)":', request))
    assert asked == set(get_pipeline(followed, "bikes").request.columns)
