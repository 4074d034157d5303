"""What a declaration and a version ask of SageMaker, as the requests of its API; pure functions."""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import dataclass
from typing import Any

from include.declaration.models import Pipeline
from include.declaration.sagemaker import SageMakerTarget
from include.deployment.sagemaker.names import VARIANT, name_endpoint, name_version

Request = dict[str, Any]
_NAMESPACE = "AWS/SageMaker"
_SCALED = "sagemaker:variant:DesiredInstanceCount"


@dataclass(frozen=True)
class Plan:
    """All requests of one release; every name follows from their content."""

    model: Request
    config: Request
    alarms: tuple[Request, ...]

    @property
    def config_name(self) -> str:
        """The EndpointConfig to be live."""
        return str(self.config["EndpointConfigName"])


def resolve_image(target: SageMakerTarget) -> str:
    """The image's URI; MLflow's own is the one that ``mlflow sagemaker build-and-push-container`` pushes."""
    if target.image_uri != "mlflow":
        return target.image_uri
    account = target.role_arn.split(":")[4]
    domain = "amazonaws.com.cn" if target.region.startswith("cn-") else "amazonaws.com"
    version = importlib.metadata.version("mlflow")
    return f"{account}.dkr.ecr.{target.region}.{domain}/mlflow-pyfunc:{version}"


def plan_release(pipeline: Pipeline, target: SageMakerTarget, version: str, artifact_uri: str) -> Plan:
    """The requests that make ``version`` live."""
    model = _build_model(pipeline, target, version, artifact_uri)
    config = _build_config(pipeline, target, version, str(model["ModelName"]))
    return Plan(model, config, build_alarms(pipeline, target, str(config["EndpointConfigName"])))


def tag(pipeline: Pipeline, version: str | None = None) -> list[Request]:
    """By what a person finds whose something is; ``version`` for what is of one only."""
    tags = [{"Key": "tollgate:pipeline", "Value": pipeline.name}]
    return [*tags, {"Key": "tollgate:version", "Value": version}] if version is not None else tags


def _build_model(pipeline: Pipeline, target: SageMakerTarget, version: str, artifact_uri: str) -> Request:
    environment = {"TOLLGATE_MODEL_VERSION": version}
    if target.image_uri == "mlflow":
        environment |= {"MLFLOW_DEPLOYMENT_FLAVOR_NAME": "python_function", "SERVING_ENVIRONMENT": "SageMaker"}
    container = {"Image": resolve_image(target), "ModelDataUrl": artifact_uri, "Environment": environment}
    content = {"PrimaryContainer": container, "ExecutionRoleArn": target.role_arn}
    return {"ModelName": name_version(pipeline.name, version, content), **content, "Tags": tag(pipeline, version)}


def _build_config(pipeline: Pipeline, target: SageMakerTarget, version: str, model_name: str) -> Request:
    variant: Request = {"VariantName": VARIANT, "ModelName": model_name, "InitialVariantWeight": 1.0}
    if target.serverless is not None:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": target.serverless.memory_size_in_mb,
            "MaxConcurrency": target.serverless.max_concurrency,
        }
    else:
        variant |= {
            "InstanceType": target.instance_type,
            "InitialInstanceCount": target.smallest_fleet,
            "ContainerStartupHealthCheckTimeoutInSeconds": target.container_startup_seconds,
            "ModelDataDownloadTimeoutInSeconds": target.model_download_seconds,
        }
    content: Request = {"ProductionVariants": [variant]}
    capture = pipeline.deployment.data_capture
    # SageMaker does not capture what a serverless endpoint is asked.
    if capture.enable_capture and target.serverless is None:
        content["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": math.ceil(capture.initial_sampling_percentage),
            "DestinationS3Uri": f"s3://{target.bucket}/{target.prefix}/{pipeline.name}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {
                "CsvContentTypes": ["text/csv"],
                "JsonContentTypes": ["application/json"],
            },
        }
    name = name_version(pipeline.name, version, content)
    return {"EndpointConfigName": name, **content, "Tags": tag(pipeline, version)}


