"""The emulator's arithmetic: when an alarm rings, in which steps traffic moves, what a request may hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from moto.cloudwatch.models import MetricDatum

from config.sagemaker_emulator.alarms import decide_state
from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.formulas import compute_formula
from config.sagemaker_emulator.metric_statistics import compute_statistic
from config.sagemaker_emulator.metrics import ValuesDatum
from config.sagemaker_emulator.refusals import Refusal
from config.sagemaker_emulator.settings import load_emulator_settings
from config.sagemaker_emulator.shapes import check_request
from config.sagemaker_emulator.shifting import read_plan
from include.errors import SettingsError
from include.settings import PROJECT_ROOT


def make_alarm(**more: Any) -> Any:
    alarm = {
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 5,
        "evaluation_periods": 3,
        "datapoints_to_alarm": None,
        "treat_missing_data": None,
    }
    return SimpleNamespace(**{**alarm, **more})


@pytest.mark.parametrize(
    ("values", "more", "state"),
    [
        ([6, 7, 8], {}, "ALARM"),
        ([6, 5, 8], {}, "OK"),
        ([6, 5, 8], {"datapoints_to_alarm": 2}, "ALARM"),
        ([6, None, 8], {}, "OK"),
        ([6, None, 8], {"treat_missing_data": "breaching"}, "ALARM"),
        ([None, None, None], {}, "INSUFFICIENT_DATA"),
        ([None, None, None], {"treat_missing_data": "notBreaching"}, "OK"),
        ([None, None, None], {"treat_missing_data": "ignore"}, None),
        ([None, None, None], {"treat_missing_data": "breaching"}, "ALARM"),
        ([5, 5, 5], {"comparison_operator": "GreaterThanOrEqualToThreshold"}, "ALARM"),
        ([1, 2, 3], {"comparison_operator": "LessThanThreshold"}, "ALARM"),
    ],
)
def test_the_state_follows_from_the_periods(values: list[float | None], more: dict[str, Any], state: str) -> None:
    assert decide_state(values, make_alarm(**more)) == state


def test_statistics_are_of_single_values_and_of_collected_ones() -> None:
    now = read_now()
    data = [
        MetricDatum("AWS/SageMaker", "ModelLatency", 1.0, [], now),
        ValuesDatum("ModelLatency", [2.0, 3.0, 10.0], [], now),
    ]
    names = ("Sum", "SampleCount", "Average", "Minimum", "Maximum", "p50", "p99")
    assert [compute_statistic(name, data) for name in names] == [16.0, 4.0, 4.0, 1.0, 10.0, 2.0, 10.0]
    assert compute_statistic("Sum", []) is None


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("IF(calls >= 20, errors / calls, 0)", 0.25),
        ("IF(calls > 40 OR errors > 100, 1, 0)", 0.0),
        ("100 * errors / calls", 25.0),
        ("FILL(nothing, 7) + 1", 8.0),
        ("nothing + 1", None),
        ("errors / (calls - 40)", None),
    ],
)
def test_metric_math_of_alarms(formula: str, value: float | None) -> None:
    assert compute_formula(formula, {"calls": 40.0, "errors": 10.0, "nothing": None}) == value


def test_metric_math_that_is_not_known_is_refused() -> None:
    with pytest.raises(Refusal, match="ANOMALY_DETECTION_BAND"):
        compute_formula("ANOMALY_DETECTION_BAND(m1, 2)", {"m1": 1.0})


def build_policy(kind: str, **more: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": 60, **more}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 30}}


def test_shares_are_of_whole_instances() -> None:
    ten = {"Type": "CAPACITY_PERCENT", "Value": 10}
    third = {"Type": "CAPACITY_PERCENT", "Value": 33}
    assert read_plan({}, 1).shares == (1.0,)
    assert read_plan(build_policy("CANARY", CanarySize=ten), 10).shares == (0.1, 1.0)
    assert read_plan(build_policy("CANARY", CanarySize=ten), 2).shares == (0.5, 1.0)
    assert read_plan(build_policy("LINEAR", LinearStepSize=third), 4).shares == (0.5, 1.0)
    one = {"Type": "INSTANCE_COUNT", "Value": 1}
    assert read_plan(build_policy("LINEAR", LinearStepSize=one), 3).shares == pytest.approx((1 / 3, 2 / 3, 1.0))


def test_a_canary_of_more_than_half_the_fleet_is_refused() -> None:
    with pytest.raises(Refusal, match="50%"):
        read_plan(build_policy("CANARY", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 10}), 1)


def test_requests_are_held_to_the_service_model() -> None:
    with pytest.raises(Refusal) as caught:
        check_request("CreateEndpoint", {"EndpointName": "a" * 64, "EndpointConfigName": "no_underscores"})
    assert caught.value.code == "ValidationException"
    assert "2 validation errors" in caught.value.message or "3 validation errors" in caught.value.message
    assert "'endpointName'" in caught.value.message
    assert "'endpointConfigName'" in caught.value.message
    check_request("CreateEndpoint", {"EndpointName": "a", "EndpointConfigName": "b-1"})


def test_a_setting_that_is_no_number_is_named() -> None:
    with pytest.raises(SettingsError, match="TOLLGATE_EMULATOR_TIME_SCALE"):
        load_emulator_settings({"TOLLGATE_EMULATOR_TIME_SCALE": "fast"})


def test_production_code_does_not_know_that_the_emulator_exists() -> None:
    knowing = [
        path.relative_to(PROJECT_ROOT)
        for folder in ("include", "dags", "plugins", "great_expectations")
        for path in (PROJECT_ROOT / folder).rglob("*.py")
        if "emulator" in path.read_text().lower()
    ]
    assert knowing == []
