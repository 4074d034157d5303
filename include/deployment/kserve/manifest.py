"""The InferenceService of a version: a pure function of the declaration, the version and where its files lie."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from include.declaration.kserve import KServeTarget, name_service
from include.declaration.models import Pipeline

API_VERSION = "serving.kserve.io/v1beta1"
# Labels, of the service and through it of each of its revisions: whose it is, and what a revision serves.
PIPELINE_LABEL = "tollgate/pipeline"
VERSION_LABEL = "tollgate/version"
RELEASE_LABEL = "tollgate/release"
# KServe's: the mode in which traffic is split between revisions. Said always, as a cluster's default may be another.
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
MODE = "Knative"
# KServe puts the files of STORAGE_URI here, in a container of this name.
_CONTAINER = "kserve-container"
_MODEL_FOLDER = "/mnt/models"
_PORT = 8080

Manifest = dict[str, Any]


def locate_model(target: KServeTarget, pipeline: str, version: str) -> str:
    """The URI below which a version's files lie."""
    return f"{target.storage_prefix}/{pipeline}/{version}"


def build_manifest(pipeline: Pipeline, target: KServeTarget, version: str) -> Manifest:
    """The InferenceService that serves ``version``, without a canary (``writing.set_percent`` adds one).

    The label ``tollgate/release`` names the version and a digest of the rest: two services with the same one answer
    alike.
    """
    predictor = _build_predictor(target, version, locate_model(target, pipeline.name, version))
    identity = json.dumps([version, predictor], sort_keys=True).encode()
    release = f"{version}-{hashlib.sha256(identity).hexdigest()[:12]}"
    labels = {PIPELINE_LABEL: pipeline.name, VERSION_LABEL: version, RELEASE_LABEL: release}
    predictor["labels"] = labels
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": name_service(target, pipeline.name),
            "namespace": target.namespace,
            "labels": {PIPELINE_LABEL: pipeline.name},
            # No more of them: KServe hands a service's annotations on to its revisions, so a changed one makes another.
            "annotations": {MODE_ANNOTATION: MODE},
        },
        "spec": {"predictor": predictor},
    }


def _build_predictor(target: KServeTarget, version: str, storage_uri: str) -> dict[str, Any]:
    predictor: dict[str, Any] = {"minReplicas": target.min_replicas, "maxReplicas": target.max_replicas}
    optional = {
        "serviceAccountName": target.service_account,
        "scaleMetric": target.scale_metric,
        "scaleTarget": target.scale_target,
        "containerConcurrency": target.container_concurrency,
        "timeout": target.timeout_seconds,
    }
    predictor |= {name: value for name, value in optional.items() if value is not None}
    amounts = {"cpu": target.resources.cpu, "memory": target.resources.memory}
    resources = {"requests": amounts, "limits": dict(amounts)}
    if target.image is not None:
        predictor["containers"] = [_build_container(target.image, version, storage_uri, resources)]
        return predictor
    predictor["model"] = {
        "modelFormat": {"name": "mlflow"},
        "protocolVersion": "v2",
        "storageUri": storage_uri,
        "resources": resources,
    }
    if target.runtime is not None:
        predictor["model"]["runtime"] = target.runtime
    return predictor


def _build_container(image: str, version: str, storage_uri: str, resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": _CONTAINER,
        "image": image,
        "args": ["serve", "--model-version", version],
        "env": [
            {"name": "STORAGE_URI", "value": storage_uri},
            {"name": "SM_MODEL_DIR", "value": _MODEL_FOLDER},
        ],
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        # Until the model is loaded the server answers /ping with 503.
        "readinessProbe": {"httpGet": {"path": "/ping", "port": _PORT}, "periodSeconds": 2, "failureThreshold": 3},
        "resources": resources,
    }


def read_label(holder: dict[str, Any] | None, label: str) -> str | None:
    """A label of a part that has some (metadata, or a predictor); None when it has not."""
    value = ((holder or {}).get("labels") or {}).get(label)
    return str(value) if value is not None else None
