"""The best candidate wins by the declared metric; NaN never does, and where all are NaN one is still judged."""

from __future__ import annotations

import math

import pytest

from include.contracts import TrainedModel
from include.training.select import select_best


def make_model(name: str, **metrics: float) -> TrainedModel:
    return TrainedModel(name, "run", "models:/m-1", metrics, 1.0, 1.0, "p.parquet")


def test_the_direction_of_the_metric_is_respected() -> None:
    models = [make_model("a", roc_auc=0.6, brier=0.2), make_model("b", roc_auc=0.7, brier=0.3)]
    assert select_best(models, "roc_auc").candidate == "b"
    assert select_best(models, "brier").candidate == "a"


def test_of_equals_the_first_declared_wins() -> None:
    assert select_best([make_model("a", roc_auc=0.6), make_model("b", roc_auc=0.6)], "roc_auc").candidate == "a"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_or_missing_never_wins(bad: float) -> None:
    models = [make_model("a", roc_auc=bad), make_model("b", roc_auc=0.1), make_model("c")]
    assert select_best(models, "roc_auc").candidate == "b"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_where_none_is_finite_the_first_declared_is_judged(bad: float) -> None:
    assert select_best([make_model("c"), make_model("a", roc_auc=bad)], "roc_auc").candidate == "c"
    assert select_best([make_model("a", roc_auc=bad), make_model("c")], "roc_auc").candidate == "a"
