"""SageMaker behind the door: what is live is what DescribeEndpoint names, compared with what was asked for every time.

After a rollback of its own the service reports InService again, on the old configuration. Nothing here takes that for
success: the live EndpointConfigName has to be the one that was asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.cloud.calls import Aws
from include.cloud.clients import GLANCE_SETTINGS, Clients, make_clients
from include.declaration.models import Pipeline
from include.declaration.sagemaker import SageMakerTarget
from include.deployment.sagemaker.artifact import name_key, pack_model, upload_artifact
from include.deployment.sagemaker.asked import Asked, note_asked, read_asked
from include.deployment.sagemaker.earlier import find_earlier, list_served
from include.deployment.sagemaker.endpoint import Seen, look_at
from include.deployment.sagemaker.making import make_release, put_alarms
from include.deployment.sagemaker.names import name_endpoint, read_version
from include.deployment.sagemaker.requests import Request, build_alarms, build_rollout, plan_release, tag
from include.deployment.sagemaker.tidying import clear_releases, scale_endpoint, stop_scaling
from include.deployment.sagemaker.words import describe_rollback, refuse_to_go_back, say_busy
from include.deployment.target import Answer, Progress, Release, State, TargetStatus
from include.errors import TargetRefused, TollgateError
from include.records import utc_now
from include.settings import Settings

# An update is shown as such at once; one that is not, that long after it was asked for, was not taken.
_SHOWN_WITHIN = timedelta(seconds=30)
# Configurations that can be gone back to, beside the one that is live.
_KEPT = 2


class SageMakerEndpoint:
    """The DeploymentTarget of one pipeline that declares SageMaker."""

    kind = "sagemaker"

    def __init__(
        self, settings: Settings, pipeline: Pipeline, target: SageMakerTarget, clients: Clients | None = None
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._target = target
        self._given = clients
        self._aws = Aws(clients or make_clients(target.region))
        self._endpoint = name_endpoint(pipeline.name)

    def deploy(self, release: Release) -> Progress:
        """See DeploymentTarget. One run asks once: a second try of a run whose update the service has rolled back
        raises RolledBack."""
        version = release.version.version
        with pack_model(release.model_dir) as artifact:
            key = name_key(self._target, self._pipeline.name, artifact.sha256)
            plan = plan_release(self._pipeline, self._target, version, f"s3://{self._target.bucket}/{key}")
            seen = look_at(self._aws, self._endpoint)
            known = self._find_known(seen, version, plan.config_name, release.by)
            if known is not None:
                return known
            upload_artifact(self._aws, self._target.bucket, key, artifact)
        make_release(self._aws, self._pipeline, self._target, version, plan)
        return self._ask(seen, version, plan.config_name, plan.alarms, release.by, release.reason)

    def check(self, version: str) -> Progress:
        """See DeploymentTarget."""
        asked, seen = read_asked(self._settings, self._pipeline.name), look_at(self._aws, self._endpoint)
        wanted = asked.config if asked is not None and asked.version == version else None
        if seen is None:
            raise TargetRefused(
                f"The endpoint {self._endpoint} does not exist: it was not asked for, or it was deleted.",
                next_step=f"Trigger {self._pipeline.name}.deploy_model with version={version}.",
                target="sagemaker",
                call="describe_endpoint",
                code="missing",
            )
        if seen.changing:
            return self._progress(version, "under_way", wanted, asked, f"the endpoint is {seen.status}")
        live = seen.config == wanted if wanted is not None else seen.version == version
        if seen.live and live:
            self._finish(seen)
            return self._progress(version, "live", seen.config, asked, "the live configuration is the one asked for")
        if asked is not None and wanted is not None and seen.modified == asked.seen and self._is_fresh(asked):
            return self._progress(version, "under_way", wanted, asked, "the endpoint does not show the change yet")
        raise describe_rollback(self._endpoint, seen, version, wanted, asked)

    def status(self) -> TargetStatus:
        """See DeploymentTarget."""
        asked = read_asked(self._settings, self._pipeline.name)
        url = f"sagemaker://{self._target.region}/{self._endpoint}"
        declared = asked.version if asked is not None else None
        aws = Aws(self._given or make_clients(self._target.region, GLANCE_SETTINGS))
        try:
            seen = look_at(aws, self._endpoint)
        except TollgateError as error:
            return TargetStatus(self._pipeline.name, url, "down", declared, None, False, problem=error.message)
        if seen is None:
            return TargetStatus(self._pipeline.name, url, "no model deployed yet", None, None, True)
        served = seen.version if seen.status not in ("Creating", "Failed", "OutOfService") else None
        problem: str | None = None
        state = "changing" if seen.changing else "ready" if seen.live else "broken"
        if asked is not None and seen.live and seen.config != asked.config:
            problem = f"SageMaker serves {seen.config}, not {asked.config} as asked"
            problem += f": {seen.failure}" if seen.failure else ""
        elif state == "broken":
            problem = f"the endpoint is {seen.status}: {seen.failure or 'SageMaker says no more'}"
        notes = (f"endpoint {self._endpoint} ({seen.status}), configuration {seen.config or 'none yet'}",)
        declared = declared or served
        agree = state == "ready" and problem is None and declared == served
        return TargetStatus(
            self._pipeline.name, url, state, declared, served, agree, since=seen.modified, problem=problem, notes=notes
        )

    def find_declared(self) -> str | None:
        """See DeploymentTarget: the live configuration's, for what SageMaker serves nobody else decides."""
        try:
            seen = look_at(self._aws, self._endpoint)
        except TollgateError:
            return None
        return seen.version if seen is not None else None

    def predict(self, body: bytes, content_type: str) -> Answer:
        """See DeploymentTarget."""
        try:
            answer = self._aws.call(
                "sagemaker-runtime",
                "invoke_endpoint",
                EndpointName=self._endpoint,
                Body=body,
                ContentType=content_type,
                Accept="application/json",
            )
        except TollgateError as error:
            told = getattr(error.__cause__, "response", {})
            if error.facts.get("code") != "ModelError":
                raise
            said = str(told.get("OriginalMessage", "")).encode()
            return Answer(int(told.get("OriginalStatusCode", 500)), said, "application/json")
        return Answer(200, answer["Body"].read(), str(answer.get("ContentType") or ""))

    def roll_back(self, version: str | None, by: str, reason: str) -> Progress:
        """See DeploymentTarget: one update to the configuration that served before, with its own alarms."""
        seen = look_at(self._aws, self._endpoint)
        asked = read_asked(self._settings, self._pipeline.name)
        if asked is not None and asked.by == by and seen is not None and (seen.changing or seen.config == asked.config):
            state: State = "under_way" if seen.changing else "live"
            return self._progress(asked.version, state, asked.config, asked, f"the endpoint is {seen.status}")
        earlier = find_earlier(self._settings, self._pipeline.name, seen, version)
        if self._aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=earlier) is None:
            raise refuse_to_go_back(self._pipeline.name, f"has no configuration {earlier} any more", version)
        number = read_version(earlier) or ""
        known = self._find_known(seen, number, earlier, by)
        if known is not None:
            return known
        alarms = build_alarms(self._pipeline, self._target, earlier)
        put_alarms(self._aws, alarms)
        return self._ask(seen, number, earlier, alarms, by, reason)

    def retire(self) -> None:
        """See DeploymentTarget."""
        stop_scaling(self._aws, self._endpoint)
        seen = look_at(self._aws, self._endpoint)
        if seen is not None and seen.status != "Deleting":
            self._aws.drop("sagemaker", "delete_endpoint", EndpointName=self._endpoint)
        clear_releases(self._aws, self._pipeline.name, keep=())

    def _find_known(self, seen: Seen | None, version: str, config: str, by: str) -> Progress | None:
        """What an earlier try has reached already; None when the endpoint is to be asked now. Raises TargetBusy while
        it does something else, RolledBack when this very run was rolled back."""
        asked = read_asked(self._settings, self._pipeline.name)
        ours = asked is not None and asked.config == config
        if seen is None:
            return None
        if seen.changing:
            if ours and seen.status != "Deleting":
                return self._progress(version, "under_way", config, asked, f"the endpoint is {seen.status} already")
            raise say_busy(self._endpoint, seen, f"is {seen.status}; version {version} has to wait")
        if seen.live and seen.config == config:
            self._finish(seen)
            return self._progress(version, "live", config, asked, "it is served already")
        if ours and asked is not None and asked.by == by and seen.modified != asked.seen and seen.failure:
            raise describe_rollback(self._endpoint, seen, version, config, asked)
        return None

    def _ask(
        self, seen: Seen | None, version: str, config: str, alarms: tuple[Request, ...], by: str, reason: str
    ) -> Progress:
        if seen is not None and seen.status == "Failed":
            # Never in service, and deleting it is all that SageMaker does with such a one.
            self._aws.drop("sagemaker", "delete_endpoint", EndpointName=self._endpoint)
            seen = look_at(self._aws, self._endpoint)
            if seen is not None:
                raise say_busy(self._endpoint, seen, "had failed and is being deleted first")
        before = seen.config if seen is not None else None
        asked = Asked(version, config, before, by, reason, seen.modified if seen is not None else "", utc_now())
        note_asked(self._settings, self._pipeline.name, asked)
        names = {"EndpointName": self._endpoint, "EndpointConfigName": config}
        if seen is None:
            self._aws.make("sagemaker", "create_endpoint", **names, Tags=tag(self._pipeline))
            return self._progress(version, "under_way", config, asked, "the endpoint is being created")
        rollout = build_rollout(self._pipeline, self._target, alarms)
        guarded = {"DeploymentConfig": rollout} if rollout is not None else {}
        # Where the fleet scales by itself, the new one is given the size that the old one has grown to.
        retained = {"RetainAllVariantProperties": self._target.autoscaling is not None}
        try:
            self._aws.call("sagemaker", "update_endpoint", **names, **retained, **guarded)
        except TargetRefused:
            # botocore repeats a request whose answer was lost, and the second meets what the first began.
            now = look_at(self._aws, self._endpoint)
            if now is None or not (now.changing or now.config == config):
                raise
        return self._progress(version, "under_way", config, asked, "the endpoint is being updated")

    def _finish(self, seen: Seen) -> None:
        """What follows once the live configuration is the one asked for: scaling, and the clearing away of what no
        rollback needs."""
        if seen.config is None:
            return
        if self._target.serverless is None:
            scale_endpoint(self._aws, self._target, self._endpoint)
        earlier = [place for place in list_served(self._settings, self._pipeline.name) if place != seen.config]
        asked = read_asked(self._settings, self._pipeline.name)
        if asked is not None and asked.before:
            earlier = [asked.before, *(place for place in earlier if place != asked.before)]
        clear_releases(self._aws, self._pipeline.name, keep={seen.config, *earlier[:_KEPT]})

    def _progress(self, version: str, state: State, config: str | None, asked: Asked | None, detail: str) -> Progress:
        before = read_version(asked.before) if asked is not None else None
        return Progress(
            version,
            state,
            detail,
            previous_version=before,
            place=config or "",
            facts={"endpoint": self._endpoint, "asked_at": asked.at if asked is not None else None},
        )

    def _is_fresh(self, asked: Asked) -> bool:
        return datetime.now(UTC) - datetime.fromisoformat(asked.at) < _SHOWN_WITHIN
