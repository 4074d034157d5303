"""The door: which target a pipeline's declaration asks for."""

from __future__ import annotations

from include.declaration.models import Pipeline
from include.deployment.target import DeploymentTarget
from include.settings import Settings


def open_target(settings: Settings, pipeline: Pipeline, connection: object | None = None) -> DeploymentTarget:
    """The target that serves ``pipeline``. Each kind is imported here only, so that no other's library is needed.

    ``connection`` is what the caller connects with, as the kind takes it (SageMaker: a callable from a service's name
    to its boto3 client; KServe: a kubernetes ApiClient); None: the kind's own default chain.
    """
    kind = pipeline.deployment.target.kind
    if kind == "local":
        from include.deployment.local.target import LocalEndpoint

        return LocalEndpoint(settings, pipeline)
    raise ValueError(f"no target is of kind {kind!r}")
