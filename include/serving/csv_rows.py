"""CSV bodies: a first line of column names, then rows; an empty field is null."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from include.serving.schema import RequestRefused, RequestSchema

# Exactly what JSON would take as a number, plus a leading + or point: no 1_000, no "infinity", no other digits.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
_LONGEST_NUMBER = 400
# csv's own limit is one of the whole process, and importing scipy.io lifts it; ours holds whoever was imported.
_LONGEST_FIELD = 131_072


def decode_csv(schema: RequestSchema, body: bytes, max_rows: int) -> tuple[dict[str, Sequence[Any]], int]:
    """Read a CSV body to raw columns and their number of rows, at most ``max_rows`` + 1. Raises RequestRefused."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestRefused(400, "BAD_CSV", "The body is not UTF-8 text.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        names = next(reader, [])
        _check_header(schema, names)
        for row in reader:
            if not row and len(names) > 1:
                continue  # an empty line between rows; with a single column it is a null
            if len(row or [""]) != len(names):
                raise RequestRefused(400, "RAGGED_ROWS", f"Row {len(rows)} does not have one value for each column.")
            if any(len(field) > _LONGEST_FIELD for field in row):
                raise RequestRefused(400, "BAD_CSV", f"A field of row {len(rows)} is too long.")
            rows.append(row or [""])
            if len(rows) > max_rows:
                break
    except csv.Error:
        # The message of csv.Error may quote the body.
        raise RequestRefused(400, "BAD_CSV", f"The CSV cannot be read at line {reader.line_num}.") from None
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    read = {column.name: _read_number if column.kind == "number" else _read_text for column in schema.columns}
    raw: dict[str, Sequence[Any]] = {
        name: [read[name](field) for field in fields]
        for name, fields in zip(names, columns, strict=True)
        if name in read
    }
    return raw, len(rows)


def parse_number(text: str) -> float | None:
    """The number that ``text`` spells, or None."""
    text = text.strip()
    return float(text) if len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) else None


def _check_header(schema: RequestSchema, names: list[str]) -> None:
    # A file without a header would have its first row quoted back as column names.
    if not schema.known & set(names):
        raise RequestRefused(400, "MISSING_HEADER", "The first line must hold the names of the columns.")
    schema.check_names(names)


def _read_text(field: str) -> str | None:
    return field or None


def _read_number(field: str) -> float | str | None:
    """The number in a field, None when it is empty; the text itself, which the caller then refuses by its type."""
    if not field.strip():
        return None
    number = parse_number(field)
    return field if number is None else number
