"""A KServe target in a declaration: what KServe could not do is said when the declaration is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from include.declaration import KServeTarget
from tests.unit.deployment.kserve.conftest import declare
from tests.unit.factory import make_pipeline

GOOD: dict[str, Any] = {"namespace": "models", "storage_prefix": "s3://bucket/models"}


def test_it_is_told_by_its_kind() -> None:
    from include.declaration import Deployment

    deployment = Deployment.model_validate({"target": {"kind": "kserve", **GOOD}})
    assert deployment.target == KServeTarget(**GOOD)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"namespace": "Models"}, "namespace"),
        ({"namespace": "a" * 64}, "namespace"),
        ({"storage_prefix": "https://bucket"}, "s3://bucket/path or pvc"),
        ({"storage_prefix": "s3://bucket/models/"}, "without a slash"),
        ({"storage_prefix": "s3://bucket/../other"}, "s3://bucket/path or pvc"),
        ({"storage_prefix": "pvc://claim"}, "storage_folder"),
        ({"storage_folder": "/mnt"}, "storage_folder"),
        ({"min_replicas": 4, "max_replicas": 2}, "min_replicas is above"),
        ({"min_replicas": -1}, "min_replicas"),
        ({"scale_metric": "rps"}, "go together"),
        ({"scale_target": 5}, "go together"),
        ({"scale_metric": "cpu", "scale_target": 5}, "scale_metric"),
        ({"image": "i", "runtime": "r"}, "takes no runtime"),
        ({"resources": {"cpu": "two"}}, "cpu"),
        ({"resources": {"memory": "2 Gi"}}, "memory"),
        ({"name": "late_parcels"}, "cannot name an InferenceService"),
        ({"name": "a" * 60}, "too long"),
        ({"service_account": "a b"}, "service_account"),
        ({"ingress_url": "ingress:80"}, "ingress_url"),
        ({"canary": 10}, "canary"),
    ],
)
def test_what_kserve_could_not_do_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        KServeTarget(**{**GOOD, **changes})


def test_a_pipeline_whose_name_is_no_services_name_needs_one() -> None:
    deployment = declare(Path("/claim")).deployment
    with pytest.raises(ValidationError, match="cannot name an InferenceService"):
        make_pipeline("parcels_", deployment=deployment)
    with pytest.raises(ValidationError, match="too long"):
        make_pipeline("p" * 60, deployment=deployment)
