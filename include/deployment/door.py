"""The door: which target a pipeline's declaration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from include.declaration.models import Pipeline
from include.declaration.sagemaker import SageMakerTarget
from include.deployment.target import DeploymentTarget
from include.settings import Settings

if TYPE_CHECKING:
    from include.cloud.clients import Clients


def open_target(settings: Settings, pipeline: Pipeline, connection: object | None = None) -> DeploymentTarget:
    """The target that serves ``pipeline``. Each kind is imported here only, so that no other's library is needed.

    ``connection`` is what the caller connects with, as the kind takes it (SageMaker: a callable from a service's name
    to its boto3 client; KServe: a kubernetes ApiClient); None: the kind's own default chain.
    """
    target = pipeline.deployment.target
    if isinstance(target, SageMakerTarget):
        from include.deployment.sagemaker.target import SageMakerEndpoint

        return SageMakerEndpoint(settings, pipeline, target, cast("Clients | None", connection))
    from include.deployment.local.target import LocalEndpoint

    return LocalEndpoint(settings, pipeline)
