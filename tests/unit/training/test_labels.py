"""Labels are what was declared, or the training stops before anything is built on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.declaration import Label, Pipeline
from include.errors import TrainingDataInvalid
from include.training.labels import check_labels, make_labels
from tests.unit.factory import make_pipeline, make_rows

_FUNCTION = "tests.unit.toy.features.mark_late"


def _declare(**changes: Any) -> Pipeline:
    fields: dict[str, Any] = {
        "function": "features:mark_late",
        "definition": "late",
        "max_missing_share": 0.1,
        "base_rate": (0.2, 0.6),
    }
    return make_pipeline(label=Label(**{**fields, **changes}))


def test_the_declared_function_makes_the_labels(pipeline: Pipeline) -> None:
    rows = make_rows()
    rows.loc[3, "delay"] = np.nan
    labels = make_labels(pipeline, rows)
    assert labels.dtype == np.float64
    assert np.isnan(labels[3])
    assert np.nansum(labels) == (rows["delay"] > 15).sum()


@pytest.mark.parametrize(
    ("made", "measure"),
    [
        (lambda rows: (rows["delay"] > 15).astype(float).iloc[:-1], "alignment"),
        (lambda rows: (rows["delay"] > 15).astype(float).sort_index(ascending=False), "alignment"),
        (lambda rows: rows["delay"], "values"),
        (lambda rows: rows["delay"].map(lambda delay: "late"), "type"),
    ],
)
def test_a_function_that_returns_something_else_is_refused(
    made: Any, measure: str, pipeline: Pipeline, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_FUNCTION, made)
    with pytest.raises(TrainingDataInvalid) as caught:
        make_labels(pipeline, make_rows())
    assert caught.value.measure == measure


def test_nullable_booleans_are_labels_too(pipeline: Pipeline, monkeypatch: Any) -> None:
    monkeypatch.setattr(_FUNCTION, lambda rows: pd.Series([True, False, None], dtype="boolean"))
    assert make_labels(pipeline, make_rows(rows=3))[:2].tolist() == [1.0, 0.0]


def test_right_labels_pass() -> None:
    check_labels(_declare(), "2013-01", np.array([1.0, 0.0, 0.0] * 10 + [np.nan]))


@pytest.mark.parametrize(
    ("labels", "measure"),
    [
        ([1.0, 0.0, 0.0] * 10 + [np.nan] * 5, "share of missing labels"),
        ([np.nan] * 3, "share of missing labels"),
        ([], "share of missing labels"),
        ([0.0] * 9 + [1.0], "base rate"),
        ([1.0] * 9 + [0.0], "base rate"),
    ],
)
def test_labels_outside_the_declared_bounds_stop_the_training(labels: list[float], measure: str) -> None:
    with pytest.raises(TrainingDataInvalid, match="2013-07") as caught:
        check_labels(_declare(), "2013-07", np.array(labels))
    assert caught.value.measure == measure
    assert caught.value.partition == "2013-07"


def test_no_label_at_all_never_passes_even_where_missing_is_allowed() -> None:
    """A rate of nothing is not a number, and no number outside its bounds passes."""
    with pytest.raises(TrainingDataInvalid, match="base rate"):
        check_labels(_declare(max_missing_share=1.0), "2013-07", np.array([np.nan, np.nan]))
