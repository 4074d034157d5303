"""What the emulator knows per account and region: resources by name, and their tags."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends

from config.sagemaker_emulator.wire import Caller

if TYPE_CHECKING:
    from config.sagemaker_emulator.endpoints import Endpoint
    from config.sagemaker_emulator.jobs import Job

Tags = list[dict[str, str]]


@dataclass
class Region:
    """One account's SageMaker in one region. ``lock`` guards its dictionaries."""

    account: str
    name: str
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    jobs: dict[str, dict[str, Job]] = field(default_factory=dict)
    tags: dict[str, Tags] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def below(self) -> SageMakerModelBackend:
        """Moto's part: models, model packages and all that the emulator leaves to it."""
        return sagemaker_backends[self.account][self.name]

    def name_arn(self, kind: str, name: str) -> str:
        """The ARN of a resource; AWS writes names in lower case there."""
        return f"arn:aws:sagemaker:{self.name}:{self.account}:{kind}/{name.lower()}"


class Regions:
    """Every account and region that was ever asked for."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Region] = {}
        self._lock = threading.Lock()

    def find(self, caller: Caller) -> Region:
        """The region of a request."""
        with self._lock:
            key = (caller.account, caller.region)
            return self._known.setdefault(key, Region(*key))

    def list(self) -> list[Region]:
        """Those known so far."""
        with self._lock:
            return list(self._known.values())


def select_listed(request: dict[str, Any], items: list[dict[str, Any]], kind: str, plural: str) -> dict[str, Any]:
    """The answer of a List action: ``items`` filtered, sorted and cut as the request asks."""
    name = f"{kind}Name"
    tests: list[Callable[[dict[str, Any]], bool]] = []
    if part := request.get("NameContains"):
        tests.append(lambda item: part.lower() in item[name].lower())
    if status := request.get("StatusEquals"):
        tests.append(lambda item: bool(item[f"{kind}Status"] == status))
    for word in ("CreationTime", "LastModifiedTime"):
        if (after := request.get(f"{word}After")) is not None:
            tests.append(lambda item, w=word, t=after: item[w].timestamp() > t)  # type: ignore[misc]
        if (before := request.get(f"{word}Before")) is not None:
            tests.append(lambda item, w=word, t=before: item[w].timestamp() < t)  # type: ignore[misc]
    chosen = [item for item in items if all(test(item) for test in tests)]
    order = request.get("SortBy", "CreationTime")
    chosen.sort(
        key=lambda item: item[{"Name": name, "Status": f"{kind}Status"}.get(order, "CreationTime")],
        reverse=request.get("SortOrder", "Descending") == "Descending",
    )
    start = int(request.get("NextToken") or 0)
    end = start + int(request.get("MaxResults") or 100)
    listed: dict[str, Any] = {plural: chosen[start:end]}
    if end < len(chosen):
        listed["NextToken"] = str(end)
    return listed
