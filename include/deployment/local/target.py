"""The endpoint on this machine behind the door: its rollout, its pointer and its status as every target has them."""

from __future__ import annotations

import json
from pathlib import Path

from include.declaration.models import Pipeline
from include.deployment.local.client import ask
from include.deployment.local.deploy import deploy_version, read_sound_pointer, verify_deployment
from include.deployment.local.lock import hold_endpoint, hold_rollback
from include.deployment.local.rollback import Request, end_rollback, roll_back
from include.deployment.local.rollout import roll_out
from include.deployment.local.status import read_status
from include.deployment.local.switch import locate_endpoint, withdraw_version
from include.deployment.recorded import note_retired
from include.deployment.status import EndpointStatus
from include.deployment.target import Answer, Progress, Release, State, TargetStatus
from include.errors import EndpointUnavailable, RolledBack, TargetUnavailable, TerminalError
from include.pointer import locate_endpoint_folder
from include.settings import Settings

# Another rollback of the same endpoint is over by then, unless the endpoint is down.
_PATIENCE_SECONDS = 20.0


class LocalEndpoint:
    """The DeploymentTarget of a pipeline that is served on this machine."""

    kind = "local"

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._folder = locate_endpoint_folder(settings, pipeline.name)

    def deploy(self, release: Release) -> Progress:
        """See DeploymentTarget; here the rollout is our own, so it is over when this returns. Raises also what
        ``roll_out``, ``deploy_version`` and ``verify_deployment`` raise."""
        given = (self._settings, self._pipeline, release.version)
        by, reason = release.by, release.reason
        report = roll_out(*given, release.model_dir, release.holdout_predictions, by, reason)
        deployed = deploy_version(*given, release.model_dir, by=by, reason=reason)
        verify_deployment(*given, release.holdout_predictions)
        return self._progress(deployed.version, "live", f"{report.outcome}: {report.reason}", deployed.previous_version)

    def check(self, version: str) -> Progress:
        """See DeploymentTarget."""
        status = read_status(self._settings, self._pipeline)
        if status.served_version == version and status.agree:
            return self._progress(version, "live", "the endpoint says so", status.previous_version)
        if status.state == "down":
            raise self._say_down(status)
        if status.declared_version == version or (status.rollout or {}).get("version") == version:
            return self._progress(version, "under_way", status.problem or status.state, status.served_version)
        raise RolledBack(
            f"The endpoint of {self._pipeline.name} serves version {status.served_version or 'none'}, and nothing is "
            f"under way that would have it serve version {version}.",
            next_step="See the run that deployed it, or deploy it again.",
            version=version,
            champion=status.served_version,
            stage="after its rollout",
            statistic="",
        )

    def status(self) -> TargetStatus:
        """See DeploymentTarget; ``read_status`` says more of this kind."""
        status = read_status(self._settings, self._pipeline)
        return TargetStatus(
            pipeline=status.pipeline,
            url=status.url,
            state="changing" if status.rollout or status.state == "starting" else status.state,
            declared_version=status.declared_version,
            served_version=status.served_version,
            agree=status.agree and status.rollout is None,
            since=status.since,
            problem=status.problem,
        )

    def find_declared(self) -> str | None:
        """See DeploymentTarget: the pointer's."""
        pointer = read_sound_pointer(self._folder)
        return pointer.version if pointer is not None else None

    def predict(self, body: bytes, content_type: str) -> Answer:
        """See DeploymentTarget."""
        endpoint = locate_endpoint(self._settings, self._pipeline)
        seconds = float(self._settings.endpoint_seconds)
        try:
            reply = ask(endpoint, "POST", "/invocations", content=body, content_type=content_type, seconds=seconds)
        except EndpointUnavailable as error:
            raise TargetUnavailable(
                error.message, next_step=error.next_step, target="local", call="predict", code="unreachable"
            ) from error
        version = reply.body.get("model_version") if isinstance(reply.body, dict) else None
        return Answer(reply.status, json.dumps(reply.body).encode(), "application/json", version)

    def roll_back(self, version: str | None, by: str, reason: str) -> Progress:
        """See DeploymentTarget; it is over when this returns. What is blessed, the caller knows."""

        def fetch(number: str) -> Path:
            raise TerminalError(
                f"The endpoint's own copy of version {number} is gone.",
                next_step=f"Trigger {self._pipeline.name}.deploy_model with version={number}.",
                pipeline=self._pipeline.name,
                version=number,
            )

        with hold_rollback(self._folder, _PATIENCE_SECONDS):
            request = Request(by, by, reason, version)
            switched = roll_back(self._settings, self._pipeline, request, lambda _: True, fetch)
            end_rollback(self._settings, self._pipeline.name)
        return self._progress(switched.deployment.version, "live", "the endpoint says so", switched.left)

    def retire(self) -> None:
        """See DeploymentTarget. The models stay on this machine, and the ledger says that nothing is served."""
        seconds = self._pipeline.deployment.swap_seconds
        with hold_endpoint(self._folder, 2 * seconds):
            pointer = read_sound_pointer(self._folder)
            if pointer is None:
                return
            why = "the endpoint was retired"
            endpoint = locate_endpoint(self._settings, self._pipeline)
            withdraw_version(endpoint, self._folder, pointer.version, why, seconds)
            note_retired(self._settings, self._pipeline.name, why)

    def _progress(self, version: str, state: State, detail: str, previous: str | None) -> Progress:
        pointer = read_sound_pointer(self._folder)
        place = pointer.model_dir if pointer is not None and pointer.version == version else ""
        return Progress(version, state, detail, previous_version=previous, place=place)

    def _say_down(self, status: EndpointStatus) -> TargetUnavailable:
        return TargetUnavailable(
            f"The endpoint {status.url} does not answer: {status.problem}",
            next_step="See that its process runs (make status, make logs).",
            target="local",
            call="check",
            code="down",
        )
