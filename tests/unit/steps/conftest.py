"""One registered pipeline for all tests that serve it; each has a home, an endpoint and aliases of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.settings import Settings, load_settings
from tests.unit.factory import make_pipeline
from tests.unit.mlflow_server import find_free_port
from tests.unit.served_models import serve
from tests.unit.steps.declared import write_pipeline
from tests.unit.steps.live import Live, forget_aliases, register

NAME = "rolled"


@pytest.fixture(scope="session")
def three_versions(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a pipeline of which versions 1, 2 and 3 are registered."""
    folder = tmp_path_factory.mktemp("registered")
    settings = load_settings({"TOLLGATE_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": mlflow_uri})
    for number in (1, 2, 3):
        register(settings, make_pipeline(NAME), number, folder)
    return NAME


@pytest.fixture
def live(tracked: Settings, three_versions: str, tmp_path: Path) -> Iterator[Live]:
    """The endpoint is up and nothing is deployed."""
    settings = dataclasses.replace(tracked, endpoint_port=find_free_port())
    forget_aliases(settings, three_versions)
    pipeline = write_pipeline(settings, three_versions)
    arguments = ("--pipeline", three_versions)
    with serve(tmp_path / "run", *arguments, home=settings.home, port=settings.endpoint_port) as server:
        yield Live(settings, pipeline, server)
