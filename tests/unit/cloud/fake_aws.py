"""AWS's control plane as far as a release needs it, in memory: requests are checked by botocore's own models.

A test says what becomes of a rollout (``settle``), and what happens at a call: ``intercept`` is asked before each one
is carried out and after. Nothing here decides whether what is asked is right; that is what the tests do.
"""

from __future__ import annotations

import datetime
import functools
import io
import json
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

Request = dict[str, Any]
# (moment, service, operation, parameters); moment is "before" or "after". What it raises is what the caller meets.
Intercept = Callable[[str, str, str, Request], None]

_METHODS = {"head_object": "HeadObject", "put_object": "PutObject"}


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def make_error(code: str, message: str, operation: str, status: int = 400, **more: Any) -> ClientError:
    """What botocore raises for an answer that is an error."""
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return ClientError(response, operation)


class FakeAws:
    """State by kind and name; ``calls`` is every call that was carried out, as (service, operation, parameters)."""

    def __init__(self) -> None:
        self.models: dict[str, Request] = {}
        self.configs: dict[str, Request] = {}
        self.alarms: dict[str, Request] = {}
        self.groups: dict[str, Request] = {}
        self.packages: list[Request] = []
        self.objects: dict[tuple[str, str], bytes] = {}
        self.scaled: dict[str, Request] = {}
        self.policies: dict[str, Request] = {}
        self.endpoints: dict[str, Request] = {}
        self.calls: list[tuple[str, str, Request]] = []
        self.intercept: Intercept = lambda *_: None
        # What a version answers to rows.
        self.score: Callable[[str, list[Request]], list[float]] = lambda _version, rows: [0.5] * len(rows)
        self._ticks = 0

    def __call__(self, service: str) -> Any:
        return _Client(self, service)

    def list_calls(self, *prefixes: str) -> list[str]:
        """Names of the calls carried out so far that begin so."""
        return [operation for _, operation, _ in self.calls if operation.startswith(prefixes)]

    def list_changes(self) -> list[str]:
        """Names of the calls that made or changed something."""
        return self.list_calls("create_", "update_", "put_object", "delete_", "register_", "put_scaling", "deregister_")

    def settle(self, failure: str = "") -> None:
        """End what is under way: what was asked for is live, or with a ``failure`` what was before."""
        for name, endpoint in list(self.endpoints.items()):
            if endpoint["EndpointStatus"] == "Deleting":
                del self.endpoints[name]
            elif endpoint["EndpointStatus"] in ("Creating", "Updating"):
                created = endpoint["EndpointStatus"] == "Creating"
                wanted = endpoint.pop("wanted")
                if not failure:
                    endpoint["EndpointConfigName"] = wanted
                    endpoint.pop("FailureReason", None)
                    # A new fleet begins with what its configuration says.
                else:
                    endpoint["FailureReason"] = failure
                endpoint["EndpointStatus"] = "Failed" if failure and created else "InService"
                endpoint["LastModifiedTime"] = self._now()

    def answer(self, service: str, operation: str, parameters: Request) -> Request:
        """Carry one call out."""
        self.intercept("before", service, operation, parameters)
        name = _METHODS.get(operation) or "".join(part.capitalize() for part in operation.split("_"))
        shape = _model(service).operation_model(name).input_shape
        shown = {k: v for k, v in parameters.items() if k != "Body"}
        validate_parameters({**parameters, **({"Body": b""} if "Body" in parameters else {})}, shape)
        self.calls.append((service, operation, shown))
        result: Request = getattr(self, f"_{operation}")(**parameters) or {}
        self.intercept("after", service, operation, parameters)
        return result

    def _now(self) -> datetime.datetime:
        self._ticks += 1
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=self._ticks)

    def _find(self, kind: dict[str, Request], name: str, what: str, operation: str) -> Request:
        if name not in kind:
            raise make_error("ValidationException", f'Could not find {what} "{name}".', operation)
        return kind[name]

    def _add(self, kind: dict[str, Request], name: str, value: Request, what: str, operation: str) -> None:
        if name in kind:
            raise make_error("ValidationException", f'Cannot create already existing {what} "{name}".', operation)
        kind[name] = value

    def _head_object(self, Bucket: str, Key: str) -> None:
        if (Bucket, Key) not in self.objects:
            raise make_error("404", "Not Found", "HeadObject", 404)

    def _put_object(self, Bucket: str, Key: str, Body: Any, IfNoneMatch: str, Metadata: Request) -> None:
        assert IfNoneMatch == "*" and Metadata
        if (Bucket, Key) in self.objects:
            raise make_error("PreconditionFailed", "At least one of the conditions did not hold", "PutObject", 412)
        self.objects[Bucket, Key] = Body.read()

    def _describe_model(self, ModelName: str) -> Request:
        return self._find(self.models, ModelName, "model", "DescribeModel")

    def _create_model(self, ModelName: str, **rest: Any) -> None:
        self._add(self.models, ModelName, {"ModelName": ModelName, **rest}, "model", "CreateModel")

    def _delete_model(self, ModelName: str) -> None:
        self._find(self.models, ModelName, "model", "DeleteModel")
        del self.models[ModelName]

    def _list_models(self, NameContains: str) -> Request:
        return {"Models": [{"ModelName": name} for name in self.models if NameContains in name]}

    def _describe_endpoint_config(self, EndpointConfigName: str) -> Request:
        return self._find(self.configs, EndpointConfigName, "endpoint configuration", "DescribeEndpointConfig")

    def _create_endpoint_config(self, EndpointConfigName: str, **rest: Any) -> None:
        for variant in rest["ProductionVariants"]:
            self._find(self.models, variant["ModelName"], "model", "CreateEndpointConfig")
        value = {"EndpointConfigName": EndpointConfigName, **rest}
        self._add(self.configs, EndpointConfigName, value, "endpoint configuration", "CreateEndpointConfig")

    def _delete_endpoint_config(self, EndpointConfigName: str) -> None:
        self._find(self.configs, EndpointConfigName, "endpoint configuration", "DeleteEndpointConfig")
        there = [each for each in self.endpoints.values() if each["EndpointStatus"] != "Deleting"]
        used = {each.get(name) for each in there for name in ("EndpointConfigName", "wanted")}
        assert EndpointConfigName not in used, "a configuration in use is deleted"
        del self.configs[EndpointConfigName]

    def _list_endpoint_configs(self, NameContains: str) -> Request:
        return {"EndpointConfigs": [{"EndpointConfigName": name} for name in self.configs if NameContains in name]}

    def _describe_model_package_group(self, ModelPackageGroupName: str) -> Request:
        if ModelPackageGroupName not in self.groups:
            message = f"ModelPackageGroup {ModelPackageGroupName} does not exist."
            raise make_error("ValidationException", message, "DescribeModelPackageGroup")
        return self.groups[ModelPackageGroupName]

    def _create_model_package_group(self, ModelPackageGroupName: str, **rest: Any) -> None:
        if ModelPackageGroupName in self.groups:
            message = f"Model Package Group already exists: {ModelPackageGroupName}"
            raise make_error("ValidationException", message, "CreateModelPackageGroup")
        self.groups[ModelPackageGroupName] = rest

    def _list_model_packages(self, ModelPackageGroupName: str, NextToken: str = "0") -> Request:
        mine = [each for each in self.packages if each["ModelPackageGroupName"] == ModelPackageGroupName]
        at = int(NextToken)
        names = ("ModelPackageArn", "ModelPackageDescription", "ModelApprovalStatus")
        page = [{name: each[name] for name in names} for each in mine[at : at + 1]]
        more = {"NextToken": str(at + 1)} if at + 1 < len(mine) else {}
        return {"ModelPackageSummaryList": page, **more}

    def _create_model_package(self, ClientToken: str, **rest: Any) -> Request:
        for package in self.packages:
            if package["ClientToken"] == ClientToken:
                return {"ModelPackageArn": package["ModelPackageArn"]}
        number = len(self.packages) + 1
        arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{rest['ModelPackageGroupName']}/{number}"
        self.packages.append({"ModelPackageArn": arn, "ClientToken": ClientToken, **rest})
        return {"ModelPackageArn": arn}

    def _update_model_package(self, ModelPackageArn: str, **rest: Any) -> None:
        next(each for each in self.packages if each["ModelPackageArn"] == ModelPackageArn).update(rest)

    def _put_metric_alarm(self, AlarmName: str, **rest: Any) -> None:
        self.alarms[AlarmName] = rest

    def _describe_alarms(self, AlarmNamePrefix: str) -> Request:
        return {"MetricAlarms": [{"AlarmName": name} for name in self.alarms if name.startswith(AlarmNamePrefix)]}

    def _delete_alarms(self, AlarmNames: list[str]) -> None:
        for name in AlarmNames:
            self.alarms.pop(name, None)

    def _describe_scalable_targets(self, ServiceNamespace: str, ResourceIds: list[str]) -> Request:
        return {"ScalableTargets": [self.scaled[name] for name in ResourceIds if name in self.scaled]}

    def _register_scalable_target(self, ResourceId: str, **rest: Any) -> None:
        self.scaled[ResourceId] = rest

    def _deregister_scalable_target(self, ResourceId: str, **_: Any) -> None:
        del self.scaled[ResourceId]

    def _put_scaling_policy(self, ResourceId: str, **rest: Any) -> None:
        self.policies[ResourceId] = rest

    def _describe_endpoint(self, EndpointName: str) -> Request:
        found = self._find(self.endpoints, EndpointName, "endpoint", "DescribeEndpoint")
        return {name: value for name, value in found.items() if name != "wanted"}

    def _create_endpoint(self, EndpointName: str, EndpointConfigName: str, Tags: list[Request]) -> None:
        self._find(self.configs, EndpointConfigName, "endpoint configuration", "CreateEndpoint")
        value = {
            "EndpointName": EndpointName,
            "EndpointConfigName": EndpointConfigName,
            "EndpointStatus": "Creating",
            "LastModifiedTime": self._now(),
            "wanted": EndpointConfigName,
        }
        self._add(self.endpoints, EndpointName, value, "endpoint", "CreateEndpoint")

    def _update_endpoint(self, EndpointName: str, EndpointConfigName: str, **rest: Any) -> None:
        endpoint = self._find(self.endpoints, EndpointName, "endpoint", "UpdateEndpoint")
        self._find(self.configs, EndpointConfigName, "endpoint configuration", "UpdateEndpoint")
        for alarm in rest.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {}).get("Alarms", ()):
            assert alarm["AlarmName"] in self.alarms, "an update names an alarm that does not exist"
        if endpoint["EndpointStatus"] != "InService":
            raise make_error("ValidationException", "Cannot update in-progress endpoint.", "UpdateEndpoint")
        endpoint |= {"EndpointStatus": "Updating", "LastModifiedTime": self._now(), "wanted": EndpointConfigName}
        endpoint["asked"] = rest

    def _delete_endpoint(self, EndpointName: str) -> None:
        self._find(self.endpoints, EndpointName, "endpoint", "DeleteEndpoint")
        self.endpoints[EndpointName]["EndpointStatus"] = "Deleting"

    def _invoke_endpoint(self, EndpointName: str, Body: bytes, **_: Any) -> Request:
        endpoint = self.endpoints.get(EndpointName)
        if endpoint is None or endpoint["EndpointStatus"] not in ("InService", "Updating"):
            raise make_error("ValidationError", f"Endpoint {EndpointName} not found.", "InvokeEndpoint")
        rows = json.loads(Body).get("dataframe_records")
        if rows is None:
            told = json.dumps({"error_code": "BAD_BODY", "message": "no rows"})
            more = {"OriginalStatusCode": 400, "OriginalMessage": told}
            raise make_error("ModelError", "Received client error (400)", "InvokeEndpoint", 424, **more)
        config = self.configs[endpoint["EndpointConfigName"]]
        model = self.models[config["ProductionVariants"][0]["ModelName"]]
        version = model["PrimaryContainer"]["Environment"]["TOLLGATE_MODEL_VERSION"]
        body = json.dumps({"predictions": self.score(version, rows), "model_version": version}).encode()
        return {"Body": io.BytesIO(body), "ContentType": "application/json"}


class _Client:
    def __init__(self, aws: FakeAws, service: str) -> None:
        self._aws = aws
        self._service = service

    def __getattr__(self, operation: str) -> Callable[..., Request]:
        return lambda **parameters: self._aws.answer(self._service, operation, parameters)
