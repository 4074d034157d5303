"""Holdout predictions keep every row in order, for the candidate and the champion alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from include.declaration import Pipeline
from include.errors import UnsafeModel
from include.settings import Settings
from include.training.evaluate import read_rows, write_predictions
from include.training.fit import fit_scorer
from include.training.score import score_holdout
from tests.unit.training.sets import prepare_toy


def test_the_champions_predictions_are_on_the_same_rows(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    training_set = prepare_toy(settings, pipeline, tmp_path)
    scorer = fit_scorer(pipeline, training_set, "linear", 1)
    own = tmp_path / "own" / "linear.parquet"
    labels, predictions = write_predictions(training_set, scorer, own)
    (tmp_path / "model").mkdir()
    skops.io.dump(scorer, tmp_path / "model" / "model.skops")
    path = score_holdout(training_set, tmp_path / "model", "champion-1")
    assert Path(path).name == "champion-1.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(own))
    frame = pd.read_parquet(own)
    holdout = pd.read_parquet(Path(training_set.folder) / "holdout.parquet")
    assert list(frame.columns) == [*pipeline.request.columns, "label", "event_day", "prediction"] or set(
        frame.columns
    ) == {*pipeline.request.columns, "label", "event_day", "prediction"}
    assert frame["event_day"].tolist() == holdout["event_day"].tolist()
    assert np.array_equal(frame["label"], labels)
    assert np.array_equal(frame["prediction"], predictions)
    assert len(read_rows(training_set, "holdout")[0].columns) == len(pipeline.request.columns)


def test_a_model_of_somebody_else_is_not_scored(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    training_set = prepare_toy(settings, pipeline, tmp_path)
    (tmp_path / "model.skops").write_bytes(b"not a model")
    with pytest.raises(UnsafeModel):
        score_holdout(training_set, tmp_path, "champion-1")
    assert not list(Path(training_set.folder).glob("predictions/*"))
