"""A fitted scorer, a settings object with a free endpoint port, and the endpoint's own process."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from include.contracts import DAY_COLUMN, LABEL_COLUMN, PREDICTION_COLUMN
from include.declaration import Deployment, Pipeline
from include.scoring.scorer import Scorer
from include.settings import Settings
from tests.unit.factory import make_pipeline
from tests.unit.served_models import Server, fit_scorer, make_requests, save_model, serve


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    return fit_scorer(make_pipeline())


@pytest.fixture(scope="session")
def other_scorer() -> Scorer:
    return fit_scorer(make_pipeline(), seed=2)


@pytest.fixture
def pipeline() -> Pipeline:
    # Limits that only a machine busy with other things comes near; a test about one sets its own.
    return make_pipeline(deployment=Deployment(sandbox_rows=30, sandbox_seconds=90, swap_seconds=60))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The shared settings with an endpoint port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return dataclasses.replace(settings, endpoint_port=port)


@pytest.fixture
def start_endpoint(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start the endpoint's process, as the supervisor does; every one is stopped at the end."""
    running = []

    def start() -> Server:
        context = serve(tmp_path / "run", "--pipeline", "parcels", home=settings.home, port=settings.endpoint_port)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def model_dir(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> Path:
    return save_model(pipeline, scorer, tmp_path / "download" / "1")


@pytest.fixture
def other_dir(pipeline: Pipeline, other_scorer: Scorer, tmp_path: Path) -> Path:
    return save_model(pipeline, other_scorer, tmp_path / "download" / "2")


@pytest.fixture
def broken_dir(other_dir: Path) -> Path:
    """A model that no endpoint can load."""
    (other_dir / "model.skops").write_bytes(b"nothing")
    return other_dir


def write_predictions(pipeline: Pipeline, scorer: Scorer, path: Path, shift: float = 0.0) -> str:
    """A holdout's predictions file, with what training adds beside the request and the score."""
    frame = make_requests(pipeline, 120, seed=8)
    frame[PREDICTION_COLUMN] = scorer.predict(frame) + shift
    frame[LABEL_COLUMN] = 0.0
    frame[DAY_COLUMN] = "2013-01-01"
    frame.to_parquet(path, index=False)
    return str(path)


@pytest.fixture
def predictions(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> str:
    return write_predictions(pipeline, scorer, tmp_path / "predictions.parquet")
