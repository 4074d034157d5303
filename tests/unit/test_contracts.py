"""Contracts: what crosses between tasks survives JSON unchanged, and what does not fit fails at once."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from include import contracts
from include.contracts import Arrival, Check, GateReport, RuleFinding, TrainedModel, Window, pack, unpack

KINDS = [kind for kind in vars(contracts).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


def make_sample(hint: Any) -> Any:
    """A value of a contract's field type."""
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{field.name: make_sample(hints[field.name]) for field in dataclasses.fields(hint)})  # type: ignore[operator]
    if hint in (str, int, float, bool):
        return {str: "tëxt", int: 3, float: 0.25, bool: True}[hint]
    origin, inside = get_origin(hint), get_args(hint)
    if origin is tuple:
        return (make_sample(inside[0]),)
    if origin is not None and issubclass_safe(origin, dict):
        return {"a": make_sample(inside[1])}
    return make_sample(inside[0]) if isinstance(inside[0], type) else inside[0]


def issubclass_safe(kind: Any, parent: type) -> bool:
    """Whether a generic's origin is a mapping."""
    return isinstance(kind, type) and (issubclass(kind, parent) or kind.__name__ == "Mapping")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_contract_survives_json(kind: type) -> None:
    value = make_sample(kind)
    assert unpack(kind, json.loads(json.dumps(pack(value)))) == value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_contract_is_frozen_and_documented(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert not kind.__doc__.startswith(f"{kind.__name__}("), "the docstring is the generated one"


def test_wrong_type_names_the_field() -> None:
    packed = pack(Arrival("p", "2013-01", "/x", 1, 2))
    with pytest.raises(msgspec.ValidationError, match=r"\$\.size"):
        unpack(Arrival, {**packed, "size": "big"})


def test_missing_field_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="digest"):
        unpack(Window, {"pipeline": "p", "key": "k", "partitions": []})


def test_verdict_that_is_none_of_the_three_is_refused() -> None:
    packed = pack(make_sample(GateReport))
    with pytest.raises(msgspec.ValidationError, match="verdict"):
        unpack(GateReport, {**packed, "verdict": "fine"})


def test_number_that_is_not_finite_is_not_turned_into_a_pass() -> None:
    """NaN arrives as NaN; null, which is what some JSON writers make of it, may not be a metric."""
    model = TrainedModel("c", "r", "u", {"roc_auc": math.nan}, 1.0, 1.0, "p")
    packed = pack(model)
    assert math.isnan(unpack(TrainedModel, packed).metrics["roc_auc"])
    with pytest.raises(msgspec.ValidationError, match="metrics"):
        unpack(TrainedModel, {**packed, "metrics": {"roc_auc": None}})


def test_list_of_contracts_packs_whole() -> None:
    finding = RuleFinding("r", "failed", "critical", examples=("<b>",))
    assert unpack(list[RuleFinding], pack([finding, finding])) == [finding, finding]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 0.5])
def test_a_number_that_json_does_not_know_crosses_tasks_as_json(value: float) -> None:
    check = Check("roc_auc", "value", "error", observed=value)
    packed = json.loads(json.dumps(pack(check), allow_nan=False))
    observed = unpack(Check, packed).observed
    assert observed is not None
    assert observed == value or (math.isnan(observed) and math.isnan(value))
