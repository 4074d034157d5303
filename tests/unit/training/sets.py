"""A prepared training set of the toy pipeline: January and February to fit, March held out."""

from __future__ import annotations

from pathlib import Path

from include.contracts import TrainingSet
from include.declaration import Pipeline
from include.settings import Settings
from include.training.dataset import prepare_training_set
from tests.unit.factory import make_rows
from tests.unit.training.windows import make_window


def prepare_toy(settings: Settings, pipeline: Pipeline, folder: Path) -> TrainingSet:
    frames = {month: make_rows(month) for month in ("2013-01", "2013-02", "2013-03")}
    return prepare_training_set(settings, pipeline, make_window(folder / "published", pipeline.name, frames))
