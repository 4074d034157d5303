"""What SageMaker says of an endpoint, and how that stands to what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.cloud.calls import Aws
from include.deployment.sagemaker.names import read_version

_CHANGING = {"Creating", "Updating", "SystemUpdating", "RollingBack"}


@dataclass(frozen=True)
class Seen:
    """One answer of DescribeEndpoint. ``config`` is the configuration that is live, by SageMaker's own account."""

    status: str
    config: str | None
    modified: str
    failure: str

    @property
    def version(self) -> str | None:
        """The version that is live."""
        return read_version(self.config)

    @property
    def changing(self) -> bool:
        """Whether a change is under way."""
        return self.status in _CHANGING or self.status == "Deleting"

    @property
    def live(self) -> bool:
        """Whether it answers requests and nothing is under way."""
        return self.status == "InService"


def look_at(aws: Aws, endpoint: str) -> Seen | None:
    """The endpoint, or None when there is none. Raises TargetUnavailable, TargetRefused."""
    answer: dict[str, Any] | None = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    if answer is None:
        return None
    modified: Any = answer.get("LastModifiedTime")
    return Seen(
        status=str(answer["EndpointStatus"]),
        config=answer.get("EndpointConfigName"),
        modified=modified.isoformat() if hasattr(modified, "isoformat") else str(modified or ""),
        failure=str(answer.get("FailureReason") or ""),
    )
