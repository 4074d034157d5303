"""The InferenceService of a version, and the schema that it is held to: what is wrong is found, each kind of it."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.declaration import KServeTarget, Pipeline, Resources
from include.deployment.kserve.manifest import build_manifest
from include.deployment.kserve.schema import SCHEMA_FILE, check_manifest, find_problems
from include.deployment.kserve.writing import set_percent
from include.errors import TargetRefused
from tests.unit.deployment.kserve.conftest import declare

FULL: dict[str, Any] = {
    "runtime": "kserve-mlserver",
    "service_account": "models",
    "scale_metric": "concurrency",
    "scale_target": 20,
    "container_concurrency": 40,
    "timeout_seconds": 30,
    "min_replicas": 0,
    "max_replicas": 5,
    "resources": Resources(cpu="500m", memory="1Gi"),
}


def build(version: str = "3", percent: int | None = None, **changes: Any) -> dict[str, Any]:
    pipeline = declare(Path("/claim"), **changes)
    target = pipeline.deployment.target
    assert isinstance(target, KServeTarget)
    return set_percent(build_manifest(pipeline, target, version), percent)


def test_mlflows_format_is_served_by_kserves_own_runtime() -> None:
    manifest = build(**FULL)
    predictor = manifest["spec"]["predictor"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("parcels", "models")
    assert manifest["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Knative"}
    amounts = {"cpu": "500m", "memory": "1Gi"}
    assert predictor["model"] == {
        "modelFormat": {"name": "mlflow"},
        "protocolVersion": "v2",
        "storageUri": "pvc://models/v/parcels/3",
        "runtime": "kserve-mlserver",
        "resources": {"requests": amounts, "limits": amounts},
    }
    assert (predictor["minReplicas"], predictor["maxReplicas"], predictor["serviceAccountName"]) == (0, 5, "models")
    assert (predictor["scaleMetric"], predictor["scaleTarget"], predictor["timeout"]) == ("concurrency", 20, 30)
    assert predictor["containerConcurrency"] == 40
    check_manifest(manifest)


def test_an_image_is_served_as_the_serving_image_wants_it() -> None:
    manifest = build(image="registry.example.com/tollgate-serving:0.1.0")
    (container,) = manifest["spec"]["predictor"]["containers"]
    assert container["name"] == "kserve-container", "KServe looks for a model's files by this name"
    assert container["args"] == ["serve", "--model-version", "3"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment == {"STORAGE_URI": "pvc://models/v/parcels/3", "SM_MODEL_DIR": "/mnt/models"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ping", "port": 8080}
    assert "model" not in manifest["spec"]["predictor"]
    check_manifest(manifest)


def test_the_serving_image_takes_these_arguments() -> None:
    from include.serving.__main__ import _parse_arguments

    (container,) = build(image="i")["spec"]["predictor"]["containers"]
    asked = _parse_arguments(container["args"])
    assert (asked.mode, asked.model_version) == ("serve", "3")


def test_the_release_follows_from_the_version_and_the_content_and_not_from_the_canary() -> None:
    def release(manifest: dict[str, Any]) -> str:
        label: str = manifest["spec"]["predictor"]["labels"]["tollgate/release"]
        return label

    assert release(build()) == release(build()) == release(build(percent=10))
    assert build(percent=10)["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert len({release(build()), release(build("4")), release(build(max_replicas=9))}) == 3
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", release(build())), "a label's value"


def test_a_name_has_no_underscore_and_may_be_declared() -> None:
    assert build(name="late-parcels")["metadata"]["name"] == "late-parcels"


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "an unknown field of the predictor": (lambda m: _predictor(m).update(canaryPercent=10), "spec.predictor"),
    "an unknown field of the model": (lambda m: _predictor(m)["model"].update(storageURI="s3://b"), "storageURI"),
    "an unknown field at the top": (lambda m: m.update(data={}), "data"),
    "an unknown field of the metadata": (lambda m: m["metadata"].update(label={}), "label"),
    "a text for a number": (lambda m: _predictor(m).update(minReplicas="1"), "minReplicas"),
    "a fraction for a share": (lambda m: _predictor(m).update(canaryTrafficPercent=2.5), "canaryTrafficPercent"),
    "a share above 100": (lambda m: _predictor(m).update(canaryTrafficPercent=101), "canaryTrafficPercent"),
    "a share below 0": (lambda m: _predictor(m).update(canaryTrafficPercent=-1), "canaryTrafficPercent"),
    "a negative count": (lambda m: _predictor(m).update(minReplicas=-1), "minReplicas"),
    "an unknown metric": (lambda m: _predictor(m).update(scaleMetric="qps"), "scaleMetric"),
    "a number for a text": (lambda m: _predictor(m)["model"].update(storageUri=3), "storageUri"),
    "a number for a quantity": (lambda m: _predictor(m)["model"]["resources"]["limits"].update(cpu=1), "cpu"),
    "no model format": (lambda m: _predictor(m)["model"].pop("modelFormat"), "modelFormat"),
    "a format without a name": (lambda m: _predictor(m)["model"].update(modelFormat={"version": "2"}), "name"),
    "a list for an object": (lambda m: _predictor(m).update(model=[]), "spec.predictor.model"),
    "a variable without a name": (lambda m: _predictor(m)["model"].update(env=[{"value": "1"}]), "name"),
    "no predictor": (lambda m: m.update(spec={}), "predictor"),
    "no name": (lambda m: m["metadata"].pop("name"), "name"),
    "no namespace": (lambda m: m["metadata"].pop("namespace"), "namespace"),
    "a name that Kubernetes has not": (lambda m: m["metadata"].update(name="late_parcels"), "late_parcels"),
    "another kind": (lambda m: m.update(kind="Deployment"), "kind"),
    "another API version": (lambda m: m.update(apiVersion="serving.kserve.io/v1alpha2"), "apiVersion"),
    "a status": (lambda m: m.update(status={}), "status"),
}


def _predictor(manifest: dict[str, Any]) -> dict[str, Any]:
    predictor: dict[str, Any] = manifest["spec"]["predictor"]
    return predictor


@pytest.mark.parametrize("kind", list(WRONG))
def test_each_kind_of_wrong_field_is_found_and_named(kind: str) -> None:
    change, named = WRONG[kind]
    manifest = copy.deepcopy(build())
    assert find_problems(manifest) == []
    change(manifest)
    problems = find_problems(manifest)
    assert problems and any(named in problem for problem in problems)
    with pytest.raises(TargetRefused, match="would not take this InferenceService") as raised:
        check_manifest(manifest)
    assert raised.value.problems == tuple(problems)


def test_the_schema_is_the_one_whose_origin_is_written_down() -> None:
    origin = (SCHEMA_FILE.parent / "ORIGIN.md").read_text()
    digest = hashlib.sha256(SCHEMA_FILE.read_bytes()).hexdigest()
    assert f"sha256 of the schema | `{digest}`" in origin
    assert "Apache-2.0" in origin


def test_every_object_of_the_schema_is_closed() -> None:
    definitions = json.loads(SCHEMA_FILE.read_bytes())["$defs"]
    assert [name for name, one in definitions.items() if one["additionalProperties"] is not False] == []
    assert len(definitions) > 100


def test_the_schema_is_made_again_from_classes_like_the_sdks(tmp_path: Path) -> None:
    """The script reads classes without running them; what it cannot name is an error and no hole."""
    import zipfile

    from config.kserve_schema import build_schema, read_models

    source = """
