"""Row features for a single row: each expression becomes a Python function of the row's tuple.

A numpy call costs as much for one number as for a hundred, so one row is evaluated in plain floats: 6 µs where
``include.scoring.evaluate`` takes 300. The meaning is that module's, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from operator import add, itemgetter, mul, sub
from typing import Any, assert_never

from include.errors import TerminalError
from include.scoring.expressions import (
    Arithmetic,
    Column,
    Constant,
    Cosine,
    DayOfWeek,
    DayOfYear,
    Expression,
    HourMinute,
    Lookup,
    Sine,
)
from include.scoring.tables import LookupTable

Row = tuple[Any, ...]
NumberOf = Callable[[Row], float]
TextOf = Callable[[Row], str | None]

_NAN = math.nan
_DATES = 1024
_OPERATORS: dict[str, Callable[[float, float], float]] = {"+": add, "-": sub, "*": mul}


class RowBinder:
    """Binds expressions to the places of request columns in a row. Null is None in a row, and NaN as a number.

    ``places`` has each column's place; one that is absent is missing in every row. ``nullable`` are the columns that
    may be None: reading another one costs half as much.
    """

    def __init__(self, tables: Mapping[str, LookupTable], places: Mapping[str, int], nullable: frozenset[str]) -> None:
        self._tables = tables
        self._places = places
        self._nullable = nullable

    def bind_number(self, expression: Expression) -> NumberOf:
        """The function that computes a number from a row. Raises TerminalError as ``evaluate_features`` does."""
        match expression:
            case Column(name):
                return self._bind_column(name)
            case Constant(value):
                constant = float(value)
                return lambda row: constant
            case Lookup(table, key, value):
                return _bind_lookup(self._find_table(table).list_numbers(value), self.bind_text(key))
            case Arithmetic(operator, left, right):
                return _bind_arithmetic(operator, self.bind_number(left), self.bind_number(right))
            case HourMinute(of):
                return _bind_minutes(self.bind_number(of))
            case DayOfWeek(year, month, day):
                return _bind_day(date.weekday, self.bind_number(year), self.bind_number(month), self.bind_number(day))
            case DayOfYear(year, month, day):
                return _bind_day(_get_day_of_year, *map(self.bind_number, (year, month, day)))
            case Sine(of, period):
                return _bind_turn(math.sin, self.bind_number(of), period)
            case Cosine(of, period):
                return _bind_turn(math.cos, self.bind_number(of), period)
        assert_never(expression)

    def bind_text(self, expression: Expression) -> TextOf:
        """The function that reads a text, or None, from a row. Raises TerminalError for what gives a number."""
        if isinstance(expression, Column):
            place = self._places.get(expression.name)
            return (lambda row: None) if place is None else itemgetter(place)
        if isinstance(expression, Lookup):
            texts = self._find_table(expression.table).list_texts(expression.value)
            key = self.bind_text(expression.key)
            return lambda row: texts.get(key(row))
        raise TerminalError(
            f"A {type(expression).__name__} gives a number, but a category or a key is text.",
            next_step="Declare the feature as a number, or build it from text columns and lookups.",
            expression=type(expression).__name__,
        )

    def _bind_column(self, name: str) -> NumberOf:
        place = self._places.get(name)
        if place is None:
            return lambda row: _NAN
        if name not in self._nullable:
            return itemgetter(place)
        return lambda row: _NAN if (value := row[place]) is None else value

    def _find_table(self, name: str) -> LookupTable:
        try:
            return self._tables[name]
        except KeyError:
            raise TerminalError(
                f"A feature looks something up in the table {name!r}, which the model does not hold.",
                next_step=f"Declare {name} as a reference with a key, and train again.",
                table=name,
            ) from None


def _bind_lookup(numbers: Mapping[str | None, float], key: TextOf) -> NumberOf:
    return lambda row: numbers.get(key(row), _NAN)


def _bind_arithmetic(operator: str, left: NumberOf, right: NumberOf) -> NumberOf:
    if operator == "/":
        return lambda row: _divide(left(row), right(row))
    calculate = _OPERATORS.get(operator)
    if calculate is None:
        raise TerminalError(
            f"{operator!r} is not an arithmetic operator.", next_step="Use + - * or /.", operator=operator
        )

    def compute(row: Row) -> float:
        result = calculate(left(row), right(row))
        # Infinity minus itself is not 0: an overflow is missing.
        return result if result - result == 0.0 else _NAN

    return compute


def _divide(left: float, right: float) -> float:
    result = left / right if right else _NAN
    return result if result - result == 0.0 else _NAN


def _bind_minutes(clock: NumberOf) -> NumberOf:
    def compute(row: Row) -> float:
        value = clock(row)
        # What is no clock reading is missing; the range comes first, so that floor meets no NaN.
        if not 0.0 <= value <= 2400.0:
            return _NAN
        hours = float(math.floor(value / 100.0))
        minutes = value - 100.0 * hours
        return 60.0 * hours + minutes if 0.0 <= minutes < 60.0 and (hours < 24.0 or value == 2400.0) else _NAN

    return compute


def _bind_day(count: Callable[[date], int], year: NumberOf, month: NumberOf, day: NumberOf) -> NumberOf:
    # Requests of one time share a few dates: remembering them saves a microsecond of six.
    @lru_cache(maxsize=_DATES)
    def compute(*given: float) -> float:
        try:
            whole = tuple(map(int, given))
            return float(count(date(*whole))) if whole == given else _NAN
        except (ValueError, OverflowError):  # NaN, infinity, or numbers that are no date
            return _NAN

    return lambda row: compute(year(row), month(row), day(row))


def _get_day_of_year(day: date) -> int:
    return day.toordinal() - date(day.year, 1, 1).toordinal() + 1


def _bind_turn(function: Callable[[float], float], of: NumberOf, period: float) -> NumberOf:
    if not (math.isfinite(period) and period > 0):
        raise TerminalError(
            f"{period!r} is not a period.", next_step="Give a cycle a positive, finite period.", period=period
        )
    factor = 2.0 * math.pi / period

    def compute(row: Row) -> float:
        angle = of(row) * factor
        return function(angle) if angle - angle == 0.0 else _NAN

    return compute
