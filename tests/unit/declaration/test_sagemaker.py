"""What SageMaker cannot do is refused when the declaration is read, and the message says what it could."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from include.declaration import (
    Alarms,
    Autoscaling,
    CapacitySize,
    Deployment,
    LocalTarget,
    Rollout,
    SageMakerTarget,
    Serverless,
    TrafficRouting,
)
from include.declaration.loader import load_pipelines
from include.settings import Settings
from tests.unit.deployment.hosted import declare_target


def declare(routing: TrafficRouting, seconds: float = 1800, **changes: Any) -> Deployment:
    rollout = Rollout(traffic_routing_configuration=routing, maximum_execution_timeout_in_seconds=seconds)
    return Deployment(target=declare_target(**changes), rollout=rollout)


def canary(percent: int) -> TrafficRouting:
    return TrafficRouting(type="CANARY", canary_size=CapacitySize(value=percent))


def linear(percent: int) -> TrafficRouting:
    return TrafficRouting(type="LINEAR", linear_step_size=CapacitySize(value=percent))


@pytest.mark.parametrize(
    ("routing", "changes", "told"),
    [
        (canary(10), {"instance_count": 2}, "the smallest share of 2 is 50 %.*10 instances can give it"),
        (canary(33), {"instance_count": 3}, "33 % of 3 instances is none"),
        (canary(50), {"instance_count": 1}, "one cannot be shared"),
        (linear(20), {"instance_count": 4}, "20 % of 4 instances is none"),
        (canary(60), {"instance_count": 10}, "at most 50 %"),
        (canary(10), {"autoscaling": Autoscaling(min_capacity=2, max_capacity=20)}, "10 % of 2 instances is none"),
        (canary(50), {"serverless": Serverless()}, "declare ALL_AT_ONCE"),
    ],
)
def test_a_share_that_the_fleet_cannot_give_is_refused(
    routing: TrafficRouting, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        declare(routing, **changes)


@pytest.mark.parametrize(
    ("routing", "changes"),
    [
        (canary(50), {"instance_count": 2}),
        (canary(34), {"instance_count": 3}),
        (linear(25), {"instance_count": 4}),
        (canary(10), {"autoscaling": Autoscaling(min_capacity=10, max_capacity=20)}),
        (TrafficRouting(type="ALL_AT_ONCE"), {"instance_count": 1}),
        (TrafficRouting(type="ALL_AT_ONCE"), {"serverless": Serverless()}),
    ],
)
def test_a_share_that_it_can_give_is_taken(routing: TrafficRouting, changes: dict[str, Any]) -> None:
    assert declare(routing, **changes).target.kind == "sagemaker"


@pytest.mark.parametrize("seconds", [599, 28_801])
def test_a_rollout_has_the_time_that_sagemaker_gives(seconds: float) -> None:
    with pytest.raises(ValidationError, match="600 to 28800"):
        declare(canary(50), seconds=seconds)


@pytest.mark.parametrize(
    "changes",
    [
        {"role_arn": "serving"},
        {"region": "Frankfurt"},
        {"bucket": "s3://models"},
        {"prefix": "/models/"},
        {"instance_type": "m5.large"},
        {"image_uri": ""},
        {"serverless": Serverless(), "autoscaling": Autoscaling()},
    ],
)
def test_what_aws_would_refuse_later_is_refused_at_once(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        declare_target(**changes)


@pytest.mark.parametrize("period", [0, 5, 45, 90])
def test_periods_are_cloudwatchs(period: int) -> None:
    with pytest.raises(ValidationError, match="10, 30 or a multiple of 60"):
        Alarms(period=period)


def test_autoscaling_has_a_lower_and_an_upper_end() -> None:
    with pytest.raises(ValidationError, match="above max_capacity"):
        Autoscaling(min_capacity=3, max_capacity=2)


def test_a_target_is_told_apart_by_its_kind() -> None:
    given = {name: getattr(declare_target(), name) for name in SageMakerTarget.model_fields}
    rollout = {"traffic_routing_configuration": {"type": "ALL_AT_ONCE"}}
    read = Deployment.model_validate({"target": given, "rollout": rollout})
    assert isinstance(read.target, SageMakerTarget) and read.port_offset is None
    local = Deployment.model_validate({"target": {"kind": "local", "port_offset": 3}})
    assert isinstance(local.target, LocalTarget) and local.port_offset == 3


def test_pipelines_that_services_serve_need_no_port_of_their_own(settings: Settings) -> None:
    for name in ("one", "two"):
        folder = settings.pipelines_path / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "pipeline.py").write_text(
            f"from tests.unit.deployment.hosted import declare_pipeline\nPIPELINE = declare_pipeline({name!r})\n"
        )
    loaded = load_pipelines(settings)
    assert (set(loaded.pipelines), loaded.errors) == ({"one", "two"}, {})


def test_a_wrong_name_is_met_with_the_right_one(settings: Settings) -> None:
    folder: Path = settings.pipelines_path / "typo"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "pipeline.py").write_text(
        "from tests.unit.deployment.hosted import declare_target\nPIPELINE = declare_target(instance_cuont=2)\n"
    )
    assert "Did you mean 'instance_count'?" in load_pipelines(settings).errors["typo"].message
