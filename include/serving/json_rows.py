"""JSON bodies step by step: what each shape must look like, and how one that does not is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from include.serving.schema import MAX_ROWS, RequestColumn, RequestRefused, RequestSchema

_SHAPES = ("dataframe_split", "dataframe_records", "instances", "inputs")

# Raw values of each column that the caller sent, by name.
RawColumns = dict[str, Sequence[Any]]


def decode_json(schema: RequestSchema, body: bytes) -> tuple[RawColumns, int]:
    """Read a body to raw columns and their number of rows. Raises RequestRefused."""
    try:
        payload = msgspec.json.decode(body)
    except RecursionError:
        raise RequestRefused(400, "TOO_DEEP", "The JSON is nested too deeply.") from None
    except msgspec.ValidationError:
        # msgspec's only validation without a schema: a number that no float can hold. It does not say whose.
        raise _refuse_number(schema, body) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Its message could quote the body; NaN and Infinity are no JSON and end here too.
        raise RequestRefused(400, "BAD_JSON", "The body is not valid JSON (NaN and Infinity are not).") from None
    return _read_shape(schema, payload)


def _refuse_number(schema: RequestSchema, body: bytes) -> RequestRefused:
    """The refusal of a body in which a number is too large, with its column if it stands in one.

    Read once more as Python does, which makes infinity of it; what is read so is looked at and never used. Raises
    RequestRefused itself for whatever else is wrong with the body.
    """
    try:
        raw, _ = _read_shape(schema, json.loads(body.decode(), parse_int=float))
    except (ValueError, RecursionError):
        raw = {}
    for column in schema.columns:
        for number, value in enumerate(raw.get(column.name, ())):
            if type(value) is float and math.isinf(value):
                return refuse_infinite(column, number)
    return RequestRefused(400, "NOT_FINITE", "A number is too large for a 64-bit float.")


def _read_shape(schema: RequestSchema, payload: Any) -> tuple[RawColumns, int]:
    if isinstance(payload, dict) and payload.pop("params", None):
        raise RequestRefused(400, "UNKNOWN_PARAMETERS", "The model takes no params.", "params")
    shapes = [shape for shape in _SHAPES if isinstance(payload, dict) and shape in payload]
    if len(shapes) != 1 or len(payload) != 1:
        raise RequestRefused(
            400, "UNKNOWN_SHAPE", f"The body must be an object with exactly one of these keys: {', '.join(_SHAPES)}."
        )
    shape = shapes[0]
    content = payload[shape]
    if shape == "dataframe_split":
        return _read_split(schema, content)
    if shape == "inputs" and isinstance(content, dict):
        return _read_columns(schema, content)
    return _read_records(schema, shape, content)


def _read_split(schema: RequestSchema, content: Any) -> tuple[RawColumns, int]:
    if not isinstance(content, dict) or not {"columns", "data"} <= content.keys() <= {"columns", "data", "index"}:
        raise RequestRefused(400, "UNKNOWN_SHAPE", "dataframe_split must be an object with 'columns' and 'data'.")
    names, data = content["columns"], content["data"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(data, list):
        raise RequestRefused(400, "UNKNOWN_SHAPE", "In dataframe_split 'columns' is a list of names, 'data' of rows.")
    schema.check_names(names)
    check_row_count(len(data))
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(names):
            raise RequestRefused(400, "RAGGED_ROWS", f"Row {number} does not have one value for each column.")
    return dict(zip(names, zip(*data, strict=True), strict=True)) if data else {}, len(data)


def _read_columns(schema: RequestSchema, content: dict[str, Any]) -> tuple[RawColumns, int]:
    schema.check_names(list(content))
    lengths = set()
    for name, values in content.items():
        if name not in schema.known:
            continue
        if not isinstance(values, list):
            raise RequestRefused(400, "WRONG_TYPE", f"In inputs, column '{name}' must be a list of values.", name)
        lengths.add(len(values))
    if len(lengths) > 1:
        raise RequestRefused(400, "RAGGED_ROWS", "In inputs, the columns do not have the same number of values.")
    return content, lengths.pop() if lengths else 0


def _read_records(schema: RequestSchema, shape: str, content: Any) -> tuple[RawColumns, int]:
    if not isinstance(content, list):
        raise RequestRefused(400, "UNKNOWN_SHAPE", f"{shape} must be a list of objects, one for each row.")
    check_row_count(len(content))
    for number, record in enumerate(content):
        if not isinstance(record, dict):
            raise RequestRefused(400, "UNKNOWN_SHAPE", f"Row {number} of {shape} must be an object of named values.")
        if not (schema.ignore_unknown or record.keys() <= schema.known):
            raise schema.refuse_unknown(next(name for name in record if name not in schema.known))
    raw: RawColumns = {}
    for column in schema.columns:
        if column.required:
            for number, record in enumerate(content):
                if column.name not in record:
                    raise refuse_missing(column, f" in row {number}")
        raw[column.name] = [record.get(column.name) for record in content]
    return raw, len(content)


def refuse_missing(column: RequestColumn, where: str = "") -> RequestRefused:
    """The refusal of a request without a column that it must have."""
    return RequestRefused(400, "MISSING_COLUMN", f"Required column '{column.name}' is missing{where}.", column.name)


def refuse_infinite(column: RequestColumn, number: int) -> RequestRefused:
    """The refusal of a number that is none, or that no float can hold."""
    return RequestRefused(
        400, "NOT_FINITE", f"Column '{column.name}' is not a finite number in row {number}.", column.name
    )


def check_row_count(rows: int) -> None:
    """Raises RequestRefused when one request asks for more rows than one answer may hold."""
    if rows > MAX_ROWS:
        raise RequestRefused(413, "TOO_MANY_ROWS", f"One request may hold at most {MAX_ROWS} rows.")
