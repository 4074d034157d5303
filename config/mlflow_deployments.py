"""``mlflow deployments … -t tollgate:/<pipeline>``: MLflow's deployment API in front of Tollgate's door.

A pipeline has one deployment, named as the pipeline. What is deployed is a blessed version of the registry, and it goes
through the same gates, rollout and proof as in the DAG; who is logged in is who asked for it. Credentials are those of
AWS's default chain.
"""

from __future__ import annotations

import contextlib
import getpass
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST

from include.declaration import Pipeline
from include.declaration.loader import get_pipeline
from include.deployment.door import open_target
from include.errors import TollgateError
from include.settings import Settings, load_settings

_FLAVOR = "python_function"


def target_help() -> str:
    """What `mlflow deployments help -t tollgate` says."""
    return (
        "The target is tollgate:/<pipeline>, and the deployment's name is the pipeline's.\n"
        "create, update  -m models:/<pipeline>/<version> or models:/<pipeline>@challenger: a blessed version, through\n"
        "                sandbox, latency gate and guarded rollout; returns when it is live or was taken back\n"
        "predict         a JSON table of raw requests, as pandas reads it\n"
        "get, list       what is served, by the target's own account\n"
        "delete          serve nothing any more\n"
        "Where and how is the pipeline's declaration; no -C configuration is taken."
    )


def run_local(target: str, name: str, model_uri: str, flavor: str | None = None, config: Any = None) -> NoReturn:
    """Not offered: a pipeline that declares a LocalTarget is served by `make run`."""
    raise MlflowException("Tollgate runs local endpoints with `make run`; declare a LocalTarget.")


@contextlib.contextmanager
def _as_mlflow() -> Iterator[None]:
    """What Tollgate raises, as MLflow's clients expect it."""
    try:
        yield
    except TollgateError as error:
        raise MlflowException(str(error)) from error


def _name_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need have no name
        return "somebody without a user name"


class TollgateDeployments(BaseDeploymentClient):
    """One pipeline's endpoint, whatever serves it."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        name = target_uri.partition(":")[2].strip("/")
        with _as_mlflow():
            self._settings: Settings = load_settings()
            self._pipeline: Pipeline = get_pipeline(self._settings, name)

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: Any = None, endpoint: str | None = None
    ) -> dict[str, Any]:
        """Deploy the first version. Refused when another one is served."""
        self._check(name, flavor, config, endpoint)
        served = open_target(self._settings, self._pipeline).status().served_version
        if served is not None and served != self._find_version(model_uri):
            raise MlflowException(
                f"{name} serves version {served} already; use update.", error_code=RESOURCE_ALREADY_EXISTS
            )
        return self._deploy(model_uri)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Any = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Deploy another version; what serves now does until that one is live."""
        self._check(name, flavor, config, endpoint)
        if model_uri is None:
            raise MlflowException("Give the version as --model-uri.", error_code=INVALID_PARAMETER_VALUE)
        return self._deploy(model_uri)

    def delete_deployment(self, name: str, config: Any = None, endpoint: str | None = None) -> None:
        """Serve nothing any more."""
        from include.steps.by_hand import retire_by_hand

        self._check(name, None, config, endpoint)
        with _as_mlflow():
            retire_by_hand(self._settings, self._pipeline, _name_user())

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """The pipeline's one deployment, or none."""
        found = self._describe()
        return [found] if found["served_version"] is not None else []

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """What is served, and what is wrong with it."""
        self._check(name, None, None, endpoint)
        found = self._describe()
        if found["served_version"] is None and found["state"] == "no model deployed yet":
            raise MlflowException(f"{name} serves nothing.", error_code=RESOURCE_DOES_NOT_EXIST)
        return found

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """Ask the live endpoint about a table of raw requests."""
        self._check(deployment_name or "", None, None, endpoint)
        table = inputs.astype(object).where(inputs.notna(), None)
        body = json.dumps({"dataframe_records": table.to_dict("records")}, default=str).encode()
        with _as_mlflow():
            answer = open_target(self._settings, self._pipeline).predict(body, "application/json")
        if answer.status != 200:
            raise MlflowException(
                f"The endpoint refused it ({answer.status}): {answer.body[:500].decode(errors='replace')}"
            )
        response: PredictionsResponse = PredictionsResponse.from_json(answer.body)
        return response

    def _check(self, name: str, flavor: str | None, config: Any, endpoint: str | None) -> None:
        """Raises MlflowException for what this target has not."""
        if name != self._pipeline.name:
            raise MlflowException(
                f"The deployment of {self.target_uri} is named {self._pipeline.name!r}, not {name!r}.",
                error_code=INVALID_PARAMETER_VALUE,
            )
        if config or endpoint or flavor not in (None, _FLAVOR):
            raise MlflowException(
                "Where and how is declared with the pipeline: no flavor, configuration or endpoint is taken here.",
                error_code=INVALID_PARAMETER_VALUE,
            )

    def _find_version(self, model_uri: str) -> str:
        from include.tracking.registry import resolve_version

        with _as_mlflow():
            return resolve_version(self._settings, self._pipeline.name, model_uri)

    def _deploy(self, model_uri: str) -> dict[str, Any]:
        from include.steps.by_hand import deploy_by_hand

        number = self._find_version(model_uri)
        with _as_mlflow():
            deploy_by_hand(self._settings, self._pipeline, number, _name_user())
        return {**self._describe(), "flavor": _FLAVOR}

    def _describe(self) -> dict[str, Any]:
        status = open_target(self._settings, self._pipeline).status()
        names = ("url", "state", "declared_version", "served_version", "agree", "since", "problem")
        return {"name": self._pipeline.name, **{name: getattr(status, name) for name in names}}
