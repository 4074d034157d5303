"""Invariant 3 where a service serves: registry and service name the same version, or a person is told.

Nothing is mended here: what the service serves went through its rollout, or was put there by somebody with rights of
his own, and neither is undone behind their backs.
"""

from __future__ import annotations

from include.declaration.models import Pipeline
from include.deployment.door import open_target
from include.deployment.recorded import is_retired
from include.settings import Settings
from include.steps.mendings import note_agreement, note_disagreement
from include.tracking.quick import read_champion

# A service that is away for a moment, or a rollout between its end and the alias, is no news.
_LOOKS = 2


def compare_hosted(settings: Settings, pipeline: Pipeline, connection: object | None = None) -> str:
    """Say once what differs; "" when nothing does. Raises TrackingUnavailable."""
    status = open_target(settings, pipeline, connection).status()
    champion = read_champion(settings, pipeline.name)
    if status.state == "changing" or (status.served_version is None and champion is None and status.state != "down"):
        return ""
    if status.served_version is None and status.state != "down" and is_retired(settings, pipeline.name):
        return ""
    deploy = f"Trigger {pipeline.name}.deploy_model with the version that customers should get."
    if status.state in ("down", "broken"):
        problem = f"{status.url} is {status.state}: {status.problem}"
        return note_disagreement(settings, pipeline, problem, "See its credentials and its own console.", looks=_LOOKS)
    if status.served_version != champion:
        named = f"version {champion}" if champion else "no version"
        problem = f"{status.url} serves version {status.served_version or 'none'}; the registry's champion is {named}."
        return note_disagreement(settings, pipeline, problem, deploy, looks=_LOOKS)
    note_agreement(settings, pipeline)
    return ""
