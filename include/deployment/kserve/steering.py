"""Takes an InferenceService from version to version, one look and at most one step a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from include.cloud.calls import Aws
from include.cloud.kubernetes import Kubernetes
from include.declaration.kserve import KServeTarget, name_service
from include.declaration.models import Pipeline
from include.deployment.kserve.changes import (
    Change,
    find_leaving,
    name_percent,
    note_change,
    plan_change,
    read_change,
)
from include.deployment.kserve.decisions import Decision, decide_back, decide_forward
from include.deployment.kserve.manifest import MODE, build_manifest, locate_model
from include.deployment.kserve.observed import Seen, look_at, name_services
from include.deployment.kserve.schema import check_manifest
from include.deployment.kserve.storage import publish_model
from include.deployment.kserve.words import Words, say_served
from include.deployment.kserve.writing import create_service, patch_percent, replace_service, set_percent
from include.deployment.left import refuse_left
from include.deployment.target import Progress, Release, State
from include.settings import Settings


class Steering:
    """The changes of one pipeline's service. Any method may raise ObjectChanged: it is called again then."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        target: KServeTarget,
        kubernetes: Kubernetes,
        aws: Aws,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._target = target
        self._kubernetes = kubernetes
        self._aws = aws
        self._clock = clock
        self._name = name_service(target, pipeline.name)
        self._words = Words(pipeline.name, f"{target.namespace}/{self._name}")
        self._limit = pipeline.deployment.rollout.maximum_execution_timeout_in_seconds

    def look(self) -> Seen | None:
        """One look. Raises TargetRefused for a service that is not this pipeline's, or cannot have a canary."""
        seen = look_at(self._kubernetes, self._target.namespace, self._name, self._pipeline.name)
        if seen is not None and seen.owner != self._pipeline.name:
            raise self._words.refuse(
                f"is not {self._pipeline.name}'s, but {seen.owner or 'somebody else'}'s",
                "Declare another deployment.target.name, or delete that service first.",
                "foreign",
            )
        if seen is not None and seen.mode not in (None, MODE):
            raise self._words.refuse(
                f"runs in KServe's mode {seen.mode}, which splits no traffic between revisions",
                "Install Knative for KServe, and delete that service: its mode cannot be changed.",
                "mode",
            )
        return seen

    def deploy(self, release: Release) -> Progress:
        """See DeploymentTarget."""
        version = release.version.version
        refuse_left(self._settings, self._pipeline.name, version)
        manifest = build_manifest(self._pipeline, self._target, version)
        check_manifest(manifest)
        seen, known = self.look(), self._read(version)
        if known is not None and known.failed and known.by == release.by:
            # One run asks once: its second try hears what came of the first.
            return self.check(version)
        planned = plan_change(self._settings, self._pipeline.name, manifest, seen, "deploy", release.by, release.reason)
        if seen is not None and seen.release == planned.release:
            if known is not None and known.release == planned.release and not known.ended:
                return self._tell("under_way", known, "it was asked for already")
            if seen.is_settled:
                return self._finish(known or replace(planned, began_at=self._clock()), "it is served already")
        self._refuse_while_busy(seen, version)
        folder = Path(self._target.storage_folder) if self._target.storage_folder is not None else None
        publish_model(self._aws, release.model_dir, self._locate(version), folder)
        return self._ask(seen, planned)

    def check(self, version: str) -> Progress:
        """See DeploymentTarget."""
        seen = self.look()
        leaving = find_leaving(self._settings, self._pipeline.name)
        if leaving is not None:
            return self._take_back(seen, leaving, version)
        known = self._read(version)
        if known is not None and known.ended == "taken back":
            raise self._words.describe_rollback(known)
        if seen is None:
            raise self._words.refuse("does not exist", self._words.say_deploy(version), "missing")
        if known is None:
            if seen.version == version and seen.is_settled:
                return Progress(version, "live", "it is served", place=self._locate(version))
            raise self._words.describe_unasked(version, seen)
        if seen.release != known.release:
            told = f"the service names version {seen.version or 'unknown'}, and not by this rollout"
            raise self._words.describe_rollback(replace(known, failed=told, outcome=say_served(seen)))
        if known.ended == "live":
            return self._compare_live(seen, known)
        rollout, grace = self._pipeline.deployment.rollout, self._pipeline.deployment.swap_seconds
        return self._apply(seen, known, decide_forward(seen, known, rollout, grace, self._clock()))

    def roll_back(self, version: str | None, by: str, reason: str) -> Progress:
        """See DeploymentTarget."""
        seen = self.look()
        current = self._read(seen.version) if seen is not None else None
        if seen is None or current is None:
            raise self._words.refuse_to_go_back("serves nothing that Tollgate put there", version)
        told = f"rolled back by {by}: {reason}"
        leaving = find_leaving(self._settings, self._pipeline.name)
        if leaving is not None:
            if leaving.previous_version is not None and version in (None, leaving.previous_version):
                return self._take_back(seen, leaving, leaving.previous_version)
            raise self._words.say_busy(seen, f"is giving version {leaving.version} up")
        if current.by == by and current.kind == "rollback":
            return self.check(current.version)
        if self._is_under_way(seen, current):
            back = current.previous_version
            if back is None:
                raise self._words.refuse_to_go_back("has no version before the one that is being brought up", version)
            if version in (None, back):
                return self._take_back(seen, self._fail(seen, current, told), back)
            note_change(
                self._settings, self._pipeline.name, replace(current, failed=told, ended="taken back", outcome="")
            )
        wanted = version or current.earlier_version
        earlier = self._read(wanted)
        if earlier is None:
            raise self._words.refuse_to_go_back(
                f"served no version {wanted} before" if wanted else "has no earlier one", wanted
            )
        if earlier.release == seen.release and seen.is_settled:
            return self._finish(earlier, "it is served already")
        planned = plan_change(self._settings, self._pipeline.name, earlier.manifest, seen, "rollback", by, reason)
        return self._ask(seen, planned)

    def _ask(self, seen: Seen | None, change: Change) -> Progress:
        leaving = find_leaving(self._settings, self._pipeline.name)
        if leaving is not None:  # given up long ago, and never ended
            note_change(self._settings, self._pipeline.name, replace(leaving, ended="taken back"))
        # Without a revision that had all requests KServe knows no canary: the first one gets all.
        percent = 0 if seen is not None and seen.settled_once else None
        change = self._note(replace(change, began_at=self._clock()), seen, percent)
        if seen is not None:
            replace_service(self._kubernetes, seen, set_percent(change.manifest, percent))
            return self._tell("under_way", change, "a new revision is asked for")
        if not create_service(self._kubernetes, dict(change.manifest)):
            raise self._words.say_made_meanwhile()
        return self._tell("under_way", change, "the service is made")

    def _apply(self, seen: Seen, known: Change, decision: Decision) -> Progress:
        change = decision.change
        if decision.action == "live":
            return self._finish(change, decision.detail)
        if decision.action == "fail":
            return self._take_back(seen, self._fail(seen, change, decision.detail), change.version)
        if decision.action == "share":
            change = self._note(change, seen, decision.percent)
            patch_percent(self._kubernetes, seen, decision.percent)
        elif change != known:
            note_change(self._settings, self._pipeline.name, change)
        return self._tell("under_way", change, decision.detail)

    def _fail(self, seen: Seen, change: Change, reason: str) -> Change:
        stage = "promotion" if seen.percent is None else "bake" if seen.percent == 100 else f"{seen.percent} %"
        stage = "start" if not change.reached else stage
        failed = replace(change, failed=reason, failed_at=self._clock(), stage=stage)
        note_change(self._settings, self._pipeline.name, failed)
        return failed

    def _take_back(self, seen: Seen | None, leaving: Change, version: str) -> Progress:
        """One step of giving ``leaving`` up, for a caller who asks how far ``version`` is. Raises RolledBack when that
        is the one that was given up, and it is over."""
        decision = decide_back(seen, leaving, self._limit, self._clock())
        if decision.action == "done":
            ended = replace(leaving, ended="taken back", outcome=decision.detail)
            note_change(self._settings, self._pipeline.name, ended)
            if version == leaving.version:
                raise self._words.describe_rollback(ended)
            live = seen is not None and seen.is_settled and seen.version == version
            state: State = "live" if live else "under_way"
            return Progress(version, state, decision.detail, leaving.version, self._locate(version))
        if decision.action == "withdraw":
            self._kubernetes.drop(name_services(self._target.namespace), self._name)
        elif seen is not None and decision.action == "share":
            leaving = self._note(leaving, seen, decision.percent)
            patch_percent(self._kubernetes, seen, decision.percent)
        elif seen is not None and decision.action == "restore" and leaving.restore is not None:
            before = set_percent(leaving.restore, 0)
            leaving = self._note(leaving, seen, 0)
            replace_service(self._kubernetes, seen, before)
        detail = f"version {leaving.version} is being taken back ({leaving.failed}): {decision.detail}"
        return Progress(version, "under_way", detail, leaving.previous_version, facts={"stage": leaving.stage})

    def _compare_live(self, seen: Seen, change: Change) -> Progress:
        if seen.carries_all(change.release):
            return self._tell("live", change, "it is served")
        if seen.traffic.get(change.release, 0) == 0 and seen.traffic:
            told = "KServe gives it no request any more"
            raise self._words.describe_rollback(replace(change, failed=told, stage="live", outcome=say_served(seen)))
        return self._tell("under_way", change, f"it was live: {seen.describe()}")

    def _finish(self, change: Change, detail: str) -> Progress:
        if change.ended != "live":
            change = replace(change, ended="live")
            note_change(self._settings, self._pipeline.name, change)
        return self._tell("live", change, detail)

    def _note(self, change: Change, seen: Seen | None, percent: int | None) -> Change:
        """Remember what is about to be asked for, and how far KServe had come before."""
        generation = seen.observed_generation if seen is not None else 0
        change = replace(change, observed={**change.observed, name_percent(percent): generation})
        note_change(self._settings, self._pipeline.name, change)
        return change

    def _locate(self, version: str) -> str:
        return locate_model(self._target, self._pipeline.name, version)

    def _read(self, version: str | None) -> Change | None:
        return read_change(self._settings, self._pipeline.name, version)

    def _is_under_way(self, seen: Seen, change: Change) -> bool:
        return not change.ended and change.release == seen.release and self._clock() - change.last_at <= self._limit

    def _refuse_while_busy(self, seen: Seen | None, version: str) -> None:
        if seen is None:
            return
        leaving = find_leaving(self._settings, self._pipeline.name)
        if leaving is not None and self._clock() - leaving.last_at <= self._limit:
            raise self._words.say_busy(seen, f"is giving version {leaving.version} up; version {version} has to wait")
        current = self._read(seen.version)
        if current is not None and self._is_under_way(seen, current):
            raise self._words.say_busy(
                seen, f"is being changed to version {current.version}; version {version} has to wait"
            )

    def _tell(self, state: State, change: Change, detail: str) -> Progress:
        uri = self._locate(change.version)
        facts = {"service": self._words.place, "reached": dict(change.reached)}
        return Progress(change.version, state, detail, change.previous_version, uri, facts)
