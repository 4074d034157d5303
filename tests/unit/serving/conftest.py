"""One fitted scorer and one server for all tests of this folder, and an endpoint's folder for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.scoring.scorer import Scorer
from tests.unit.factory import make_pipeline
from tests.unit.served_models import Server, fit_scorer, save_model, serve


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    return fit_scorer(make_pipeline())


@pytest.fixture(scope="session")
def server(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one model directory, shared by the tests that change nothing."""
    root = tmp_path_factory.mktemp("served")
    model = save_model(make_pipeline(), scorer, root / "model")
    with serve(root / "run", "--model-dir", str(model), "--model-version", "7") as running:
        running.wait_ready()
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The endpoint folder of the toy pipeline below a TOLLGATE_HOME."""
    path = tmp_path / "home" / "serving" / "parcels"
    path.mkdir(parents=True)
    return path
