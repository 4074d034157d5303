"""The latency gate with real serving processes: what passes, what is stopped, and that nothing is left running."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.declaration import Deployment, LatencyGate, Pipeline
from include.deployment.local.contenders import build_bodies, list_changes, read_contender
from include.deployment.local.latency import Measurement, measure_latency
from include.deployment.local.replay import read_stored_rows
from include.errors import ChampionUnusable, LatencyUnmeasured, SandboxFailed
from include.scoring.scorer import Scorer
from include.settings import Settings
from tests.unit.deployment.test_sandbox import list_sandboxes
from tests.unit.served_models import save_compiled, save_model, wait_for


def declare(pipeline: Pipeline, **gate: Any) -> Pipeline:
    latency = LatencyGate(**{"samples": 200, **gate})
    return pipeline.model_copy(update={"deployment": Deployment(sandbox_seconds=120, latency=latency)})


@pytest.fixture
def fast(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> Path:
    """A model with a compiled form: some 0.2 ms a request."""
    return save_compiled(pipeline, scorer, tmp_path / "download" / "fast")


@pytest.fixture
def slow(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> Path:
    """The same model without one: scikit-learn takes several ms for the same answers."""
    return save_model(pipeline, scorer, tmp_path / "download" / "slow")


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert list_sandboxes(tmp_path / "download" / "fast") == list_sandboxes(tmp_path / "download" / "slow") == []


def list_failed(measured: Measurement) -> list[str]:
    return [check.name for check in measured.report.checks if check.status != "pass"]


def test_an_equal_candidate_passes_with_all_figures(
    settings: Settings, pipeline: Pipeline, fast: Path, predictions: str
) -> None:
    gate = declare(pipeline, p99_ms=10_000)
    measured = measure_latency(settings, gate, "4", fast, ("3", fast), predictions)
    report = measured.report
    assert report.passed, report.reasons
    assert report.champion is not None
    for figures in (report.candidate, report.champion):
        assert figures.requests == 200
        assert 0 < figures.p50_ms <= figures.p95_ms <= figures.p99_ms
        assert figures.requests_per_second > 1
        assert figures.scoring_path == "compiled"
        assert figures.cpu_ms is not None
        assert 0.01 < figures.cpu_ms < 20
    (ratio,) = (check for check in report.checks if check.kind == "change")
    assert ratio.low is not None
    assert ratio.high is not None
    assert 0 < ratio.low <= ratio.high
    assert {version: sum(map(len, blocks)) for version, blocks in measured.times.items()} == {"4": 200, "3": 200}


def test_a_slower_candidate_is_a_regression_even_without_an_objective(
    settings: Settings, pipeline: Pipeline, fast: Path, slow: Path, predictions: str
) -> None:
    measured = measure_latency(settings, declare(pipeline), "4", slow, ("3", fast), predictions)
    assert not measured.report.passed
    assert list_failed(measured) == ["p50 ÷ version 3's"]
    assert "times version 3's" in measured.report.reasons[0]
    assert measured.report.candidate.scoring_path == "pipeline"


def test_the_objective_alone_stops_it_where_there_is_no_champion(
    settings: Settings, pipeline: Pipeline, slow: Path, predictions: str
) -> None:
    measured = measure_latency(settings, declare(pipeline, p50_ms=0.5, p99_ms=1e5), "4", slow, None, predictions)
    assert list_failed(measured) == ["p50 ≤ 0.5 ms"]
    assert measured.report.champion is None
    assert measured.report.changed == ("There is no champion to compare with.",)


def test_too_few_answers_in_its_time_never_pass(
    settings: Settings, pipeline: Pipeline, slow: Path, predictions: str
) -> None:
    gate = declare(pipeline, samples=100_000, max_seconds=2.0)
    measured = measure_latency(settings, gate, "4", slow, None, predictions)
    assert list_failed(measured) == ["answers of version 4"]
    assert measured.report.candidate.requests < 100_000


def test_a_champion_that_cannot_be_loaded_or_is_missing_stops_it_with_the_way_past(
    settings: Settings, pipeline: Pipeline, fast: Path, slow: Path, predictions: str, tmp_path: Path
) -> None:
    (slow / "model.skops").write_bytes(b"nothing")
    for champion in (slow, tmp_path / "nowhere"):
        with pytest.raises(ChampionUnusable, match="max_ratio to None") as caught:
            measure_latency(settings, declare(pipeline), "4", fast, ("3", champion), predictions)
        assert caught.value.version == "3"
        assert not caught.value.retryable
    assert measure_latency(
        settings, declare(pipeline, max_ratio=None), "4", fast, ("3", slow), predictions
    ).report.passed


def test_a_version_that_refuses_the_rows_is_no_figure_but_an_error(
    settings: Settings, pipeline: Pipeline, scorer: Scorer, fast: Path, predictions: str, tmp_path: Path
) -> None:
    request: dict[str, Any] = {
        name: {"type": c.type, "required": c.required} for name, c in pipeline.request.columns.items()
    }
    request["speed"] = {"type": "number", "required": True}
    picky = save_model(pipeline, scorer, tmp_path / "download" / "slow", request=request)
    with pytest.raises(ChampionUnusable, match=r"answered 400.*speed"):
        measure_latency(settings, declare(pipeline), "4", fast, ("3", picky), predictions)
    with pytest.raises(SandboxFailed, match=r"Version 3 failed under the latency gate's load.*speed"):
        measure_latency(settings, declare(pipeline), "3", picky, None, predictions)


def test_a_champion_that_refuses_its_own_predictions_does_not_stand_in_the_way(
    settings: Settings, pipeline: Pipeline, scorer: Scorer, fast: Path, predictions: str, tmp_path: Path
) -> None:
    never = [{"name": "never", "maximum": 0.0, "action": "champion"}]
    refusing = save_model(pipeline, scorer, tmp_path / "download" / "slow", prediction_rules=never)
    measured = measure_latency(settings, declare(pipeline), "4", fast, ("3", refusing), predictions)
    assert measured.report.passed, measured.report.reasons
    with pytest.raises(SandboxFailed, match="PREDICTION_REFUSED"):
        measure_latency(settings, declare(pipeline), "3", refusing, None, predictions)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["fast", "slow"])
def test_a_server_killed_in_the_middle_is_worth_another_try(
    settings: Settings, pipeline: Pipeline, fast: Path, slow: Path, predictions: str, killed: str
) -> None:
    failures: list[BaseException] = []

    def measure() -> None:
        try:
            gate = declare(pipeline, samples=50_000)
            measure_latency(settings, gate, "4", fast, ("3", slow), predictions)
        except BaseException as error:
            failures.append(error)

    # Their parent's thread must live as long as they do, which this one does.
    task = threading.Thread(target=measure)
    task.start()
    folder = {"fast": fast, "slow": slow}[killed]
    (process,) = wait_for(lambda: list_sandboxes(folder), 60)
    # In the middle: only the load keeps a connection open.
    wait_for(lambda: _count_connections(process) > 0, 90)
    os.kill(process, signal.SIGKILL)
    task.join(60)
    (error,) = failures
    assert isinstance(error, LatencyUnmeasured)
    assert error.retryable
    assert error.version == {"fast": "4", "slow": "3"}[killed]
    assert "exit code -9" in str(error)


def _count_connections(pid: int) -> int:
    import psutil

    return sum(each.status == "ESTABLISHED" for each in psutil.Process(pid).net_connections())


def test_what_changed_against_the_champion_is_said(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> None:
    facts = {"training_set_digest": "a" * 64, "features": ["hour", "weight"], "estimator": "LogisticRegression"}
    new = {**facts, "training_set_digest": "b" * 64, "features": ["hour", "depot"], "estimator": "LinearSVC"}
    champion = read_contender("3", save_model(pipeline, scorer, tmp_path / "3", **facts))
    candidate = read_contender("4", save_model(pipeline, scorer, tmp_path / "4", **new))
    assert list_changes(candidate, champion) == (
        "Training data: 2013-01 (bbbbbbbbbbbb) instead of 2013-01 (aaaaaaaaaaaa).",
        "Features: added depot; removed weight.",
        "Model type: LinearSVC instead of LogisticRegression.",
    )
    assert list_changes(champion, champion) == ("Training data, features and model type are the same.",)


def test_a_champion_is_not_asked_a_column_that_it_does_not_know(
    pipeline: Pipeline, scorer: Scorer, predictions: str, tmp_path: Path
) -> None:
    import json

    stored = read_stored_rows(pipeline, predictions, 10).requests
    whole = save_model(pipeline, scorer, tmp_path / "4")
    request = {name: {"type": c.type} for name, c in pipeline.request.columns.items() if name != "depot"}
    older = save_model(pipeline, scorer, tmp_path / "3", request=request)
    asked = [build_bodies(read_contender("1", folder), stored, 5) for folder in (whole, older)]
    first, second = (json.loads(bodies[0])["dataframe_split"] for bodies in asked)
    assert first["columns"] == list(pipeline.request.columns)
    assert second["columns"] == [name for name in pipeline.request.columns if name != "depot"]
    assert len(asked[0]) == len(asked[1]) == 2
    assert [len(first["data"]), len(build_bodies(read_contender("1", whole), stored, 25))] == [5, 1]
    (body,) = build_bodies(read_contender("1", whole), stored, 25)
    assert len(json.loads(body)["dataframe_split"]["data"]) == 25
