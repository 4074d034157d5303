"""The OpenAPI document of an endpoint, from the request that its model was trained with.

The schema describes every body that is accepted, as tightly as JSON Schema can say it: rows of the same length, or a
column named twice, are for the decoder to refuse.
"""

from __future__ import annotations

import math
from typing import Any

from include.serving.limits import Limits
from include.serving.model import ServedModel
from include.serving.schema import RequestColumn

Json = dict[str, Any]

_JSON = "application/json"
_EXAMPLE = {"number": 1.0, "string": "A"}
_PAGES = {
    "/ping": ("Whether a model is ready to answer", True),
    "/health": ("The same as /ping", True),
    "/version": ("What is served, since when, and why", False),
    "/rollout": (
        "The candidate beside what is served, if any, and what its requests came to",
        False,
    ),
}
_REFUSALS = {
    400: "The request does not fit; error_code and, where there is one, column say how",
    413: "The body, or the number of rows, is above the limit",
    415: "Neither application/json nor text/csv, or not UTF-8",
    429: "Too many requests are waiting; ask again after Retry-After seconds",
    500: "The model failed on this request, or its answer broke a prediction rule (PREDICTION_REFUSED)",
    503: "No model is ready, or too much is going on; ask again after Retry-After seconds",
    504: "Scoring took too long",
}


def build_document(model: ServedModel, pipeline: str, limits: Limits) -> Json:
    """The whole document."""
    paths: Json = {"/invocations": {"post": _describe_invocations(model, limits)}}
    for path, (summary, is_open) in _PAGES.items():
        paths[path] = {"get": _describe_page(summary, is_open, limits)}
    for path, summary, kind in (
        ("/metrics", "Counts and latencies for Prometheus", "text/plain"),
        ("/docs", "This document for people", "text/html"),
        ("/openapi.json", "This document", _JSON),
    ):
        paths[path] = {"get": _describe_page(summary, False, limits, kind)}
    components: Json = {"schemas": _describe_schemas(model)}
    if limits.token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": pipeline or "Tollgate endpoint", "version": model.version},
        "paths": paths,
        "components": components,
        **({"security": [{"token": []}]} if limits.token else {}),
    }


def make_example(model: ServedModel) -> Json:
    """One row with every column, in the shape that people write."""
    return {"dataframe_records": [{column.name: _EXAMPLE[column.kind] for column in model.schema.columns}]}


def _describe_invocations(model: ServedModel, limits: Limits) -> Json:
    shapes = ("dataframe_records", "dataframe_split", "instances", "inputs")
    body = {"schema": {"oneOf": [{"$ref": f"#/components/schemas/{shape}"} for shape in shapes]}}
    header = ",".join(model.schema.names)
    values = ",".join(str(_EXAMPLE[column.kind]) for column in model.schema.columns)
    names = ("x-model-version", "x-scoring-path", "x-request-id", "x-captured")
    ok = {
        "description": "One prediction for each row, in order",
        "headers": {name: {"schema": {"type": "string"}} for name in names},
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Predictions"}}},
    }
    return {
        "summary": "Score rows",
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {**body, "example": make_example(model)},
                "text/csv": {"schema": {"type": "string"}, "example": f"{header}\n{values}\n"},
            },
        },
        "responses": {"200": ok, **_describe_errors(_REFUSALS), **_describe_common(False, limits)},
    }


def _describe_page(summary: str, is_open: bool, limits: Limits, kind: str = _JSON) -> Json:
    schema = {"type": "object"} if kind == _JSON else {"type": "string"}
    page: Json = {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {kind: {"schema": schema}}},
            **_describe_errors({503: "No model is ready; the body says whether it is starting or broken"}),
            **_describe_common(is_open, limits),
        },
    }
    return {**page, "security": []} if is_open and limits.token else page


def _describe_common(is_open: bool, limits: Limits) -> Json:
    """What any request may get: from HTTP itself, or for want of a token."""
    errors = {408: "The request took too long to arrive", 431: "The head is too large"}
    if not is_open and limits.token:
        errors[401] = "The token is missing or wrong"
    return _describe_errors(errors)


def _describe_errors(errors: dict[int, str]) -> Json:
    content = {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": text, "content": content} for status, text in errors.items()}


def _describe_schemas(model: ServedModel) -> Json:
    schema = model.schema
    columns = {column.name: _describe_column(column, model) for column in schema.columns}
    required = [column.name for column in schema.columns if column.required]
    row = {**_close_object(columns, required), "additionalProperties": schema.ignore_unknown}
    lists = {name: {"type": "array", "items": value} for name, value in columns.items()}
    cell = {} if schema.ignore_unknown else {"type": ["number", "string", "null"]}
    name: Json = {"type": "string"} if schema.ignore_unknown else {"enum": list(schema.names)}
    names = {"type": "array", "items": name, "uniqueItems": not schema.ignore_unknown}
    split = {
        "columns": {"description": "Every required column, in any order", **names},
        "data": {"type": "array", "minItems": 1, "items": {"type": "array", "items": cell}},
        "index": True,
    }
    rows = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}}
    by_column = {**_close_object(lists, required), "additionalProperties": schema.ignore_unknown}
    return {
        "Row": row,
        "dataframe_records": _describe_shape("dataframe_records", rows),
        "instances": _describe_shape("instances", rows),
        "inputs": _describe_shape("inputs", {"oneOf": [rows, by_column]}),
        "dataframe_split": _describe_shape("dataframe_split", _close_object(split, ["columns", "data"])),
        "Predictions": {
            "type": "object",
            "required": ["predictions", "model_version"],
            "properties": {
                "predictions": {"type": "array", "items": {"type": "number", **_list_bounds(model)}},
                "model_version": {"type": "string"},
            },
        },
        "Error": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {name: {"type": "string"} for name in ("error_code", "message", "column")},
        },
    }


def _list_bounds(model: ServedModel) -> Json:
    bounds = {"minimum": model.rules.lowest, "maximum": model.rules.highest}
    return {name: bound for name, bound in bounds.items() if math.isfinite(bound)}


def _describe_shape(name: str, content: Json) -> Json:
    # MLflow's clients may send params; a model here has none.
    return _close_object({name: content, "params": {"type": ["object", "null"], "maxProperties": 0}}, [name])


def _describe_column(column: RequestColumn, model: ServedModel) -> Json:
    types = [column.kind]
    if column.kind == "number" and model.schema.read_texts:
        types.append("string")
    described: Json = {"type": [*types, "null"] if column.nullable else types}
    text = model.metadata["request"][column.name].get("description")
    return {**described, "description": text} if text else described


def _close_object(properties: Json, required: list[str] | None = None) -> Json:
    """An object with these properties and no others; all are required unless said otherwise."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }
