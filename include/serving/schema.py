"""What a request may hold, and how one that does not fit is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ColumnKind = Literal["number", "string"]
_UNSAFE = re.compile(r"[^A-Za-z0-9_ .:-]")
_LONGEST_NAME = 64
MAX_ROWS = 100_000


def sanitise_name(name: str) -> str:
    """A caller's column name as it may appear in an answer or a log: at most 64 harmless characters."""
    return _UNSAFE.sub("?", name[:_LONGEST_NAME])


class RequestRefused(Exception):
    """A request that is the caller's mistake. Its message names columns and row numbers, never the caller's values."""

    def __init__(self, status: int, error_code: str, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.column = None if column is None else sanitise_name(column)

    def describe(self) -> dict[str, str]:
        """The JSON body of the answer."""
        body = {"error_code": self.error_code, "message": self.message}
        return body if self.column is None else {**body, "column": self.column}


@dataclass(frozen=True)
class RequestColumn:
    """One column of a request; an optional one may be absent or null, and some required ones ``nullable`` too. A
    ``private`` one is never written down."""

    name: str
    kind: ColumnKind
    required: bool
    nullable: bool
    private: bool = False


class RequestSchema:
    """The request's columns in signature order. Where the declaration says so, other columns are ignored and a text in
    a number column is read as the number that it spells."""

    def __init__(
        self, columns: tuple[RequestColumn, ...], *, ignore_unknown: bool = False, read_texts: bool = False
    ) -> None:
        self.columns = columns
        self.names = tuple(column.name for column in columns)
        self.known = frozenset(self.names)
        self.ignore_unknown = ignore_unknown
        self.read_texts = read_texts

    def refuse_unknown(self, name: str) -> RequestRefused:
        """The refusal of a column that the request does not have."""
        shown = sanitise_name(name)
        return RequestRefused(400, "UNKNOWN_COLUMN", f"Column '{shown}' is not part of the request.", name)

    def check_names(self, names: Sequence[str]) -> None:
        """Raises RequestRefused for a column that the request does not have, and for one named twice."""
        seen: set[str] = set()
        for name in names:
            if name not in self.known:
                if self.ignore_unknown:
                    continue
                raise self.refuse_unknown(name)
            if name in seen:
                raise RequestRefused(400, "DUPLICATE_COLUMN", f"Column '{name}' is there twice.", name)
            seen.add(name)


def read_schema(request: Mapping[str, Mapping[str, Any]], rules: Mapping[str, str] | None = None) -> RequestSchema:
    """Build the schema from a model's stored request, and from the ``rules`` that its declaration relaxed, if any.
    Raises ValueError when it is not one."""
    rules = rules or {}
    columns = []
    for name, facts in request.items():
        kind = facts["type"]
        if kind not in ("number", "string"):
            raise ValueError(f"column {name} has type {kind!r}, which is neither number nor string")
        required = bool(facts["required"])
        nullable = not required or rules.get("required_nulls") == "accept"
        columns.append(RequestColumn(str(name), kind, required, nullable, bool(facts.get("private"))))
    if not columns:
        raise ValueError("a request needs at least one column")
    return RequestSchema(
        tuple(columns),
        ignore_unknown=rules.get("unknown_columns") == "ignore",
        read_texts=rules.get("number_texts") == "read",
    )
