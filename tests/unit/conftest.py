"""Fixtures of the unit tests: state in a temporary folder, and the toy pipeline of ``tests.unit.factory``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from include.declaration import Pipeline
from include.settings import Settings, load_settings
from tests.unit.factory import make_pipeline
from tests.unit.mlflow_server import mlflow_root, mlflow_uri

__all__ = ["mlflow_root", "mlflow_uri", "pipeline", "settings", "tracked"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose state, pipelines and suites all lie below ``tmp_path``; no address is one that answers."""
    return load_settings(
        {
            "TOLLGATE_HOME": str(tmp_path / "home"),
            "TOLLGATE_PIPELINES": str(tmp_path / "pipelines"),
            "TOLLGATE_GX_ROOT": str(tmp_path / "great_expectations"),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "TOLLGATE_CORES": "2",
        }
    )


@pytest.fixture
def pipeline() -> Pipeline:
    """The toy pipeline, as declared by ``make_pipeline()``."""
    return make_pipeline()


@pytest.fixture
def tracked(settings: Settings, mlflow_uri: str) -> Settings:
    """The same settings, with the session's real MLflow server; use a pipeline name of your own in each test."""
    return dataclasses.replace(settings, mlflow_uri=mlflow_uri, mlflow_public_url=mlflow_uri)