def build_alarms(pipeline: Pipeline, target: SageMakerTarget, config_name: str) -> tuple[Request, ...]:
    """The alarms of one release: they see the new fleet alone, by its EndpointConfigName, and nothing in a period with
    too few requests to judge by. A serverless endpoint has no guardrails, so it has none."""
    if target.serverless is not None:
        return ()
    limits, alarms = pipeline.deployment.rollout.auto_rollback_configuration, target.alarms
    enough = f"asked >= {limits.minimum_requests}"
    failed = _build_alarm(
        target,
        f"{config_name}-5xx",
        f"Share of 5xx answers above {limits.max_failure_rate:g} of at least {limits.minimum_requests} requests.",
        f"IF({enough}, failed / asked, 0)",
        limits.max_failure_rate,
        {"asked": ("Invocations", "Sum"), "failed": ("Invocation5XXErrors", "Sum")},
        name_endpoint(pipeline.name),
        config_name,
    )
    if alarms.model_latency_ms is None:
        return (failed,)
    slow = _build_alarm(
        target,
        f"{config_name}-latency",
        f"{alarms.model_latency_statistic} of ModelLatency above {alarms.model_latency_ms:g} ms.",
        f"IF({enough}, latency, 0)",
        alarms.model_latency_ms * 1000.0,  # CloudWatch has microseconds
        {"asked": ("Invocations", "Sum"), "latency": ("ModelLatency", alarms.model_latency_statistic)},
        name_endpoint(pipeline.name),
        config_name,
    )
    return failed, slow


def _build_alarm(
    target: SageMakerTarget,
    name: str,
    description: str,
    expression: str,
    threshold: float,
    metrics: dict[str, tuple[str, str]],
    endpoint: str,
    config_name: str,
) -> Request:
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint},
        {"Name": "VariantName", "Value": VARIANT},
        {"Name": "EndpointConfigName", "Value": config_name},
    ]
    queries: list[Request] = [
        {
            "Id": identifier,
            "MetricStat": {
                "Metric": {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": target.alarms.period,
                "Stat": statistic,
            },
            "ReturnData": False,
        }
        for identifier, (metric, statistic) in metrics.items()
    ]
    judged = {"Id": "judged", "Expression": expression, "Label": name, "ReturnData": True}
    return {
        "AlarmName": name,
        "AlarmDescription": description,
        "Metrics": [*queries, judged],
        "EvaluationPeriods": target.alarms.evaluation_periods,
        "DatapointsToAlarm": target.alarms.evaluation_periods,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }


def build_rollout(pipeline: Pipeline, target: SageMakerTarget, alarms: tuple[Request, ...]) -> Request | None:
    """The DeploymentConfig of an update; None for a serverless endpoint, which has none."""
    if target.serverless is not None:
        return None
    rollout = pipeline.deployment.rollout
    routing = rollout.traffic_routing_configuration
    wait = math.ceil(routing.wait_interval_in_seconds)
    traffic: Request = {"Type": routing.type, "WaitIntervalInSeconds": wait}
    if routing.type == "CANARY":
        traffic["CanarySize"] = {"Type": routing.canary_size.type, "Value": routing.canary_size.value}
    elif routing.type == "LINEAR":
        traffic["LinearStepSize"] = {"Type": routing.linear_step_size.type, "Value": routing.linear_step_size.value}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": traffic,
            "TerminationWaitInSeconds": math.ceil(rollout.termination_wait_in_seconds),
            "MaximumExecutionTimeoutInSeconds": math.ceil(rollout.maximum_execution_timeout_in_seconds),
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm["AlarmName"]} for alarm in alarms]},
    }


def name_scaled(endpoint: str) -> Request:
    """What application autoscaling calls the endpoint's variant."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": _SCALED,
    }


def build_scaling(target: SageMakerTarget, endpoint: str) -> tuple[Request, Request] | None:
    """The scalable target and its policy; None when the declaration asks for none."""
    scaling = target.autoscaling
    if scaling is None:
        return None
    scaled = name_scaled(endpoint)
    policy = {
        "PolicyName": f"{endpoint}-invocations",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": scaling.target_invocations,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": scaling.scale_in_cooldown,
            "ScaleOutCooldown": scaling.scale_out_cooldown,
        },
    }
    return {**scaled, "MinCapacity": scaling.min_capacity, "MaxCapacity": scaling.max_capacity}, {**scaled, **policy}
