"""What a cluster says of an InferenceService, by its own account: what it should serve, what it does, and its problems.

What a revision serves is read from the revision's own labels, not from its number. ``status.observedGeneration`` is no
copy of ``metadata.generation``: KServe passes on the generation of the Knative service below, so it can only be
compared with what it was before a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.cloud.kubernetes import Kubernetes, Resource
from include.deployment.kserve.manifest import MODE, PIPELINE_LABEL, RELEASE_LABEL, VERSION_LABEL, read_label

# KServe's conditions that say something of the version that is being brought up, the most telling first.
_TELLING = (
    "PredictorReady",
    "PredictorConfigurationReady",
    "PredictorRouteReady",
    "LatestDeploymentReady",
    "IngressReady",
    "Ready",
)
_FAILED_LOAD = ("BlockedByFailedLoad", "InvalidSpec")


@dataclass(frozen=True)
class Condition:
    """One condition: ``status`` is "True", "False" or "Unknown"; ``text`` is its reason and message."""

    status: str
    text: str = ""


@dataclass(frozen=True)
class Seen:
    """One look. ``release`` and ``version`` are what the service is told to serve, ``percent`` its canary's share, None
    once there is no canary. ``created`` and ``ready`` are the releases of the latest created and latest ready revision;
    ``traffic`` gives each release's share in percent, ``versions`` each release's version. ``settled_once``: all
    traffic was on one revision before."""

    document: Mapping[str, Any]
    owner: str | None
    release: str | None
    version: str | None
    percent: int | None
    observed_generation: int
    mode: str | None
    url: str | None
    settled_once: bool
    created: str | None
    ready: str | None
    latest_is_ready: bool
    traffic: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    model_failure: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether KServe calls the service ready."""
        return self.find_status("Ready") == "True"

    @property
    def is_settled(self) -> bool:
        """Whether it serves what it is told to, wholly, by its own account."""
        return self.percent is None and self.release is not None and self.carries_all(self.release)

    @property
    def served_release(self) -> str | None:
        """The release that most requests get; None when none gets any."""
        most = max(self.traffic, key=lambda release: self.traffic[release], default=None)
        return most if most is not None and self.traffic[most] > 0 else None

    @property
    def served_version(self) -> str | None:
        """The version that most requests get."""
        return self.versions.get(self.served_release or "")

    def is_up(self, release: str) -> bool:
        """Whether ``release`` is ready and the latest, whoever gets the requests."""
        return self.is_ready and self.latest_is_ready and self.ready == release

    def carries_all(self, release: str) -> bool:
        """Whether ``release`` is ready, the latest, and gets every request."""
        return self.is_up(release) and self.traffic.get(release, 0) == 100

    def find_status(self, condition: str) -> str:
        """A condition's status; "Unknown" for one that is not there yet."""
        found = self.conditions.get(condition)
        return found.status if found is not None else "Unknown"

    def find_failure(self, release: str) -> str:
        """What KServe says has failed about ``release``; "" when nothing has, or it is not at that release yet."""
        if self.created != release:
            return ""
        if self.model_failure:
            return self.model_failure
        failed = [name for name in _TELLING if self.find_status(name) == "False"]
        return f"{failed[0]} is False: {self.conditions[failed[0]].text}" if failed else ""

    def describe(self) -> str:
        """What KServe says now, for a person who asks why it takes so long."""
        told = [f"{name} is {one.status} ({one.text})" for name, one in self._list_untrue()]
        shares = ", ".join(f"{share} % to {release}" for release, share in sorted(self.traffic.items()) if share)
        return "; ".join([*told[:2], f"traffic: {shares or 'none'}"])

    def _list_untrue(self) -> list[tuple[str, Condition]]:
        known = [(name, self.conditions[name]) for name in _TELLING if name in self.conditions]
        return [(name, one) for name, one in known if one.status != "True" and one.text]


def name_services(namespace: str) -> Resource:
    """InferenceServices of a namespace."""
    return Resource("serving.kserve.io", "v1beta1", "inferenceservices", namespace)


def look_at(kubernetes: Kubernetes, namespace: str, name: str, pipeline: str) -> Seen | None:
    """One look at an InferenceService and its revisions; None when there is none. Raises TargetUnavailable,
    TargetRefused."""
    document = kubernetes.find(name_services(namespace), name)
    if document is None:
        return None
    revisions = Resource("serving.knative.dev", "v1", "revisions", namespace)
    found = kubernetes.list(revisions, f"{PIPELINE_LABEL}={pipeline},serving.kserve.io/inferenceservice={name}")
    return read_document(document, found)


def read_document(document: Mapping[str, Any], revisions: list[dict[str, Any]]) -> Seen:
    """The same from the documents themselves."""
    status = document.get("status") or {}
    predictor = document["spec"]["predictor"]
    component = (status.get("components") or {}).get("predictor") or {}
    labels = {one["metadata"]["name"]: one["metadata"] for one in revisions}
    created, ready = component.get("latestCreatedRevision"), component.get("latestReadyRevision")
    traffic: dict[str, int] = {}
    for share in component.get("traffic") or ():
        release = _name_release(labels, share.get("revisionName"))
        traffic[release] = traffic.get(release, 0) + int(share.get("percent") or 0)
    return Seen(
        document=document,
        owner=read_label(document["metadata"], PIPELINE_LABEL),
        release=read_label(predictor, RELEASE_LABEL),
        version=read_label(predictor, VERSION_LABEL),
        percent=predictor.get("canaryTrafficPercent"),
        observed_generation=int(status.get("observedGeneration") or 0),
        mode=_read_mode(status.get("deploymentMode")),
        url=status.get("url"),
        settled_once=bool(component.get("latestRolledoutRevision")),
        created=_name_release(labels, created) if created else None,
        ready=_name_release(labels, ready) if ready else None,
        latest_is_ready=bool(ready) and created == ready,
        traffic=traffic,
        versions=_read_versions(revisions),
        conditions={one["type"]: _read_condition(one) for one in status.get("conditions") or ()},
        model_failure=_read_model_failure(status.get("modelStatus") or {}),
    )


def _name_release(labels: Mapping[str, dict[str, Any]], revision: str | None) -> str:
    # A revision that nobody labelled is somebody else's, and no release of ours.
    return read_label(labels.get(str(revision)), RELEASE_LABEL) or f"revision {revision}"


def _read_versions(revisions: list[dict[str, Any]]) -> dict[str, str]:
    pairs = [
        (read_label(one["metadata"], RELEASE_LABEL), read_label(one["metadata"], VERSION_LABEL)) for one in revisions
    ]
    return {release: version for release, version in pairs if release and version}


def _read_mode(mode: str | None) -> str | None:
    # Before release 0.16 the same mode had this name.
    return MODE if mode == "Serverless" else mode


def _read_condition(one: Mapping[str, Any]) -> Condition:
    said = [str(one[part]) for part in ("reason", "message") if one.get(part)]
    return Condition(str(one.get("status", "Unknown")), ": ".join(said) or "no reason given")


def _read_model_failure(status: Mapping[str, Any]) -> str:
    if status.get("transitionStatus") not in _FAILED_LOAD:
        return ""
    info = status.get("lastFailureInfo") or {}
    said = [str(info[part]) for part in ("reason", "message") if info.get(part)]
    return f"the model is {status['transitionStatus']}: {': '.join(said) or 'no reason given'}"
