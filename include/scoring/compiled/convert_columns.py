"""Fitted scikit-learn transformers to columns that are each a function of one feature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from include.scoring.compiled.columns import take_steps
from include.scoring.compiled.convert_encoders import convert_one_hot, convert_ordinal
from include.scoring.compiled.convert_parts import SomeColumn, TextColumn, refuse_conversion, write_number
from include.scoring.compiled.document import NumberColumn, Operation, Step, read_number


def convert_transformer(transformer: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    """The columns that a fitted transformer makes of ``columns``. Raises CompiledFormRefused for an unknown one."""
    if transformer is None or transformer == "passthrough":
        return list(columns)
    convert = _CONVERTERS.get(type(transformer))
    if convert is None:
        raise refuse_conversion(f"its step {type(transformer).__name__} is not one that is compiled")
    return convert(transformer, columns)


def _convert_pipeline(pipeline: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    for _, step in pipeline.steps:
        columns = convert_transformer(step, columns)
    return list(columns)


def _convert_column_transformer(transformer: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    if transformer.transformer_weights:
        raise refuse_conversion("its ColumnTransformer weights its parts")
    names = list(getattr(transformer, "feature_names_in_", []))
    made: list[SomeColumn] = []
    for _, part, chosen in transformer.transformers_:
        places = _find_places(chosen, names, len(columns))
        if places and not (isinstance(part, str) and part == "drop"):
            made += convert_transformer(part, [columns[place] for place in places])
    return made


def _find_places(chosen: Any, names: list[str], count: int) -> list[int]:
    """The places of a ColumnTransformer's column specification: names, numbers, a slice of either, or a mask."""
    if isinstance(chosen, slice):
        # A slice of names includes its end.
        start, stop = (names.index(end) if isinstance(end, str) else end for end in (chosen.start, chosen.stop))
        if isinstance(chosen.stop, str):
            stop += 1
        return list(range(count))[start : stop : chosen.step]
    listed = [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)
    if listed and all(isinstance(each, bool | np.bool_) for each in listed):
        return [place for place, each in enumerate(listed) if each]
    return [names.index(each) if isinstance(each, str) else range(count)[int(each)] for each in listed]


def _convert_function(transformer: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    if transformer.func is not None:
        raise refuse_conversion("its FunctionTransformer runs code of its own")
    return list(columns)


def _convert_imputer(imputer: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    for_texts = imputer.missing_values is None
    if not for_texts and not (isinstance(imputer.missing_values, float) and math.isnan(imputer.missing_values)):
        raise refuse_conversion("its SimpleImputer replaces something else than missing values")
    made: list[SomeColumn] = []
    for column, value in zip(columns, imputer.statistics_, strict=True):
        if isinstance(column, TextColumn):
            # scikit-learn's NaN does not match None, which is what a missing text is.
            made.append(replace(column, fill=str(value)) if for_texts and column.fill is None else column)
        elif for_texts:
            raise refuse_conversion("its SimpleImputer looks for None among numbers")
        elif value == value:  # a column that was empty in training has no value, and is left out
            made.append(_take(column, "fill", value))
    if imputer.add_indicator:
        made += [_take(columns[place], "is_missing") for place in imputer.indicator_.features_]
    return made


def _take(column: SomeColumn, operation: Operation, by: Any = 0.0) -> SomeColumn:
    step = Step(operation, float(by))
    if isinstance(column, TextColumn):
        raise refuse_conversion("a category reaches a step that is for numbers")
    if isinstance(column, NumberColumn):
        return msgspec.structs.replace(column, steps=(*column.steps, step))
    values = np.array([read_number(value) for value in [*column.values, column.missing, column.unknown]])
    with np.errstate(all="ignore"):
        *kept, missing, unknown = take_steps(values, [step]).tolist()
    return msgspec.structs.replace(
        column, values=list(map(write_number, kept)), missing=write_number(missing), unknown=write_number(unknown)
    )


def _scale(
    columns: Sequence[SomeColumn], *operations: tuple[Operation, NDArray[np.float64] | None]
) -> list[SomeColumn]:
    made = []
    for place, column in enumerate(columns):
        for operation, values in operations:
            if values is not None:
                column = _take(column, operation, values[place])
        made.append(column)
    return made


def _convert_standard(scaler: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    mean = scaler.mean_ if scaler.with_mean else None
    return _scale(columns, ("subtract", mean), ("divide", scaler.scale_ if scaler.with_std else None))


def _convert_min_max(scaler: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    low, high = (np.full(len(columns), end, dtype=np.float64) if scaler.clip else None for end in scaler.feature_range)
    return _scale(columns, ("multiply", scaler.scale_), ("add", scaler.min_), ("at_least", low), ("at_most", high))


def _convert_max_abs(scaler: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    return _scale(columns, ("divide", scaler.scale_))


def _convert_robust(scaler: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    return _scale(columns, ("subtract", scaler.center_), ("divide", scaler.scale_))


_CONVERTERS: dict[type, Callable[[Any, Sequence[SomeColumn]], list[SomeColumn]]] = {
    Pipeline: _convert_pipeline,
    ColumnTransformer: _convert_column_transformer,
    FunctionTransformer: _convert_function,
    SimpleImputer: _convert_imputer,
    StandardScaler: _convert_standard,
    MinMaxScaler: _convert_min_max,
    MaxAbsScaler: _convert_max_abs,
    RobustScaler: _convert_robust,
    OneHotEncoder: convert_one_hot,
    OrdinalEncoder: convert_ordinal,
}