class V1beta1InferenceService(object):
    openapi_types = {"spec": "V1beta1InferenceServiceSpec", "status": "Gone"}
    attribute_map = {"spec": "spec", "status": "status"}

class V1beta1InferenceServiceSpec(object):
    openapi_types = {"max_size": "int", "parts": "list[V1Part]", "tags": "dict(str, str)"}
    attribute_map = {"max_size": "maxSize", "parts": "parts", "tags": "tags"}
    def check(self):
        raise ValueError("Invalid value for `max_size`, must not be `None`")

class V1Part(object):
    openapi_types = {"any": "object"}
    attribute_map = {"any": "any"}
"""
    wheel = tmp_path / "sdk.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("kserve/models/all.py", source)
    models = read_models(wheel, "kserve/models/")
    definitions = build_schema(models)["$defs"]
    assert definitions["V1beta1InferenceServiceSpec"]["properties"] == {
        "maxSize": {"type": "integer"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/V1Part"}},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    assert "status" not in definitions["V1beta1InferenceService"]["properties"]
    del models["V1Part"]
    with pytest.raises(ValueError, match="no class is named V1Part"):
        build_schema(models)


def test_a_pipeline_is_the_argument(pipeline: Pipeline) -> None:
    target = KServeTarget(namespace="n", storage_prefix="s3://bucket/a")
    assert (
        build_manifest(pipeline, target, "1")["spec"]["predictor"]["model"]["storageUri"] == "s3://bucket/a/parcels/1"
    )
