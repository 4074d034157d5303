"""What is said of an endpoint when it cannot be, or is not, as asked for."""

from __future__ import annotations

from include.deployment.sagemaker.asked import Asked
from include.deployment.sagemaker.endpoint import Seen
from include.errors import NothingToGoBackTo, RolledBack, TargetBusy


def say_busy(endpoint: str, seen: Seen, told: str) -> TargetBusy:
    """Nothing can be asked of the endpoint now."""
    return TargetBusy(
        f"The endpoint {endpoint} {told}.",
        next_step="It is tried again; one change at a time.",
        target="sagemaker",
        endpoint=endpoint,
        state=seen.status,
    )


def refuse_to_go_back(pipeline_name: str, problem: str, version: str | None) -> NothingToGoBackTo:
    """There is no earlier configuration."""
    return NothingToGoBackTo(
        f"The endpoint of {pipeline_name} {problem}.",
        next_step=f"Deploy it: trigger {pipeline_name}.deploy_model with its number as version.",
        pipeline=pipeline_name,
        version=version,
    )


def describe_rollback(endpoint: str, seen: Seen, version: str, wanted: str | None, asked: Asked | None) -> RolledBack:
    """A version was taken back: why, and what is served. ``wanted`` is the configuration that was to be live."""
    reason = seen.failure or "SageMaker gives no reason"
    if seen.live:
        told = f"SageMaker serves version {seen.version or 'unknown'} ({seen.config}) again"
    elif seen.status == "UpdateRollbackFailed":
        told = "SageMaker could not put it back either: it serves both configurations, mixed"
    else:
        told = f"the endpoint is {seen.status} and serves nothing"
    step = "Customers get the version before. Mend the cause and deploy again."
    return RolledBack(
        f"Version {version} was taken back by SageMaker: {reason.rstrip('.')}. As of now {told}.",
        next_step=step if seen.live else "See the endpoint in SageMaker's console, and its log in CloudWatch.",
        version=version,
        champion=seen.version if seen.live else None,
        stage="SageMaker's rollout",
        statistic=reason,
        endpoint=endpoint,
        asked_config=wanted,
        live_config=seen.config,
        endpoint_status=seen.status,
        asked_at=asked.at if asked is not None else None,
    )
