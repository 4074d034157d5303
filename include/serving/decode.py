"""From the body of /invocations to rows: MLflow's JSON shapes and CSV, stricter than MLflow about the schema.

The result is plain tuples in signature order, a number as ``float``, text as ``str`` and null as None, so whatever
scores them needs to know nothing about HTTP. JSON that fits is decoded by ``typed``; only what does not is read here
once more, to say what is wrong with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from include.serving.csv_rows import decode_csv, parse_number
from include.serving.json_rows import RawColumns, check_row_count, decode_json, refuse_infinite, refuse_missing
from include.serving.schema import MAX_ROWS, RequestColumn, RequestRefused, RequestSchema
from include.serving.typed import Row, TypedDecoder

_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class RequestRows:
    """The rows of one request: tuples in the order of ``schema``, of float or str, with None for null."""

    schema: RequestSchema
    values: list[Row]

    @property
    def rows(self) -> int:
        """How many they are."""
        return len(self.values)

    @property
    def columns(self) -> dict[str, tuple[Any, ...]]:
        """The same by column."""
        return dict(zip(self.schema.names, zip(*self.values, strict=True), strict=True))


def decode_body(schema: RequestSchema, content_type: str, body: bytes) -> RequestRows:
    """Read a request. Raises RequestRefused: 415 for another content type, 413 for too many rows, else 400."""
    # The very text that almost every caller sends needs no parsing.
    media_type = "application/json" if content_type == "application/json" else _read_media_type(content_type)
    values = _find_decoder(schema).decode(body) if media_type == "application/json" else None
    if values is None:
        values = _decode_strictly(schema, media_type, body)
    if not values:
        raise RequestRefused(400, "EMPTY", "The request has no rows.")
    check_row_count(len(values))
    return RequestRows(schema, values)


# Two at a time: one model being served, and one being tried.
@lru_cache(maxsize=4)
def _find_decoder(schema: RequestSchema) -> TypedDecoder:
    return TypedDecoder(schema)


def _read_media_type(content_type: str) -> str:
    """The type without its parameters. Raises RequestRefused for one that is not read here, or not in UTF-8."""
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type not in ("application/json", "text/csv") or _read_charset(parameters) not in ("utf-8", "utf8"):
        raise RequestRefused(
            415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json or text/csv, written in UTF-8, as the content type."
        )
    return media_type


def _decode_strictly(schema: RequestSchema, media_type: str, body: bytes) -> list[Row]:
    """Read a body step by step. Raises RequestRefused naming what does not fit."""
    if not body.strip():
        raise RequestRefused(400, "EMPTY", "The body is empty.")
    if media_type == "text/csv":
        raw, rows = decode_csv(schema, body, MAX_ROWS)
    else:
        raw, rows = decode_json(schema, body)
    if rows == 0:
        raise RequestRefused(400, "EMPTY", "The request has no rows.")
    check_row_count(rows)
    return list(zip(*(_convert(schema, column, raw, rows) for column in schema.columns), strict=True))


def _read_charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return "utf-8"


def _convert(schema: RequestSchema, column: RequestColumn, raw: RawColumns, rows: int) -> list[Any]:
    if column.name not in raw:
        if column.required:
            raise refuse_missing(column)
        return [None] * rows
    values: list[Any] = []
    for number, value in enumerate(raw[column.name]):
        if value is None:
            if not column.nullable:
                raise RequestRefused(
                    400, "NULL_VALUE", f"Required column '{column.name}' is null in row {number}.", column.name
                )
            values.append(None)
        elif column.kind == "string":
            if type(value) is not str:
                raise _refuse_type(column, "text", value, number)
            values.append(value)
        else:
            spelled = parse_number(value) if schema.read_texts and type(value) is str else None
            values.append(_convert_number(column, value if spelled is None else spelled, number))
    return values


def _convert_number(column: RequestColumn, value: Any, number: int) -> float:
    # bool is a kind of int to Python, so exact types are compared.
    if type(value) is not float and type(value) is not int:
        raise _refuse_type(column, "a number", value, number)
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise refuse_infinite(column, number)
    return converted


def _refuse_type(column: RequestColumn, wanted: str, value: Any, number: int) -> RequestRefused:
    found = _KINDS.get(type(value), "something else")
    return RequestRefused(
        400, "WRONG_TYPE", f"Column '{column.name}' needs {wanted}, and row {number} has {found}.", column.name
    )
