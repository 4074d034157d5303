"""The one evaluator of row features: columns in, feature columns out, alike for a month of rows and for a single one.

A column is a one-dimensional numpy array: ``float64`` with NaN for missing, or ``object`` holding ``str`` and None.
Every operation works on each row by itself and gives the same bits whatever the number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import msgspec
import numpy as np
from numpy.typing import NDArray

from include.errors import TerminalError
from include.scoring.calendar import count_day_of_week, count_day_of_year
from include.scoring.expressions import (
    Arithmetic,
    Column,
    Constant,
    Cosine,
    DayOfWeek,
    DayOfYear,
    Expression,
    Feature,
    HourMinute,
    Lookup,
    Sine,
)
from include.scoring.tables import LookupTable

Array = NDArray[Any]

_OPERATORS: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def find_column_kinds(features: Sequence[Feature]) -> dict[str, str]:
    """Kind ("number" or "string") of every request column that the features read, by how they use it.

    Raises TerminalError when a column is used both as a number and as text.
    """
    kinds: dict[str, str] = {}

    def note(expression: Expression, kind: str) -> None:
        if isinstance(expression, Column):
            if kinds.setdefault(expression.name, kind) != kind:
                raise TerminalError(
                    f"The features use the request column {expression.name!r} both as a number and as text.",
                    next_step="Use it as one of them; a category feature and a lookup's key are text.",
                    column=expression.name,
                )
        elif isinstance(expression, Lookup):
            note(expression.key, "string")
        else:
            for field in expression.__struct_fields__:
                child = getattr(expression, field)
                if isinstance(child, msgspec.Struct):
                    note(child, "number")  # type: ignore[arg-type]

    for feature in features:
        note(feature.expression, "number" if feature.kind == "number" else "string")
    return kinds


def evaluate_features(
    features: Sequence[Feature],
    tables: Mapping[str, LookupTable],
    columns: Mapping[str, Array],
    rows: int | None = None,
) -> dict[str, Array]:
    """Return the feature columns by name, in declared order: ``float64`` for a number, ``object`` for a category.

    ``columns`` are the request columns; one that is absent is missing in every row. ``rows`` is their length, needed
    only when no column is given. Raises TerminalError for a text where a number is meant (and the reverse), an
    unknown table, value or operator.
    """
    if rows is None:
        rows = len(next(iter(columns.values())))
    evaluation = _Evaluation(tables, columns, rows)
    return {
        feature.name: evaluation.number(feature.expression)
        if feature.kind == "number"
        else evaluation.text(feature.expression)
        for feature in features
    }


class _Evaluation:
    """One pass over one set of columns; equal sub-expressions are computed once."""

    def __init__(self, tables: Mapping[str, LookupTable], columns: Mapping[str, Array], rows: int) -> None:
        self._tables = tables
        self._columns = columns
        self._rows = rows
        self._numbers: dict[Expression, Array] = {}
        self._positions: dict[tuple[str, Expression], NDArray[np.int64]] = {}

    def number(self, expression: Expression) -> Array:
        found = self._numbers.get(expression)
        if found is None:
            found = self._numbers[expression] = self._compute_number(expression)
        return found

    def text(self, expression: Expression) -> Array:
        if isinstance(expression, Column):
            values = self._columns.get(expression.name)
            if values is None:
                return np.full(self._rows, None, dtype=object)
            if values.dtype != object:
                raise _wrong_kind(expression.name, "text", "numbers")
            return values
        if isinstance(expression, Lookup):
            table = self._find_table(expression)
            return table.get_texts(expression.value)[self._find_positions(expression, table)]
        raise TerminalError(
            f"A {type(expression).__name__} gives a number, but a category or a key is text.",
            next_step="Declare the feature as a number, or build it from text columns and lookups.",
            expression=type(expression).__name__,
        )

    def _compute_number(self, expression: Expression) -> Array:
        match expression:
            case Column(name):
                values = self._columns.get(name)
                if values is None:
                    return np.full(self._rows, np.nan)
                if values.dtype != np.float64:
                    raise _wrong_kind(name, "a number", "text")
                return values
            case Constant(value):
                return np.full(self._rows, float(value))
            case Lookup():
                table = self._find_table(expression)
                return table.get_numbers(expression.value)[self._find_positions(expression, table)]
            case Arithmetic(operator, left, right):
                return _calculate(operator, self.number(left), self.number(right))
            case HourMinute(of):
                return _count_minutes(self.number(of))
            case DayOfWeek(year, month, day):
                return count_day_of_week(self.number(year), self.number(month), self.number(day))
            case DayOfYear(year, month, day):
                return count_day_of_year(self.number(year), self.number(month), self.number(day))
            case Sine(of, period):
                return _turn(math.sin, self.number(of), period)
            case Cosine(of, period):
                return _turn(math.cos, self.number(of), period)
        assert_never(expression)

    def _find_table(self, lookup: Lookup) -> LookupTable:
        try:
            return self._tables[lookup.table]
        except KeyError:
            raise TerminalError(
                f"A feature looks up {lookup.value!r} in the table {lookup.table!r}, which the model does not hold.",
                next_step=f"Declare {lookup.table} as a reference with a key, and train again.",
                table=lookup.table,
            ) from None

    def _find_positions(self, lookup: Lookup, table: LookupTable) -> NDArray[np.int64]:
        place = (lookup.table, lookup.key)
        found = self._positions.get(place)
        if found is None:
            found = self._positions[place] = table.find_rows(self.text(lookup.key))
        return found


def _calculate(operator: str, left: Array, right: Array) -> Array:
    function = _OPERATORS.get(operator)
    if function is None:
        raise TerminalError(
            f"{operator!r} is not an arithmetic operator.", next_step="Use + - * or /.", operator=operator
        )
    with np.errstate(all="ignore"):
        result = function(left, right)
    # A division by zero and an overflow have no usable value: missing, not an infinity that a model stumbles over.
    return np.where(np.isfinite(result), result, np.nan)


def _count_minutes(clock: Array) -> Array:
    hours = np.floor(clock / 100.0)
    minutes = clock - 100.0 * hours
    # 2400 is how timetables write the midnight that ends a day; what is no clock reading is missing.
    valid = (hours >= 0) & (minutes >= 0) & (minutes < 60) & ((hours < 24) | (clock == 2400))
    return np.where(valid, 60.0 * hours + minutes, np.nan)


def _turn(function: Callable[[float], float], values: Array, period: float) -> Array:
    if not (math.isfinite(period) and period > 0):
        raise TerminalError(
            f"{period!r} is not a period.", next_step="Give a cycle a positive, finite period.", period=period
        )
    # numpy picks sine code by processor and array length, whose last bits may differ; the C library's does not.
    factor = 2.0 * math.pi / period
    with np.errstate(over="ignore"):
        angles = (values * factor).tolist()
    return np.array([function(angle) if math.isfinite(angle) else math.nan for angle in angles], dtype=np.float64)


def _wrong_kind(column: str, wanted: str, given: str) -> TerminalError:
    return TerminalError(
        f"The request column {column!r} holds {given} where the features need {wanted}.",
        next_step="Send, or declare, the column with the type that its features use.",
        column=column,
    )
