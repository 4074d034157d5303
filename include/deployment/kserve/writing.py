"""The requests that change an InferenceService. Each is checked against KServe's schema first, and names the state that
it was decided on: where somebody changed the service meanwhile, nothing is written and the look is taken again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from include.cloud.kubernetes import Kubernetes
from include.deployment.kserve.manifest import Manifest
from include.deployment.kserve.observed import Seen, name_services
from include.deployment.kserve.schema import check_manifest


def set_percent(manifest: Mapping[str, Any], percent: int | None) -> Manifest:
    """The same service with another share for its canary; None: without one."""
    changed = copy.deepcopy(dict(manifest))
    predictor = changed["spec"]["predictor"]
    predictor.pop("canaryTrafficPercent", None)
    if percent is not None:
        predictor["canaryTrafficPercent"] = percent
    return changed


def create_service(kubernetes: Kubernetes, manifest: Manifest) -> bool:
    """Make the service; False when it is there already. Raises TargetRefused, TargetUnavailable."""
    check_manifest(manifest)
    return kubernetes.make(name_services(manifest["metadata"]["namespace"]), manifest)


def replace_service(kubernetes: Kubernetes, seen: Seen, manifest: Manifest) -> None:
    """Have the service be what ``manifest`` says, and keep what others noted in its metadata. Raises ObjectChanged."""
    check_manifest(manifest)
    metadata = copy.deepcopy(dict(seen.document["metadata"]))
    for part in ("labels", "annotations"):
        metadata[part] = {**(metadata.get(part) or {}), **manifest["metadata"][part]}
    metadata.pop("managedFields", None)
    kubernetes.replace(name_services(metadata["namespace"]), {**manifest, "metadata": metadata})


def patch_percent(kubernetes: Kubernetes, seen: Seen, percent: int | None) -> None:
    """Give the canary another share, and change nothing else; None: remove it. Raises ObjectChanged."""
    metadata = seen.document["metadata"]
    body = {
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "spec": {"predictor": {"canaryTrafficPercent": percent}},
    }
    kubernetes.patch(name_services(metadata["namespace"]), metadata["name"], body)
