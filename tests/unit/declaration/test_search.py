"""A search's mistakes are named where it is declared."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from include.declaration import BlessingRules, Candidate, Choices, FloatRange, IntRange, Search, Threshold
from tests.unit.factory import make_pipeline

DEPTH = IntRange(low=2, high=8)


def declare(**fields: Any) -> Search:
    return Search(**{"method": "random", "trials": 4, "space": {"depth": DEPTH}, **fields})


@pytest.mark.parametrize(
    ("part", "fields", "complaint"),
    [
        (FloatRange, {"low": 1.0, "high": 1.0}, "low 1 is not below high 1"),
        (FloatRange, {"low": 0.0, "high": 1.0, "log": True}, "a low above 0"),
        (FloatRange, {"low": 0.0, "high": float("inf")}, "finite"),
        (FloatRange, {"low": 0.0, "high": 1.0, "start": 2.0}, "start 2 is not in the range"),
        (IntRange, {"low": 3, "high": 2}, "low 3 is not below high 2"),
        (IntRange, {"low": 1, "high": 8, "step": 2}, "steps of 2 from 1 do not end at 8"),
        (IntRange, {"low": 2, "high": 8, "step": 2, "log": True}, "a step or is logarithmic"),
        (IntRange, {"low": 2, "high": 8, "step": 2, "start": 3}, "start 3 is not in the range"),
        (IntRange, {"low": 0.5, "high": 8}, "valid integer"),
        (Choices, {"values": ("a",)}, "at least 2"),
        (Choices, {"values": (1, True)}, "two values are equal"),
        (Choices, {"values": ("a", "b"), "start": "c"}, "start 'c' is not one of the values"),
        (declare, {"space": {}}, "nothing to search for"),
        (declare, {"space": {"depth": (2, 8)}}, r"depth is \(2, 8\); give it a FloatRange, an IntRange or Choices"),
        (declare, {"metric": "base_rate"}, "'base_rate' says of no model that it is better"),
        (declare, {"metric": "auc"}, "there are roc_auc"),
        (declare, {"at_once": 5}, "5 at once are more than 4 trials"),
        (declare, {"trials": 0}, "greater than or equal to 1"),
        (declare, {"method": "grid"}, "'random' or 'bayesian'"),
        (declare, {"validation_share": 0.9}, "less than or equal to 0.5"),
    ],
)
def test_a_wrong_search_is_refused(part: Any, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        part(**fields)


def test_a_parameter_is_declared_or_searched_for_and_not_both() -> None:
    with pytest.raises(ValidationError, match="depth in both parameters and search"):
        Candidate(name="trees", kind="boosted_trees", parameters={"depth": 3}, search=declare())


def test_without_a_metric_of_its_own_it_needs_a_primary_metric_that_can_be_better() -> None:
    def build(metric: str | None) -> None:
        training = make_pipeline().training
        searching = Candidate(name="trees", kind="boosted_trees", search=declare(metric=metric))
        make_pipeline(
            training=training.model_copy(update={"candidates": (searching,)}),
            blessing=BlessingRules(
                primary_metric="mean_prediction",
                value={"roc_auc": Threshold(minimum=0.5)},
                predictions_suite="predictions",
            ),
        )

    build("brier")
    with pytest.raises(ValidationError, match="the search of trees needs a metric of its own: 'mean_prediction'"):
        build(None)


def test_a_search_begins_at_what_is_declared_or_in_the_middle() -> None:
    space = {
        "rate": FloatRange(low=0.01, high=1.0, log=True),
        "share": FloatRange(low=0.0, high=1.0),
        "leaves": IntRange(low=10, high=1000, log=True),
        "steps": IntRange(low=10, high=50, step=20),
        "depth": IntRange(low=2, high=8, start=3),
        "weight": Choices(values=("balanced", None)),
        "kind": Choices(values=("a", "b"), start="b"),
    }
    begin = declare(space=space).begin()
    assert begin == {
        "rate": pytest.approx(0.1),
        "share": 0.5,
        "leaves": 100,
        "steps": 30,
        "depth": 3,
        "weight": "balanced",
        "kind": "b",
    }
    assert all(space[name].holds(value) for name, value in begin.items())


@pytest.mark.parametrize(
    ("where", "inside", "outside"),
    [
        (FloatRange(low=0.0, high=1.0), (0, 0.5, 1), (1.1, "0.5", True, None)),
        (IntRange(low=1, high=7, step=3), (1, 4, 7), (2, 4.0, 10, True)),
        (Choices(values=(1, "a", None)), (1, "a", None), (True, 1.0, "b")),
    ],
)
def test_what_a_trial_could_have_had_is_known(where: Any, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    assert [where.holds(value) for value in inside] == [True] * len(inside)
    assert [where.holds(value) for value in outside] == [False] * len(outside)
