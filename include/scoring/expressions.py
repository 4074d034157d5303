"""Row features as data: a small expression language over the columns of one request.

A feature is declared once, is stored beside the model as plain JSON, and is evaluated by ``include.scoring.evaluate``
for a batch and for a single row alike, so training and serving cannot drift apart and no code travels with a model.
Numbers are 64-bit floats with NaN for missing; text is ``str`` or None for missing.
"""

from __future__ import annotations

from typing import Union

import msgspec


class Column(msgspec.Struct, frozen=True, tag="column"):
    """The value of a request column."""

    name: str


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """A number."""

    value: float


class Lookup(msgspec.Struct, frozen=True, tag="lookup"):
    """``value`` of the row of a reference table whose ``key`` equals the text expression, or missing."""

    table: str
    key: Expression
    value: str


class Arithmetic(msgspec.Struct, frozen=True, tag="arithmetic"):
    """``left operator right`` on numbers; a missing operand gives missing, and so does a division by zero."""

    operator: str  # one of + - * /
    left: Expression
    right: Expression


class HourMinute(msgspec.Struct, frozen=True, tag="hour_minute"):
    """Minutes after midnight of a clock reading written as the number HHMM (1745 is 1065)."""

    of: Expression


class DayOfWeek(msgspec.Struct, frozen=True, tag="day_of_week"):
    """Day of the week of a calendar date, Monday = 0."""

    year: Expression
    month: Expression
    day: Expression


class DayOfYear(msgspec.Struct, frozen=True, tag="day_of_year"):
    """Day of the year of a calendar date, 1 January = 1."""

    year: Expression
    month: Expression
    day: Expression


class Sine(msgspec.Struct, frozen=True, tag="sine"):
    """``sin(2π · of / period)``: with Cosine, a cyclic quantity without a jump at its end."""

    of: Expression
    period: float


class Cosine(msgspec.Struct, frozen=True, tag="cosine"):
    """``cos(2π · of / period)``."""

    of: Expression
    period: float


Expression = Union[Column, Constant, Lookup, Arithmetic, HourMinute, DayOfWeek, DayOfYear, Sine, Cosine]


class Feature(msgspec.Struct, frozen=True):
    """One model input: ``kind`` is "number" or "category"."""

    name: str
    expression: Expression
    kind: str = "number"


def iterate_columns(expression: Expression) -> set[str]:
    """Names of the request columns that an expression reads."""
    if isinstance(expression, Column):
        return {expression.name}
    names: set[str] = set()
    for field in expression.__struct_fields__:
        child = getattr(expression, field)
        if isinstance(child, msgspec.Struct):
            names |= iterate_columns(child)  # type: ignore[arg-type]
    return names
