"""KServe behind the door: one InferenceService a pipeline, its revisions compared with what was asked for every time.

KServe has no controller of rollouts: each ``check`` looks once and takes at most one step. Whoever is killed between
two leaves a service that serves, and the next one goes on from what the cluster and the ledger say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from include.cloud.calls import Aws
from include.cloud.clients import Clients, make_clients
from include.cloud.kubernetes import Kubernetes, ObjectChanged
from include.declaration.kserve import KServeTarget, name_service
from include.declaration.models import Pipeline
from include.deployment.kserve.asking import ask_model
from include.deployment.kserve.changes import find_leaving, read_change
from include.deployment.kserve.lock import hold_service
from include.deployment.kserve.manifest import VERSION_LABEL, read_label
from include.deployment.kserve.observed import Seen, look_at, name_services
from include.deployment.kserve.steering import Steering
from include.deployment.target import Answer, Progress, Release, TargetStatus
from include.errors import TargetUnavailable, TollgateError
from include.settings import Settings

T = TypeVar("T")
# KServe writes the status of a service that changes several times a second; each writing makes a read one stale.
_TRIES = 4
_GLANCE_SECONDS = 4.0


class KServeEndpoint:
    """The DeploymentTarget of one pipeline that declares KServe. ``connection`` is a kubernetes ApiClient, ``clients``
    give S3; None: each one's default chain."""

    kind = "kserve"

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        target: KServeTarget,
        connection: object | None = None,
        clients: Clients | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._target = target
        self._connection = connection
        self._name = name_service(target, pipeline.name)
        self._kubernetes = Kubernetes(connection, target.context, target.request_seconds)
        aws = Aws(clients or make_clients(target.region))
        self._steering = Steering(settings, pipeline, target, self._kubernetes, aws, clock)

    def deploy(self, release: Release) -> Progress:
        """See DeploymentTarget. The files go to the declared storage first."""
        return self._steadily(lambda: self._steering.deploy(release))

    def check(self, version: str) -> Progress:
        """See DeploymentTarget. One look, and at most one step of the rollout."""
        return self._steadily(lambda: self._steering.check(version))

    def roll_back(self, version: str | None, by: str, reason: str) -> Progress:
        """See DeploymentTarget. While a rollout is under way, going back ends it."""
        return self._steadily(lambda: self._steering.roll_back(version, by, reason))

    def status(self) -> TargetStatus:
        """See DeploymentTarget."""
        url = f"kserve://{self._target.namespace}/{self._name}"
        glance = Kubernetes(self._connection, self._target.context, min(self._target.request_seconds, _GLANCE_SECONDS))
        try:
            seen = look_at(glance, self._target.namespace, self._name, self._pipeline.name)
        except TollgateError as error:
            return TargetStatus(self._pipeline.name, url, "down", None, None, False, problem=error.message)
        if seen is None:
            return TargetStatus(self._pipeline.name, url, "no model deployed yet", None, None, True)
        state, problem = self._describe_state(seen)
        change = read_change(self._settings, self._pipeline.name, seen.version)
        since = datetime.fromtimestamp(change.began_at, UTC).isoformat(timespec="milliseconds") if change else None
        agree = state == "ready" and seen.version == seen.served_version
        notes = (f"InferenceService {self._target.namespace}/{self._name}: {seen.describe()}",)
        declared, served = seen.version, seen.served_version
        return TargetStatus(
            self._pipeline.name, seen.url or url, state, declared, served, agree, since, problem=problem, notes=notes
        )

    def _describe_state(self, seen: Seen) -> tuple[str, str | None]:
        leaving = find_leaving(self._settings, self._pipeline.name)
        if leaving is not None:
            return "changing", f"version {leaving.version} is being taken back: {leaving.failed}"
        if seen.is_settled:
            return "ready", None
        failure = seen.find_failure(seen.release or "")
        return ("broken", failure) if failure else ("changing", None)

    def find_declared(self) -> str | None:
        """See DeploymentTarget: what the service's labels say."""
        try:
            found = self._kubernetes.find(name_services(self._target.namespace), self._name)
        except TollgateError:
            return None
        return read_label(found["spec"]["predictor"], VERSION_LABEL) if found is not None else None

    def predict(self, body: bytes, content_type: str) -> Answer:
        """See DeploymentTarget. KServe's own runtime takes requests of the v2 protocol beside rows."""
        seen = self._steering.look()
        if seen is None or not seen.url:
            raise TargetUnavailable(
                f"The InferenceService {self._name} has no address yet.",
                next_step="Wait until it is ready, or deploy a version.",
                target="kserve",
                call="predict",
                code="no address",
            )
        return ask_model(self._target, self._pipeline.name, seen.url, body, content_type)

    def retire(self) -> None:
        """See DeploymentTarget. The files in the storage stay: they are stored artifacts."""
        with hold_service(self._settings, self._pipeline.name):
            if self._steering.look() is not None:
                self._kubernetes.drop(name_services(self._target.namespace), self._name)

    def _steadily(self, step: Callable[[], T]) -> T:
        """Do the step, and again from a new look when somebody changed the service between look and writing."""
        with hold_service(self._settings, self._pipeline.name):
            for _ in range(_TRIES - 1):
                try:
                    return step()
                except ObjectChanged:
                    continue
            return step()
