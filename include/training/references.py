"""Reference tables: loaded, checked, fingerprinted, and written as the JSON that a model carries."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pandas as pd

from include.declaration.models import Pipeline, Reference
from include.declaration.resolve import resolve_function
from include.errors import TrainingDataInvalid
from include.scoring.expressions import Lookup
from include.scoring.tables import StoredTable


def load_references(pipeline: Pipeline) -> dict[str, pd.DataFrame]:
    """Return every declared reference table by name. Raises TrainingDataInvalid when a key is absent or not unique."""
    tables = {}
    for name, reference in pipeline.references.items():
        table: pd.DataFrame = resolve_function(pipeline, reference.load)()
        _check_key(pipeline, name, reference, table)
        tables[name] = table
    return tables


def hash_references(references: Mapping[str, pd.DataFrame]) -> str:
    """SHA-256 over the tables' names, columns, types and values; a table's row order counts."""
    digest = hashlib.sha256()
    for name, table in sorted(references.items()):
        digest.update(repr((name, [(str(c), str(t)) for c, t in table.dtypes.items()])).encode())
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def write_tables(pipeline: Pipeline, references: Mapping[str, pd.DataFrame]) -> bytes:
    """The JSON of the tables and columns that features look up: what is stored inside a model, and nothing more.

    Raises TrainingDataInvalid when a feature looks up a table without a key, or a column that is not there.
    """
    stored = {}
    for name, wanted in sorted(_find_lookups(pipeline).items()):
        reference, table = pipeline.references.get(name), references.get(name)
        if reference is None or table is None or reference.key is None:
            raise _refuse_table(pipeline, name, "a feature looks it up, but it is not declared with a key")
        absent = sorted(wanted - set(table.columns))
        if absent:
            raise _refuse_table(pipeline, name, f"a feature looks up {', '.join(absent)}, which it does not have")
        stored[name] = StoredTable(
            key=reference.key,
            keys=table[reference.key].tolist(),
            columns={column: _list_values(pipeline, name, table[column]) for column in sorted(wanted)},
        )
    return msgspec.json.encode(stored)


def _check_key(pipeline: Pipeline, name: str, reference: Reference, table: pd.DataFrame) -> None:
    if reference.key is None:
        return
    if reference.key not in table.columns:
        raise _refuse_table(pipeline, name, f"it has no column {reference.key}")
    keys = table[reference.key]
    if not all(isinstance(key, str) for key in keys.tolist()):
        raise _refuse_table(pipeline, name, f"its key {reference.key} is not text in every row")
    if not keys.is_unique:
        example = keys[keys.duplicated()].iloc[0]
        raise _refuse_table(pipeline, name, f"its key {reference.key} is not unique ({example!r} is there twice)")


def _find_lookups(pipeline: Pipeline) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def visit(expression: msgspec.Struct) -> None:
        if isinstance(expression, Lookup):
            found.setdefault(expression.table, set()).add(expression.value)
        for field in expression.__struct_fields__:
            child = getattr(expression, field)
            if isinstance(child, msgspec.Struct):
                visit(child)

    for feature in pipeline.features:
        visit(feature.expression)
    return found


def _list_values(pipeline: Pipeline, name: str, column: pd.Series[Any]) -> list[float | str | None]:
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        numbers = column.to_numpy(dtype="float64", na_value=math.nan).tolist()
        return [number if math.isfinite(number) else None for number in numbers]
    values = [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
    if not all(value is None or isinstance(value, str) for value in values):
        raise _refuse_table(pipeline, name, f"its column {column.name} holds neither numbers nor text")
    return values


def _refuse_table(pipeline: Pipeline, name: str, problem: str) -> TrainingDataInvalid:
    return TrainingDataInvalid(
        f"The reference table {name} of {pipeline.name} cannot be used: {problem}.",
        next_step=f"Correct its load function or its declaration in {pipeline.name}/pipeline.py.",
        pipeline=pipeline.name,
        table=name,
        measure="reference",
    )
