"""A deployment that a person asks for from a shell: the same gates and the same door as the DAG, step by step."""

from __future__ import annotations

import time

from include.contracts import Deployment, ModelVersion, RunIdentity
from include.declaration.limits import limit_rollout
from include.declaration.models import Pipeline
from include.deployment.door import open_target
from include.deployment.left import allow_again
from include.deployment.recorded import note_retired
from include.errors import TargetBusy, TerminalError
from include.settings import Settings
from include.steps.deploy import deploy_champion, measure_latency, shift_traffic, try_in_sandbox
from include.steps.hosted import begin_rollout, look_at_rollout
from include.tracking.registry import set_challenger

_LOOK_SECONDS = 2.0


def deploy_by_hand(
    settings: Settings, pipeline: Pipeline, number: str, who: str, connection: object | None = None
) -> Deployment:
    """Sandbox, latency gate, rollout, replay and champion, for a blessed version; returns when it is live.

    Raises NotBlessed, TerminalError where the declaration asks for a person's approval, and what each gate raises.
    """
    if pipeline.deployment.approval is not None:
        raise TerminalError(
            f"{pipeline.name} asks for a person's approval, which only its DAG can get.",
            next_step=f"Trigger {pipeline.name}.deploy_model with version={number}.",
            pipeline=pipeline.name,
            version=number,
        )
    version = set_challenger(settings, pipeline.name, number)
    allow_again(settings, pipeline.name, number)
    reason = f"{who} deployed it by hand. Blessed for {version.partition}."
    identity = RunIdentity("by hand", f"{who}-{int(time.time())}", "deploy")
    try_in_sandbox(settings, pipeline, version)
    measure_latency(settings, pipeline, version, identity)
    if pipeline.deployment.port_offset is not None:
        shift_traffic(settings, pipeline, version, identity, reason)
    else:
        begin_rollout(settings, pipeline, version, identity, reason, connection)
        _wait(settings, pipeline, version, connection)
    return deploy_champion(settings, pipeline, version, identity, reason, connection)


def _wait(settings: Settings, pipeline: Pipeline, version: ModelVersion, connection: object | None) -> None:
    deadline = time.monotonic() + limit_rollout(pipeline).total_seconds()
    while look_at_rollout(settings, pipeline, version.version, connection).state != "live":
        if time.monotonic() > deadline:
            raise TargetBusy(
                f"The rollout of version {version.version} is not over.",
                next_step="See make status; the service goes on by itself.",
                target=pipeline.deployment.target.kind,
                endpoint=pipeline.name,
                state="under_way",
            )
        time.sleep(_LOOK_SECONDS)


def retire_by_hand(settings: Settings, pipeline: Pipeline, who: str, connection: object | None = None) -> None:
    """Serve nothing any more. The registry keeps its champion, who is served again by the next deployment."""
    open_target(settings, pipeline, connection).retire()
    note_retired(settings, pipeline.name, f"{who} retired the endpoint")
