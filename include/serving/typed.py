"""Valid JSON bodies straight to rows, with decoders that are made for one model's request.

What fits is decoded once, in C, already checked: types, nulls, unknown and missing columns. What does not fit is None
here, and ``decode`` reads it again to say what is wrong with it; nothing is accepted here that it would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from include.serving.schema import MAX_ROWS, RequestColumn, RequestSchema

Row = tuple[Any, ...]
# Callers of one model send few orders of columns; decoders for more are made anew.
_COLUMN_ORDERS = 16
_list_fields: Callable[[Any], Row] = msgspec.structs.astuple


class TypedDecoder:
    """Decodes the four JSON shapes of one request. ``decode`` gives the rows in the schema's order, or None."""

    def __init__(self, schema: RequestSchema) -> None:
        self._columns = schema.columns
        # Rows hold numbers and texts only, which cannot form cycles: the collector need not look at them.
        row = _define("Row", schema, _type_of, None, gc=False)
        lists = _define("Lists", schema, _list_of, msgspec.UNSET)
        # Unset, not null: a null shape is a mistake that must not pass for an absent one.
        shapes: list[Any] = [
            ("dataframe_split", _Split | msgspec.UnsetType, msgspec.UNSET),
            ("dataframe_records", list[row] | msgspec.UnsetType, msgspec.UNSET),  # type: ignore[valid-type]
            ("instances", list[row] | msgspec.UnsetType, msgspec.UNSET),  # type: ignore[valid-type]
            ("inputs", list[row] | lists | msgspec.UnsetType, msgspec.UNSET),  # type: ignore[valid-type]
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Body", shapes, forbid_unknown_fields=True))
        self._find_split = lru_cache(maxsize=_COLUMN_ORDERS)(self._make_split)

    def decode(self, body: bytes) -> list[Row] | None:
        """The rows of a body that fits; None for every other."""
        # A row takes far more memory than the two characters that an empty one is written with.
        if body.count(b"{") > MAX_ROWS + 2:
            return None
        try:
            sent = [shape for shape in _list_fields(self._decoder.decode(body)) if shape is not msgspec.UNSET]
            if len(sent) != 1:
                return None
            content = sent[0]
            if type(content) is list:
                return list(map(_list_fields, content))
            if type(content) is _Split:
                return self._find_split(tuple(content.columns))(content.data)
            return _turn(_list_fields(content))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            return None

    def _make_split(self, names: tuple[str, ...]) -> Callable[[msgspec.Raw], list[Row]]:
        """The decoder of rows whose columns are ``names``. Raises ValueError for names that do not fit."""
        known = {column.name: column for column in self._columns}
        absent = [column for column in self._columns if column.name not in names]
        if len(set(names)) != len(names) or not known.keys() >= set(names) or any(each.required for each in absent):
            raise ValueError("the columns are not those of the request")
        types = tuple(_type_of(known[name]) for name in names)
        decoder = msgspec.json.Decoder(list[tuple[types]])  # type: ignore[valid-type]
        if names == tuple(known):
            return decoder.decode
        # A column that was not sent is read from behind the row, where a null stands.
        places = [names.index(name) if name in names else len(names) for name in known]
        # The first place once more, and cut off: of a single place itemgetter makes no tuple.
        pick: Callable[[Row], Row] = itemgetter(*places, places[0])
        return lambda data: [pick((*row, None))[:-1] for row in decoder.decode(data)]


def _turn(columns: Sequence[Any]) -> list[Row] | None:
    """Columns to rows; an absent one is null throughout."""
    lengths = {len(values) for values in columns if values is not msgspec.UNSET}
    if len(lengths) != 1:
        return None
    nulls = [None] * lengths.pop()
    return list(zip(*(nulls if values is msgspec.UNSET else values for values in columns), strict=True))


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    columns: list[str]
    data: msgspec.Raw
    index: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _name_field(place: int) -> str:
    # A column's own name need not be one that Python takes.
    return f"column_{place}"


def _type_of(column: RequestColumn) -> Any:
    kind = float if column.kind == "number" else str
    return kind | None if column.nullable else kind


def _list_of(column: RequestColumn) -> Any:
    kind = list[_type_of(column)]  # type: ignore[misc, valid-type]
    return kind if column.required else kind | msgspec.UnsetType


def _define(name: str, schema: RequestSchema, kind: Callable[[RequestColumn], Any], absent: Any, **options: Any) -> Any:
    """A struct with one field for each column, in order; an optional one that was not sent is ``absent``."""
    fields = [
        (_name_field(place), kind(column), *(() if column.required else (absent,)))
        for place, column in enumerate(schema.columns)
    ]
    names = {_name_field(place): column.name for place, column in enumerate(schema.columns)}
    # Optional columns may stand between required ones, which only fields with keywords may.
    strict = not schema.ignore_unknown
    return msgspec.defstruct(name, fields, rename=names, forbid_unknown_fields=strict, kw_only=True, **options)
