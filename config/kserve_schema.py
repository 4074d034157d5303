"""``python -m config.kserve_schema KSERVE_WHEEL KUBERNETES_WHEEL``: an InferenceService as KServe's own SDK has it.

KServe generates the SDK's model classes from the OpenAPI document of its Go types, as the kubernetes client's are from
Kubernetes'. Each class says the JSON name and the type of every field, and its setters which must be there. This reads
them from the two wheels without running a line of either, and writes what an InferenceService reaches as one JSON
Schema, without descriptions and without ``status``, which no client sends. Every object is closed: an API server drops
a field that it does not know in silence, and here that is an error.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = Path("include/deployment/kserve/schema/inferenceservice.v1beta1.json")
ROOT = "V1beta1InferenceService"
_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string"},
    # An integer or a text, such as a port; the classes do not say more.
    "object": {},
    "ResourceQuantity": {"type": "string"},
    "V1beta1MetricQuantity": {"type": ["string", "number"]},
}
_REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
# What the API server or KServe's admission refuses, and the classes do not say.
_BOUNDS: dict[tuple[str, str], dict[str, Any]] = {
    (ROOT, "apiVersion"): {"const": "serving.kserve.io/v1beta1"},
    (ROOT, "kind"): {"const": "InferenceService"},
    ("V1beta1PredictorSpec", "canaryTrafficPercent"): {"minimum": 0, "maximum": 100},
    ("V1beta1PredictorSpec", "minReplicas"): {"minimum": 0},
    ("V1beta1PredictorSpec", "maxReplicas"): {"minimum": 0},
    ("V1beta1PredictorSpec", "containerConcurrency"): {"minimum": 0},
    ("V1beta1PredictorSpec", "scaleMetric"): {"enum": ["cpu", "memory", "concurrency", "rps"]},
    ("V1ObjectMeta", "name"): {"pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
}
_MUST = {
    ROOT: ["apiVersion", "kind", "metadata", "spec"],
    "V1beta1InferenceServiceSpec": ["predictor"],
    "V1beta1ModelFormat": ["name"],
    "V1ObjectMeta": ["name", "namespace"],
}
# Fields of the classes that KServe's CustomResourceDefinition does not have.
_ABSENT = {("V1beta1PredictorSpec", "ephemeralContainers"), ("V1beta1PredictorSpec", "schedulingGroup")}


@dataclass(frozen=True)
class Model:
    """One class: field types and JSON names by attribute, and the attributes that must be there."""

    types: dict[str, str]
    names: dict[str, str]
    required: frozenset[str]


def read_models(wheel: Path, folder: str) -> dict[str, Model]:
    """The model classes in ``folder`` of a wheel, by class name."""
    models: dict[str, Model] = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(folder) and member.endswith(".py"):
                text = archive.read(member).decode()
                for node in ast.parse(text).body:
                    if isinstance(node, ast.ClassDef):
                        models[node.name] = _read_model(node, text.splitlines())
    return models


def _read_model(node: ast.ClassDef, lines: list[str]) -> Model:
    found: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in ("openapi_types", "attribute_map"):
                found[name] = ast.literal_eval(statement.value)
    own = "\n".join(lines[node.lineno - 1 : node.end_lineno])
    return Model(found["openapi_types"], found["attribute_map"], frozenset(_REQUIRED.findall(own)))


def _read_type(kind: str, models: dict[str, Model], wanted: set[str]) -> dict[str, Any]:
    if kind.startswith("list["):
        return {"type": "array", "items": _read_type(kind[5:-1], models, wanted)}
    if kind.startswith(("dict(", "dict[")):
        value = kind[5:-1].split(", ", 1)[1]
        return {"type": "object", "additionalProperties": _read_type(value, models, wanted)}
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    # KServe's generator spells a few of Kubernetes' names with their package.
    short = re.sub(r"^K8sIoApi(?:Apps|Core|Autoscaling)?", "", kind)
    for name in (kind, short):
        if name in models:
            wanted.add(name)
            return {"$ref": f"#/$defs/{name}"}
    raise ValueError(f"no class is named {kind}")


def build_schema(models: dict[str, Model]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of all that ``ROOT`` reaches."""
    definitions: dict[str, Any] = {}
    wanted = {ROOT}
    while missing := wanted - set(definitions):
        name = min(missing)
        model = models[name]
        fields: dict[str, Any] = {}
        for attribute, kind in model.types.items():
            field = model.names[attribute]
            if (name, field) not in _ABSENT | {(ROOT, "status")}:
                fields[field] = _read_type(kind, models, wanted) | _BOUNDS.get((name, field), {})
        must = sorted({model.names[one] for one in model.required} | set(_MUST.get(name, ())))
        definitions[name] = {"type": "object", "additionalProperties": False, "properties": fields}
        if must:
            definitions[name]["required"] = must
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/$defs/{ROOT}",
        "$defs": definitions,
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the schema and print what it was made from."""
    parser = argparse.ArgumentParser(prog="python -m config.kserve_schema", description=__doc__)
    parser.add_argument("kserve", type=Path)
    parser.add_argument("kubernetes", type=Path)
    asked = parser.parse_args(arguments)
    # KServe's own come last: where both have a name, KServe's documents mean theirs.
    models = read_models(asked.kubernetes, "kubernetes/client/models/") | read_models(asked.kserve, "kserve/models/")
    content = json.dumps(build_schema(models), indent=1, sort_keys=True) + "\n"
    SCHEMA.write_text(content)
    for path in (asked.kserve, asked.kubernetes, SCHEMA):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
