"""The door: which target a pipeline's declaration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from include.declaration.kserve import KServeTarget
from include.declaration.models import Pipeline
from include.declaration.sagemaker import SageMakerTarget
from include.deployment.served import rebuild_pointer
from include.deployment.status import EndpointStatus
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
    if isinstance(target, KServeTarget):
        from include.deployment.kserve.target import KServeEndpoint

        return KServeEndpoint(settings, pipeline, target, connection)
    from include.deployment.local.target import LocalEndpoint

    return LocalEndpoint(settings, pipeline)


def read_status(settings: Settings, pipeline: Pipeline, connection: object | None = None) -> EndpointStatus:
    """What the pipeline's endpoint should serve and what it does, whatever serves it; raises nothing when it is down,
    but says so. Since when and why is the ledger's where the target does not say it."""
    if pipeline.deployment.port_offset is not None:
        from include.deployment.local import status

        return status.read_status(settings, pipeline)
    told = open_target(settings, pipeline, connection).status()
    known = rebuild_pointer(settings, pipeline.name)
    shown = EndpointStatus(
        pipeline=pipeline.name,
        url=told.url,
        state=told.state,
        declared_version=told.declared_version,
        served_version=told.served_version,
        agree=told.agree,
        since=told.since,
        problem=told.problem,
        notes=told.notes,
    )
    return shown.explain(known if known is not None and known.version == told.served_version else None)
