"""What is said of a service when it cannot be, or is not, as asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from include.cloud.kubernetes import ObjectChanged
from include.deployment.kserve.changes import Change
from include.deployment.kserve.observed import Seen
from include.errors import NothingToGoBackTo, RolledBack, TargetBusy, TargetRefused


def say_served(seen: Seen) -> str:
    """Which version the requests go to, without a full stop."""
    return f"Version {seen.served_version or 'unknown'} gets the requests"


@dataclass(frozen=True)
class Words:
    """The errors of one pipeline's service; ``place`` is namespace/name."""

    pipeline: str
    place: str

    def say_deploy(self, version: str) -> str:
        """What to do for a version that is not there."""
        return f"Trigger {self.pipeline}.deploy_model with version={version}."

    def say_busy(self, seen: Seen, told: str) -> TargetBusy:
        """Another change is under way."""
        return TargetBusy(
            f"The InferenceService {self.place} {told}.",
            next_step="It is tried again; one change at a time.",
            target="kserve",
            endpoint=self.place,
            state=seen.describe(),
        )

    def say_made_meanwhile(self) -> ObjectChanged:
        """Somebody made the service between look and writing."""
        return ObjectChanged(
            f"The InferenceService {self.place} was made meanwhile.",
            next_step="It is read and adopted.",
            target="kserve",
            call="create_namespaced_custom_object",
            code=409,
        )

    def refuse(self, told: str, next_step: str, code: str) -> TargetRefused:
        """The service is not one that can be worked with."""
        return TargetRefused(
            f"The InferenceService {self.place} {told}.",
            next_step=next_step,
            target="kserve",
            call="look_at",
            code=code,
        )

    def refuse_to_go_back(self, told: str, version: str | None) -> NothingToGoBackTo:
        """There is no earlier version."""
        return NothingToGoBackTo(
            f"The InferenceService {self.place} {told}.",
            next_step=f"Trigger {self.pipeline}.deploy_model with the number of the one you want as version.",
            pipeline=self.pipeline,
            version=version,
        )

    def describe_unasked(self, version: str, seen: Seen) -> RolledBack:
        """A version is not served, and no change to it was asked for."""
        return RolledBack(
            f"KServe was not asked for version {version}. {say_served(seen)}.",
            next_step=self.say_deploy(version),
            version=version,
            champion=seen.served_version,
            stage="before its rollout",
            statistic="it was not asked for",
        )

    def describe_rollback(self, change: Change) -> RolledBack:
        """A change was taken back: why, and what is served."""
        return RolledBack(
            f"Version {change.version} was taken back from KServe ({change.stage or 'before its rollout'}): "
            f"{change.failed.rstrip('.')}. {change.outcome or 'See what is served: make status'}.",
            next_step="Mend the cause and deploy again.",
            version=change.version,
            champion=change.previous_version,
            stage=change.stage,
            statistic=change.failed,
            service=self.place,
            asked_at=datetime.fromtimestamp(change.began_at, UTC).isoformat(timespec="milliseconds"),
        )
