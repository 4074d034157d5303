"""What AWS refuses is refused, and what moto lacks is there."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.emulator.running import REGISTRY
from tests.emulator.toys import Toys, build_canary

pytestmark = pytest.mark.slow


def test_names_are_used_once(toys: Toys) -> None:
    toys.make("twice")
    with pytest.raises(ClientError, match=r'ValidationException.*Cannot create already existing model "arn:aws:sage'):
        toys.make_model("twice")
    with pytest.raises(ClientError, match="Cannot create already existing endpoint configuration"):
        toys.make_config("twice")
    toys.make_endpoint("twice", "twice")
    with pytest.raises(ClientError, match='Cannot create already existing endpoint "arn:aws:sagemaker'):
        toys.sagemaker.create_endpoint(EndpointName="twice", EndpointConfigName="twice")


def test_what_is_not_there_is_refused(toys: Toys) -> None:
    with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker'):
        toys.make_config("no-model")
    with pytest.raises(ClientError, match='Could not find endpoint configuration "arn:aws:sagemaker'):
        toys.sagemaker.create_endpoint(EndpointName="none", EndpointConfigName="none")
    with pytest.raises(ClientError, match='Could not find endpoint "arn:aws:sagemaker'):
        toys.sagemaker.update_endpoint(EndpointName="none", EndpointConfigName="none")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        toys.sagemaker.delete_endpoint(EndpointName="none")


def test_an_endpoint_under_way_is_left_alone(toys: Toys) -> None:
    toys.make("busy")
    toys.make("busier")
    toys.sagemaker.create_endpoint(EndpointName="busy", EndpointConfigName="busy")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        toys.sagemaker.update_endpoint(EndpointName="busy", EndpointConfigName="busier")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        toys.sagemaker.delete_endpoint(EndpointName="busy")
    toys.wait("busy")


def test_a_canary_that_the_instances_cannot_give_is_refused(toys: Toys) -> None:
    toys.make("single", instances=1)
    toys.make("next", instances=1)
    toys.make_endpoint("single", "single")
    with pytest.raises(ClientError, match="50%"):
        toys.sagemaker.update_endpoint(
            EndpointName="single", EndpointConfigName="next", DeploymentConfig=build_canary(percent=10)
        )
    assert toys.wait("single")["EndpointStatus"] == "InService"


def test_names_are_held_to_their_pattern(toys: Toys) -> None:
    with pytest.raises(ClientError, match=r"validation error.*regular expression pattern"):
        toys.sagemaker.create_endpoint(EndpointName="no_underscores", EndpointConfigName="x")


def test_shadow_variants_are_kept(toys: Toys) -> None:
    toys.make_model("shadow")
    variant = {"VariantName": "a", "ModelName": "shadow", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    toys.make_config("shadowed", variants=[variant], ShadowProductionVariants=[{**variant, "VariantName": "b"}])
    kept = toys.sagemaker.describe_endpoint_config(EndpointConfigName="shadowed")
    assert [each["VariantName"] for each in kept["ShadowProductionVariants"]] == ["b"]


def test_an_update_without_instances_is_rolled_back(toys: Toys) -> None:
    toys.make("short-old")
    toys.make("short-new")
    toys.make_endpoint("scarce", "short-old")
    toys.emulator.ask("faults", {"kind": "capacity", "name": "scarce"})
    toys.sagemaker.update_endpoint(EndpointName="scarce", EndpointConfigName="short-new")
    described = toys.wait("scarce")
    assert described["EndpointConfigName"] == "short-old"
    assert "InsufficientInstanceCapacity" in described["FailureReason"]


def test_a_rollback_may_fail_too(toys: Toys) -> None:
    toys.make("worse-old")
    toys.make("worse-new", "crashing")
    toys.make_endpoint("worse", "worse-old")
    toys.emulator.ask("faults", {"kind": "rollback_fails", "name": "worse"})
    toys.sagemaker.update_endpoint(EndpointName="worse", EndpointConfigName="worse-new")
    assert toys.wait("worse")["statuses"] == ["Updating", "RollingBack", "UpdateRollbackFailed"]
    assert toys.emulator.ask("faults") == {"waiting": []}


def test_a_model_package_is_served_and_can_be_deleted(toys: Toys) -> None:
    toys.make_model("packed")
    data = toys.sagemaker.describe_model(ModelName="packed")["PrimaryContainer"]["ModelDataUrl"]
    toys.sagemaker.create_model_package_group(ModelPackageGroupName="group")
    package = toys.sagemaker.create_model_package(
        ModelPackageGroupName="group",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": f"{REGISTRY}/toy:1", "ModelDataUrl": data}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    toys.sagemaker.create_model(
        ModelName="from-package",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/sagemaker",
        PrimaryContainer={"ModelPackageName": package},
    )
    toys.make_config("from-package")
    toys.make_endpoint("from-package", "from-package")
    assert toys.invoke("from-package") == "packed"
    toys.sagemaker.delete_model_package(ModelPackageName=package)
    assert toys.sagemaker.list_model_packages(ModelPackageGroupName="group")["ModelPackageSummaryList"] == []
    with pytest.raises(ClientError, match="does not exist"):
        toys.sagemaker.delete_model_package(ModelPackageName=package)


def test_tags_and_lists(toys: Toys) -> None:
    toys.make("tagged", Tags=[{"Key": "owner", "Value": "us"}])
    arn = toys.sagemaker.describe_endpoint_config(EndpointConfigName="tagged")["EndpointConfigArn"]
    toys.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "them"}])
    assert toys.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "them"}]
    listed = toys.sagemaker.list_endpoint_configs(NameContains="tagg")["EndpointConfigs"]
    assert [each["EndpointConfigName"] for each in listed] == ["tagged"]
    health = toys.emulator.ask("health")
    assert health["status"] == "ok"
