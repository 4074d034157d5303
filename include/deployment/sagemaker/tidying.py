"""What is cleared away once another configuration is live, and what goes with the endpoint."""

from __future__ import annotations

from collections.abc import Collection

from include.cloud.calls import Aws
from include.declaration.sagemaker import SageMakerTarget
from include.deployment.sagemaker.names import belongs_to, name_endpoint
from include.deployment.sagemaker.requests import build_scaling, name_scaled


def scale_endpoint(aws: Aws, target: SageMakerTarget, endpoint: str) -> None:
    """Have the endpoint scale as declared, or not at all. Each call may be made again."""
    wanted = build_scaling(target, endpoint)
    if wanted is not None:
        scaled, policy = wanted
        aws.call("application-autoscaling", "register_scalable_target", **scaled)
        aws.call("application-autoscaling", "put_scaling_policy", **policy)
    else:
        stop_scaling(aws, endpoint)


def stop_scaling(aws: Aws, endpoint: str) -> None:
    """Forget a scalable target, with its policies, if there is one."""
    named = name_scaled(endpoint)
    answer = aws.call(
        "application-autoscaling",
        "describe_scalable_targets",
        ServiceNamespace=named["ServiceNamespace"],
        ResourceIds=[named["ResourceId"]],
    )
    if answer.get("ScalableTargets"):
        aws.drop("application-autoscaling", "deregister_scalable_target", **named)


def clear_releases(aws: Aws, pipeline_name: str, keep: Collection[str]) -> None:
    """Delete every configuration of the pipeline but those to ``keep``, with their alarms and models.

    Alarms go first, then the configuration, then the model that no kept one needs: whatever was cut short is found
    again by its name.
    """
    base = f"{name_endpoint(pipeline_name)}-v"
    listed = aws.each("sagemaker", "list_endpoint_configs", "EndpointConfigs", NameContains=base)
    configs = [str(each["EndpointConfigName"]) for each in listed]
    old = [name for name in configs if belongs_to(name, pipeline_name) and name not in keep]
    needed: set[str] = set()
    for name in keep:
        kept = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=name)
        needed |= {str(variant["ModelName"]) for variant in (kept or {}).get("ProductionVariants", ())}
    alarms = [
        str(each["AlarmName"])
        for each in aws.each("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=base)
    ]
    orphaned = [
        name
        for name in alarms
        if belongs_to(name.rpartition("-")[0], pipeline_name) and name.rpartition("-")[0] not in keep
    ]
    if orphaned:
        aws.call("cloudwatch", "delete_alarms", AlarmNames=orphaned[:100])
    for name in old:
        aws.drop("sagemaker", "delete_endpoint_config", EndpointConfigName=name)
    models = [str(each["ModelName"]) for each in aws.each("sagemaker", "list_models", "Models", NameContains=base)]
    for name in models:
        if belongs_to(name, pipeline_name) and name not in needed:
            aws.drop("sagemaker", "delete_model", ModelName=name)
