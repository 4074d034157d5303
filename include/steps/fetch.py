"""What a version's steps need of it from MLflow, on this machine."""

from __future__ import annotations

from pathlib import Path

from include.contracts import ModelVersion
from include.declaration.models import Pipeline
from include.settings import Settings
from include.tracking.models import download_model, download_predictions


def fetch_model(settings: Settings, pipeline: Pipeline, version: ModelVersion) -> Path:
    """The version's files, downloaded once."""
    target = settings.work_root / pipeline.name / "models" / version.version
    return download_model(settings, version.model_uri, target)


def fetch_predictions(settings: Settings, pipeline: Pipeline, version: ModelVersion) -> str:
    """The version's own holdout rows and scores, as logged with its run."""
    target = settings.work_root / pipeline.name / "predictions" / version.version
    return str(download_predictions(settings, version.run_id, target))
