"""The control plane of hosting: endpoint configurations and endpoints, with the refusals of AWS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.deployments import Deployment
from config.sagemaker_emulator.endpoints import Endpoint, Pending
from config.sagemaker_emulator.refusals import Refusal, refuse_existing, refuse_missing
from config.sagemaker_emulator.regions import Region, select_listed
from config.sagemaker_emulator.services import Services
from config.sagemaker_emulator.shifting import ShiftPlan, read_plan

Answer = dict[str, Any]
_CONFIG = "endpoint configuration"


class Hosting:
    """Answers the actions on endpoint configurations and endpoints."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def actions(self) -> dict[str, Callable[[Region, dict[str, Any]], Answer]]:
        """By the name that a request gives."""
        return {
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": self.describe_config,
            "ListEndpointConfigs": self.list_configs,
            "DeleteEndpointConfig": self.delete_config,
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list,
            "UpdateEndpoint": self.update,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete,
        }

    def create_config(self, region: Region, request: dict[str, Any]) -> Answer:
        """CreateEndpointConfig."""
        name = request["EndpointConfigName"]
        arn = region.name_arn("endpoint-config", name)
        variants = [*request["ProductionVariants"], *request.get("ShadowProductionVariants", [])]
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) < len(names):
            raise Refusal("Production variant names must be unique within an endpoint configuration.")
        with region.lock:
            if name in region.configs:
                raise refuse_existing(_CONFIG, arn)
            for variant in variants:
                model = variant.get("ModelName", "")
                if model not in region.below._models:
                    raise refuse_missing("model", region.name_arn("model", model))
                if ("InstanceType" in variant) == ("ServerlessConfig" in variant):
                    raise Refusal("Exactly one of InstanceType and ServerlessConfig must be specified for a variant.")
            region.tags[arn] = request.get("Tags", [])
            kept = {key: value for key, value in request.items() if key != "Tags"}
            region.configs[name] = {**kept, "EndpointConfigArn": arn, "CreationTime": read_now()}
        return {"EndpointConfigArn": arn}

    def describe_config(self, region: Region, request: dict[str, Any]) -> Answer:
        """DescribeEndpointConfig."""
        return _find_config(region, request["EndpointConfigName"])

    def list_configs(self, region: Region, request: dict[str, Any]) -> Answer:
        """ListEndpointConfigs."""
        names = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        items = [{name: config[name] for name in names} for config in list(region.configs.values())]
        return select_listed(request, items, "EndpointConfig", "EndpointConfigs")

    def delete_config(self, region: Region, request: dict[str, Any]) -> Answer:
        """DeleteEndpointConfig: AWS does not ask whether an endpoint still has it."""
        config = _find_config(region, request["EndpointConfigName"])
        with region.lock:
            region.configs.pop(config["EndpointConfigName"], None)
            region.tags.pop(config["EndpointConfigArn"], None)
        return {}

    def create(self, region: Region, request: dict[str, Any]) -> Answer:
        """CreateEndpoint: Creating until the containers are healthy."""
        name = request["EndpointName"]
        arn = region.name_arn("endpoint", name)
        with region.lock:
            if name in region.endpoints:
                raise refuse_existing("endpoint", arn)
            config = _find_config(region, request["EndpointConfigName"])
            _check_models(region, config)
            endpoint = Endpoint(name, arn, config["EndpointConfigName"])
            endpoint.last_deployment = request.get("DeploymentConfig")
            region.endpoints[name] = endpoint
            region.tags[arn] = request.get("Tags", [])
        self._start(region, endpoint, "create", config)
        return {"EndpointArn": arn}

    def describe(self, region: Region, request: dict[str, Any]) -> Answer:
        """DescribeEndpoint."""
        return _find_endpoint(region, request["EndpointName"]).describe()

    def list(self, region: Region, request: dict[str, Any]) -> Answer:
        """ListEndpoints."""
        items = [endpoint.summarize() for endpoint in list(region.endpoints.values())]
        return select_listed(request, items, "Endpoint", "Endpoints")

    def update(self, region: Region, request: dict[str, Any]) -> Answer:
        """UpdateEndpoint: Updating until it has settled on the new configuration or is back on the old one."""
        with region.lock:
            endpoint = _find_endpoint(region, request["EndpointName"])
            config = _find_config(region, request["EndpointConfigName"])
            _check_models(region, config)
            _check_idle(endpoint)
            deployment = request.get("DeploymentConfig")
            if deployment is None and request.get("RetainDeploymentConfig"):
                deployment = endpoint.last_deployment
            plan = _plan_update(endpoint, config, deployment or {})
            config = _retain_properties(endpoint, config, request)
            endpoint.last_deployment = deployment or endpoint.last_deployment
            endpoint.pending = Pending(config["EndpointConfigName"], read_now())
            endpoint.set_status("Updating")
        self._start(region, endpoint, "update", config, plan)
        return {"EndpointArn": endpoint.arn}

    def update_weights(self, region: Region, request: dict[str, Any]) -> Answer:
        """UpdateEndpointWeightsAndCapacities: through Updating too."""
        desired = request["DesiredWeightsAndCapacities"]
        with region.lock:
            endpoint = _find_endpoint(region, request["EndpointName"])
            _check_idle(endpoint)
            known = {variant.name for variant in endpoint.live.variants} if endpoint.live else set()
            names = [change["VariantName"] for change in desired]
            if len(set(names)) < len(names):
                raise Refusal("The variant names in the request must be unique.")
            if unknown := sorted(set(names) - known):
                raise Refusal(
                    f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration '
                    f'"{endpoint.config_name}".'
                )
            endpoint.set_status("Updating")
        self._start(region, endpoint, "apply_weights", desired)
        return {"EndpointArn": endpoint.arn}

    def delete(self, region: Region, request: dict[str, Any]) -> Answer:
        """DeleteEndpoint: Deleting, then gone."""
        with region.lock:
            endpoint = _find_endpoint(region, request["EndpointName"])
            if endpoint.status not in {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}:
                raise Refusal(f'Cannot update in-progress endpoint "{endpoint.arn}".')
            endpoint.set_status("Deleting")
        self._start(region, endpoint, "delete")
        return {}

    def _start(self, region: Region, endpoint: Endpoint, step: str, *arguments: Any) -> None:
        work = getattr(Deployment(self._services, region, endpoint), step)

        def run() -> None:
            try:
                work(*arguments)
            except Exception as error:  # a mistake of the emulator's own must not look like a long wait
                endpoint.set_status("Failed", f"The emulator failed: {error!r}")
                raise

        threading.Thread(target=run, name=f"{step}-{endpoint.name}", daemon=True).start()


