"""The part of a declaration that has KServe serve a model. What KServe names too carries its name."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from include.declaration.parts import Part

# A DNS label, as Kubernetes names most things.
LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# A quantity of cores or bytes, in the forms that people write.
_CPU = r"^([1-9][0-9]*m|[0-9]+(\.[0-9]{1,3})?)$"
_MEMORY = r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$"
_PATH = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.=-]+)*"
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]" + _PATH)
_CLAIM = re.compile(r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?" + _PATH)
# The Knative service is called <name>-predictor, its revisions <name>-predictor-00001, each in a DNS label of ≤ 63.
_LONGEST_SERVICE = 63 - len("-predictor-00001")


class Resources(Part):
    """What each replica asks for, and is held to."""

    cpu: str = Field("1", pattern=_CPU)
    memory: str = Field("2Gi", pattern=_MEMORY)


class KServeTarget(Part):
    """An InferenceService of KServe in its Knative mode, the one that splits traffic between revisions.

    A version's files lie at ``storage_prefix/<pipeline>/<version>``: below ``s3://bucket[/path]`` in ``region``, or ``pvc://claim``
    with ``storage_folder`` as the place where this machine has the claim mounted. ``image`` None: KServe's own runtime
    for MLflow models, with the v2 protocol (``runtime`` names one; None: KServe chooses); else the server of
    Dockerfile.serving. ``name`` None: the pipeline's name with hyphens. ``min_replicas`` 0 scales to nothing between
    requests; ``scale_target`` requests at a time ("concurrency") or a second ("rps") are what a replica is given.

    ``ingress_url`` is where requests go, with the service's host in the header; None: the address that KServe reports.
    ``context`` names one of a kubeconfig's, None: the cluster that this runs in, or else the kubeconfig's present one.
    """

    kind: Literal["kserve"] = "kserve"
    namespace: str = Field(pattern=LABEL, max_length=63)
    storage_prefix: str
    storage_folder: str | None = None
    region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    name: str | None = None
    image: str | None = Field(None, min_length=1)
    runtime: str | None = Field(None, pattern=LABEL)
    resources: Resources = Resources()
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(3, ge=1)
    scale_metric: Literal["concurrency", "rps"] | None = None
    scale_target: int | None = Field(None, ge=1)
    container_concurrency: int | None = Field(None, ge=1)
    timeout_seconds: int | None = Field(None, ge=1, le=3600)
    service_account: str | None = Field(None, pattern=LABEL)
    ingress_url: str | None = Field(None, pattern=r"^https?://[^/\s]+$")
    context: str | None = Field(None, min_length=1)
    request_seconds: float = Field(10.0, gt=0, le=60)

    @field_validator("storage_prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if not (_S3.fullmatch(prefix) or _CLAIM.fullmatch(prefix)):
            raise ValueError("write s3://bucket/path or pvc://claim/path, without a slash at the end")
        return prefix

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        problem = find_name_problem(name) if name is not None else ""
        if problem:
            raise ValueError(problem)
        return name

    @model_validator(mode="after")
    def _check_together(self) -> KServeTarget:
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is above max_replicas")
        if (self.scale_metric is None) != (self.scale_target is None):
            raise ValueError("scale_metric and scale_target go together")
        if self.image is not None and self.runtime is not None:
            raise ValueError("an image of your own takes no runtime of KServe's")
        if self.storage_prefix.startswith("pvc://") != (self.storage_folder is not None):
            raise ValueError("storage_folder is where pvc:// is mounted here: give it for pvc://, and for nothing else")
        return self

    def find_name_obstacle(self, pipeline: str) -> str:
        """Why KServe could not serve this pipeline; "" when it can."""
        return find_name_problem(name_service(self, pipeline))


def name_service(target: KServeTarget, pipeline: str) -> str:
    """The InferenceService's name: Kubernetes has no underscores."""
    return target.name or pipeline.replace("_", "-")


def find_name_problem(name: str) -> str:
    """Why an InferenceService cannot have this name; "" when it can."""
    if not _SERVICE.fullmatch(name):
        return f"{name!r} cannot name an InferenceService: lower-case letters, digits and -, first a letter, last no -"
    if len(name) > _LONGEST_SERVICE:
        return f"{name!r} is too long for an InferenceService: its revisions need a name of at most {_LONGEST_SERVICE}"
    return ""
