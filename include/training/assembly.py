"""Historical rows to raw requests: exactly the declared columns, in their types, one per row."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from include.contracts import DAY_COLUMN, LABEL_COLUMN, PREDICTION_COLUMN
from include.declaration.models import Pipeline
from include.declaration.resolve import refuse_declaration, resolve_function
from include.errors import TollgateError, TrainingDataInvalid
from include.scoring.row_features import read_columns


def assemble(pipeline: Pipeline, rows: pd.DataFrame, references: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the request of each row in declared column order: numbers ``float64``, text ``object`` of str and None.

    Raises TrainingDataInvalid when the declared function gives other columns, other types or another alignment, or
    leaves a required column missing; DeclarationError when a request column has a reserved name.
    """
    declared = pipeline.request.columns
    reserved = sorted(set(declared) & {LABEL_COLUMN, DAY_COLUMN, PREDICTION_COLUMN})
    if reserved:
        raise refuse_declaration(
            pipeline,
            "request.columns",
            f"{pipeline.name} declares the request columns {', '.join(reserved)}, whose names have another meaning.",
            "Give them other names.",
        )
    made: pd.DataFrame = resolve_function(pipeline, pipeline.request.assemble)(rows, references)
    absent, extra = sorted(set(declared) - set(made.columns)), sorted(set(map(str, made.columns)) - set(declared))
    if absent or extra:
        parts = [f"lacks {', '.join(absent)}"] * bool(absent) + [f"also gives {', '.join(extra)}"] * bool(extra)
        raise _refuse(pipeline, "columns", " and ".join(parts), [*absent, *extra])
    if len(made) != len(rows) or not made.index.equals(rows.index):
        raise _refuse(pipeline, "alignment", f"gives {len(made)} requests for {len(rows)} rows, or in another order")
    try:
        columns = read_columns(made, {name: column.type for name, column in declared.items()})
    except TollgateError as error:
        raise _refuse(pipeline, "types", f"gives wrong values ({error.message})") from error
    requests = pd.DataFrame(
        {name: pd.Series(values, index=rows.index, dtype=values.dtype) for name, values in columns.items()}, copy=False
    )
    empty = [name for name, column in declared.items() if column.required and requests[name].isna().any()]
    if empty:
        raise _refuse(pipeline, "required columns", f"leaves {', '.join(empty)} missing in some rows", empty)
    return requests


def _refuse(pipeline: Pipeline, measure: str, problem: str, columns: list[str] | None = None) -> TrainingDataInvalid:
    return TrainingDataInvalid(
        f"The function {pipeline.request.assemble} of {pipeline.name} {problem}.",
        next_step=f"Return one row per row given, with the request columns declared in {pipeline.name}/pipeline.py.",
        pipeline=pipeline.name,
        measure=measure,
        columns=tuple(columns or ()),
    )