def _find_config(region: Region, name: str) -> dict[str, Any]:
    config = region.configs.get(name)
    if config is None:
        raise refuse_missing(_CONFIG, region.name_arn("endpoint-config", name))
    return config


def _find_endpoint(region: Region, name: str) -> Endpoint:
    endpoint = region.endpoints.get(name)
    if endpoint is None:
        raise refuse_missing("endpoint", region.name_arn("endpoint", name))
    return endpoint


def _check_models(region: Region, config: dict[str, Any]) -> None:
    for variant in [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]:
        if variant["ModelName"] not in region.below._models:
            raise refuse_missing("model", region.name_arn("model", variant["ModelName"]))


def _check_idle(endpoint: Endpoint) -> None:
    if endpoint.status == "Failed":
        raise Refusal(f'Cannot update endpoint "{endpoint.arn}" because it is in Failed status.')
    if endpoint.status not in {"InService", "UpdateRollbackFailed"}:
        raise Refusal(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def _plan_update(endpoint: Endpoint, config: dict[str, Any], deployment: dict[str, Any]) -> ShiftPlan:
    old = {variant.name for variant in endpoint.live.variants} if endpoint.live else set()
    new = {variant["VariantName"] for variant in config["ProductionVariants"]}
    if deployment and old and old != new:
        raise Refusal("The variant names of the new endpoint configuration must match those of the endpoint.")
    if any("ServerlessConfig" in variant for variant in config["ProductionVariants"]) and deployment:
        raise Refusal("DeploymentConfig is not supported for an endpoint with serverless variants.")
    # The smallest variant decides what whole instances allow.
    return read_plan(deployment, min(int(v.get("InitialInstanceCount") or 1) for v in config["ProductionVariants"]))


def _retain_properties(endpoint: Endpoint, config: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """``config`` with the weights and counts that the endpoint has now, where the request wants to keep them."""
    if not request.get("RetainAllVariantProperties") or endpoint.live is None:
        return config
    excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", [])}
    config = dict(config)
    kept = {variant.name: variant for variant in endpoint.live.variants}
    variants = []
    for variant in config["ProductionVariants"]:
        changed = dict(variant)
        if (old := kept.get(variant["VariantName"])) is not None:
            if "DesiredInstanceCount" not in excluded and "InitialInstanceCount" in changed:
                changed["InitialInstanceCount"] = old.instances
            if "DesiredWeight" not in excluded:
                changed["InitialVariantWeight"] = old.weight
        variants.append(changed)
    config["ProductionVariants"] = variants
    if "DataCaptureConfig" not in excluded and "DataCaptureConfig" in endpoint.live.config:
        config["DataCaptureConfig"] = endpoint.live.config["DataCaptureConfig"]
    return config
