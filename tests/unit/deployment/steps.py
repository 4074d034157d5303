"""Steps that the tests of deploying take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from include.contracts import Deployment as Deployed
from include.contracts import ModelVersion
from include.declaration import Deployment, Pipeline
from include.deployment.local.deploy import deploy_version
from include.records import list_records
from include.settings import Settings
from tests.unit.served_models import Server

StartEndpoint = Callable[[], Server]


def make_version(number: str) -> ModelVersion:
    return ModelVersion("parcels", number, f"run-{number}", f"models:/parcels/{number}", "2013-01", "digest")


def hurry(pipeline: Pipeline, seconds: float) -> Pipeline:
    return pipeline.model_copy(update={"deployment": Deployment(swap_seconds=seconds)})


def deploy_now(settings: Settings, pipeline: Pipeline, number: str, model_dir: Path) -> Deployed:
    return deploy_version(settings, pipeline, make_version(number), model_dir, by="a test", reason=f"because {number}")


def list_deployments(settings: Settings) -> list[str]:
    return [str(record["version"]) for _, record in list_records(settings, "parcels", "deployment")]
