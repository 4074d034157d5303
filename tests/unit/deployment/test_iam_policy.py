"""docs/iam_policy.json allows the calls that are really made, on the names that they are made with, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from include.declaration import Autoscaling
from include.errors import RolledBack
from include.settings import PROJECT_ROOT, Settings
from tests.unit.cloud.fake_aws import FakeAws
from tests.unit.deployment.hosted import Hosted, declare_pipeline

# What no call is named for, and why it is needed.
BESIDE = {
    "iam:PassRole": "an endpoint runs as the declared role",
    "s3:ListBucket": "without it S3 answers 403 and not 404 for an artifact that is not there",
    "sagemaker:AddTags": "what is created has tags",
}
# Calls whose permission has another name.
RENAMED = {"s3:HeadObject": "s3:GetObject"}
_SERVICES = {"sagemaker-runtime": "sagemaker"}
_ARNS = {
    "EndpointName": "arn:aws:sagemaker:REGION:ACCOUNT:endpoint/{}",
    "EndpointConfigName": "arn:aws:sagemaker:REGION:ACCOUNT:endpoint-config/{}",
    "ModelName": "arn:aws:sagemaker:REGION:ACCOUNT:model/{}",
    "ModelPackageGroupName": "arn:aws:sagemaker:REGION:ACCOUNT:model-package-group/{}",
    "AlarmName": "arn:aws:cloudwatch:REGION:ACCOUNT:alarm:{}",
    "AlarmNamePrefix": "arn:aws:cloudwatch:REGION:ACCOUNT:alarm:{}",
    "Key": "arn:aws:s3:::BUCKET/{}",
}


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    policy = json.loads((PROJECT_ROOT / "docs" / "iam_policy.json").read_text())
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def live_a_whole_life(settings: Settings, folder: Path) -> FakeAws:
    """Everything that a pipeline does with SageMaker in its life."""
    scaling = Autoscaling(min_capacity=2, max_capacity=4)
    hosted = Hosted(settings, declare_pipeline(autoscaling=scaling), FakeAws(), folder)
    for number in ("1", "2", "3", "4"):
        hosted.go_live(number)
    hosted.target.deploy(hosted.make_release("5"))
    hosted.aws.settle("an alarm")
    with pytest.raises(RolledBack):
        hosted.target.check("5")
    hosted.aws.packages[-1]["ModelApprovalStatus"] = "PendingManualApproval"
    hosted.target.deploy(hosted.make_release("5", by="another/run"))
    hosted.aws.settle()
    hosted.record(hosted.target.check("5"))
    hosted.target.roll_back(None, "a/run", "why")
    hosted.aws.settle()
    hosted.target.check("4")
    hosted.target.status()
    hosted.target.predict(b'{"dataframe_records": []}', "application/json")
    hosted.target.retire()
    return hosted.aws


@pytest.fixture
def calls(settings: Settings, tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Permission and parameters of every call."""

    def name_all() -> Iterator[tuple[str, dict[str, Any]]]:
        for service, operation, parameters in live_a_whole_life(settings, tmp_path).calls:
            call = "".join(part.capitalize() for part in operation.split("_"))
            action = f"{_SERVICES.get(service, service)}:{call}"
            yield RENAMED.get(action, action), parameters

    return list(name_all())


def test_every_call_is_allowed_and_nothing_else_is(
    statements: list[dict[str, Any]], calls: list[tuple[str, dict[str, Any]]]
) -> None:
    allowed = [action for statement in statements for action in as_list(statement["Action"])]
    assert len(allowed) == len(set(allowed))
    assert {action for action, _ in calls} | set(BESIDE) == set(allowed)
    assert not any("*" in action for action in allowed)
    assert {statement["Effect"] for statement in statements} == {"Allow"}


def test_every_call_is_about_something_that_is_allowed(
    statements: list[dict[str, Any]], calls: list[tuple[str, dict[str, Any]]]
) -> None:
    checked = 0
    for action, parameters in calls:
        patterns = [
            pattern
            for statement in statements
            if action in as_list(statement["Action"])
            for pattern in as_list(statement["Resource"])
        ]
        for name, form in _ARNS.items():
            if name in parameters:
                arn = form.format(parameters[name])
                assert any(fnmatchcase(arn, pattern) for pattern in patterns), (action, arn)
                checked += 1
    assert checked > 100


def test_everything_is_of_no_statement_that_could_be_narrower(statements: list[dict[str, Any]]) -> None:
    """Of these AWS knows no resource, or one that cannot be named."""
    wide = {s["Sid"] for s in statements if "*" in as_list(s["Resource"])}
    assert wide == {"ListingsHaveNoResource", "ScalingOfVariants"}
