"""The alias champion follows what the pointer says, also when two want to move it at once."""

from __future__ import annotations

from include.declaration.models import Pipeline
from include.deployment.left import describe_left, find_left
from include.deployment.local.deploy import read_sound_pointer
from include.deployment.target import DeploymentTarget
from include.errors import DeploymentStopped
from include.pointer import locate_endpoint_folder
from include.settings import Settings
from include.tracking.registry import promote_champion


def name_champion(settings: Settings, pipeline_name: str, version: str, reason: str) -> None:
    """Name a version champion that was just deployed and verified; a repeat changes nothing.

    The registry is never asked under the endpoint's lock, so somebody may roll back meanwhile: the pointer is looked at
    before and after. Raises DeploymentStopped, with the alias where the pointer is, when it names another version.
    """
    _check_pointer(settings, pipeline_name, version)
    promote_champion(settings, pipeline_name, version, reason)
    try:
        _check_pointer(settings, pipeline_name, version)
    except DeploymentStopped:
        pointer = read_sound_pointer(locate_endpoint_folder(settings, pipeline_name))
        if pointer is not None:
            promote_champion(settings, pipeline_name, pointer.version, pointer.reason)
        raise


def name_hosted_champion(
    settings: Settings, pipeline: Pipeline, version: str, reason: str, target: DeploymentTarget
) -> None:
    """The same where a service serves: what counts is what it serves now, asked before and after."""
    _check_served(settings, pipeline.name, version, target)
    promote_champion(settings, pipeline.name, version, reason)
    _check_served(settings, pipeline.name, version, target)


def _check_served(settings: Settings, pipeline_name: str, version: str, target: DeploymentTarget) -> None:
    declared = target.find_declared()
    if declared is not None and declared != version:
        raise _stop(settings, pipeline_name, version, declared)


def _check_pointer(settings: Settings, pipeline_name: str, version: str) -> None:
    pointer = read_sound_pointer(locate_endpoint_folder(settings, pipeline_name))
    # One that was lost or damaged meanwhile says nothing about what customers get.
    if pointer is None or pointer.version == version:
        return
    raise _stop(settings, pipeline_name, version, pointer.version)


def _stop(settings: Settings, pipeline_name: str, version: str, served: str) -> DeploymentStopped:
    left = find_left(settings, pipeline_name, version)
    told = describe_left(left).rstrip(".") if left else f"Version {served} was deployed instead"
    return DeploymentStopped(
        f"{told}, before version {version} could be named champion.",
        next_step=f"If it is to come back, trigger {pipeline_name}.deploy_model with version={version}.",
        pipeline=pipeline_name,
        version=version,
    )
