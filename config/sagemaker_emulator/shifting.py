"""In which steps traffic moves to a new fleet, from a DeploymentConfig."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from config.sagemaker_emulator.refusals import Refusal

_MOST_OF_FLEET = 0.5
_LEAST_OF_FLEET = 0.1
DEFAULT_MAXIMUM_SECONDS = 28_800


@dataclass(frozen=True)
class ShiftPlan:
    """``shares`` are the new fleet's parts of the traffic, one after the other; the last is 1. ``wait`` (s) follows
    each but the last, ``bake`` (s) the last; after ``maximum`` (s) of all it is rolled back."""

    shares: tuple[float, ...]
    wait: float
    bake: float
    maximum: float
    alarms: tuple[str, ...]


def read_plan(deployment: dict[str, Any], instances: int) -> ShiftPlan:
    """The plan of a DeploymentConfig for a fleet of so many instances.

    Raises Refusal when a step cannot be made of whole instances, or is larger than AWS allows.
    """
    alarms = tuple(alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", []))
    if rolling := deployment.get("RollingUpdatePolicy"):
        if "BlueGreenUpdatePolicy" in deployment:
            raise Refusal("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
        step = _read_share(rolling["MaximumBatchSize"], instances, "MaximumBatchSize")
        wait = float(rolling["WaitIntervalInSeconds"])
        maximum = float(rolling.get("MaximumExecutionTimeoutInSeconds", DEFAULT_MAXIMUM_SECONDS))
        return ShiftPlan(_list_shares(step), wait, wait, maximum, alarms)
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0})
    kind = routing["Type"]
    shares: tuple[float, ...] = (1.0,)
    if kind == "CANARY":
        if "CanarySize" not in routing:
            raise Refusal("CanarySize must be specified when traffic routing type is CANARY.")
        shares = (_read_share(routing["CanarySize"], instances, "CanarySize"), 1.0)
    elif kind == "LINEAR":
        if "LinearStepSize" not in routing:
            raise Refusal("LinearStepSize must be specified when traffic routing type is LINEAR.")
        shares = _list_shares(_read_share(routing["LinearStepSize"], instances, "LinearStepSize"))
    return ShiftPlan(
        shares,
        float(routing.get("WaitIntervalInSeconds", 0)),
        float(policy.get("TerminationWaitInSeconds", 0)),
        float(policy.get("MaximumExecutionTimeoutInSeconds", DEFAULT_MAXIMUM_SECONDS)),
        alarms,
    )


def _list_shares(step: float) -> tuple[float, ...]:
    count = math.ceil(round(1 / step, 6))
    return (*(min(1.0, number * step) for number in range(1, count)), 1.0)


def _read_share(size: dict[str, Any], instances: int, name: str) -> float:
    value = size["Value"]
    if size["Type"] == "CAPACITY_PERCENT":
        if value > 100 * _MOST_OF_FLEET:
            raise Refusal(f"{name} of type CAPACITY_PERCENT must be at most {100 * _MOST_OF_FLEET:.0f}, not {value}.")
        # A fleet can only be shifted by whole instances.
        count = math.ceil(round(instances * value / 100, 6))
    else:
        count = value
    share = float(count / instances)
    if share > _MOST_OF_FLEET:
        raise Refusal(
            f"{name} must be less than or equal to 50% of the variant's total instance count: {count} of "
            f"{instances} instance(s) is {share:.0%}."
        )
    if name == "LinearStepSize" and share < _LEAST_OF_FLEET:
        raise Refusal(f"{name} must be at least 10% of the variant's total instance count.")
    return share
