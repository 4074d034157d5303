"""Everything that a release needs at SageMaker before traffic moves: each is looked for, then made, so made once."""

from __future__ import annotations

from include.cloud.calls import Aws
from include.declaration.models import Pipeline
from include.declaration.sagemaker import SageMakerTarget
from include.deployment.sagemaker.names import name_endpoint
from include.deployment.sagemaker.requests import Plan, Request, tag
from include.errors import TargetRefused

# SageMaker: no longer, and only these characters.
_TOKEN_LENGTH = 36


def make_release(aws: Aws, pipeline: Pipeline, target: SageMakerTarget, version: str, plan: Plan) -> None:
    """Registered package, model, alarms and configuration of one release. Raises TargetRefused for a version that
    somebody rejected in SageMaker's registry."""
    _register(aws, pipeline, target, version, plan)
    if aws.find("sagemaker", "describe_model", ModelName=plan.model["ModelName"]) is None:
        aws.make("sagemaker", "create_model", **plan.model)
    put_alarms(aws, plan.alarms)
    if aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=plan.config_name) is None:
        aws.make("sagemaker", "create_endpoint_config", **plan.config)


def put_alarms(aws: Aws, alarms: tuple[Request, ...]) -> None:
    """Have a release's alarms; CloudWatch replaces one by its name."""
    for alarm in alarms:
        aws.call("cloudwatch", "put_metric_alarm", **alarm)


def _register(aws: Aws, pipeline: Pipeline, target: SageMakerTarget, version: str, plan: Plan) -> None:
    """The version in SageMaker's own registry, approved as it is blessed in ours."""
    group = name_endpoint(pipeline.name)
    if aws.find("sagemaker", "describe_model_package_group", ModelPackageGroupName=group) is None:
        about = f"Blessed versions of the pipeline {pipeline.name}"
        aws.make(
            "sagemaker",
            "create_model_package_group",
            ModelPackageGroupName=group,
            ModelPackageGroupDescription=about,
            Tags=tag(pipeline),
        )
    model_name = str(plan.model["ModelName"])
    package = _find_package(aws, group, model_name)
    if package is None:
        container = plan.model["PrimaryContainer"]
        content_types = ["application/json", "text/csv"]
        aws.call(
            "sagemaker",
            "create_model_package",
            ModelPackageGroupName=group,
            ModelPackageDescription=model_name,
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": content_types,
                "SupportedResponseMIMETypes": ["application/json"],
            },
            CustomerMetadataProperties={"tollgate_version": version, "tollgate_pipeline": pipeline.name},
            # Of two requests at once, or one that botocore repeats, SageMaker takes the first.
            ClientToken=model_name[-_TOKEN_LENGTH:],
        )
        return
    standing = package.get("ModelApprovalStatus")
    if standing == "Rejected":
        raise TargetRefused(
            f"Version {version} of {pipeline.name} is rejected in SageMaker's registry ({package['ModelPackageArn']}).",
            next_step="Approve it there if it is to be deployed, or deploy another version.",
            target="sagemaker",
            call="create_model_package",
            code="Rejected",
        )
    if standing != "Approved":
        aws.call(
            "sagemaker",
            "update_model_package",
            ModelPackageArn=package["ModelPackageArn"],
            ModelApprovalStatus="Approved",
            ApprovalDescription=f"Blessed by Tollgate as version {version}",
        )


def _find_package(aws: Aws, group: str, model_name: str) -> Request | None:
    """The package that was registered for this very model; its description says so."""
    packages = aws.each("sagemaker", "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group)
    return next((each for each in packages if each.get("ModelPackageDescription") == model_name), None)
