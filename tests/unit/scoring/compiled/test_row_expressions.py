"""A single row in plain floats gives the bits that the column evaluator gives."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import TerminalError
from include.scoring.compiled.row_expressions import RowBinder
from include.scoring.evaluate import evaluate_features
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
from include.scoring.tables import read_tables
from tests.unit.scoring.factory import TABLES

TABLE = read_tables(json.dumps(TABLES))
NUMBERS = ("a", "b", "c")
numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3000).map(float),
    st.sampled_from(
        [2400.0, 2359.0, 2360.0, 0.0, -0.0, 29.0, 1e308, 5e-324, 2013.0, 9999.0, 10000.0, 2.0, 99.99999999999999]
    ),
)
texts = st.sampled_from([None, "", "N1", "N2", "N3", "n1", "?"])


def extend(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    periods = st.sampled_from([1.0, 24.0, 365.0, 1e-300])
    return st.one_of(
        st.builds(Arithmetic, st.sampled_from("+-*/"), inner, inner),
        st.builds(HourMinute, inner),
        st.builds(DayOfWeek, inner, inner, inner),
        st.builds(DayOfYear, inner, inner, inner),
        st.builds(Sine, inner, periods),
        st.builds(Cosine, inner, periods),
    )


expressions = st.recursive(
    st.one_of(
        st.builds(Column, st.sampled_from([*NUMBERS, "absent"])),
        st.builds(Constant, st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(Lookup, st.just("planes"), st.just(Column("t")), st.just("built")),
    ),
    extend,
    max_leaves=8,
)


def bind(nullable: frozenset[str] = frozenset(NUMBERS)) -> RowBinder:
    return RowBinder(TABLE, {"a": 0, "b": 1, "c": 2, "t": 3}, nullable)


@settings(max_examples=400, deadline=None)
@given(expressions, st.tuples(numbers, numbers, numbers, texts))
def test_a_row_gives_the_same_bits_as_a_column(expression: Expression, row: tuple[Any, ...]) -> None:
    columns = {name: np.array([value], dtype=np.float64) for name, value in zip(NUMBERS, row, strict=False)}
    columns["t"] = np.array([row[3]], dtype=object)
    expected = float(evaluate_features([Feature("f", expression)], TABLE, columns)["f"][0])
    found = bind().bind_number(expression)(row)
    assert found == expected or (math.isnan(found) and math.isnan(expected))
    assert not math.isinf(found)
    if None not in row[:3]:
        plain = bind(frozenset()).bind_number(expression)(row)
        assert plain == found or (math.isnan(plain) and math.isnan(found))


@given(st.tuples(numbers, numbers, numbers, texts))
def test_a_text_is_read_and_looked_up_alike(row: tuple[Any, ...]) -> None:
    columns = {"t": np.array([row[3]], dtype=object)}
    for expression in (Column("t"), Lookup("planes", Column("t"), "engine"), Column("absent")):
        (expected,) = evaluate_features([Feature("f", expression, "category")], TABLE, columns)["f"]
        assert bind().bind_text(expression)(row) == expected


@pytest.mark.parametrize(
    "expression",
    [
        Arithmetic("%", Column("a"), Column("b")),
        Sine(Column("a"), 0.0),
        Cosine(Column("a"), math.inf),
        Lookup("nowhere", Column("t"), "built"),
        Lookup("planes", Column("t"), "engine"),
        Lookup("planes", Constant(1.0), "built"),
    ],
)
def test_what_a_batch_refuses_is_refused_when_it_is_bound(expression: Expression) -> None:
    with pytest.raises(TerminalError):
        evaluate_features([Feature("f", expression)], TABLE, {"t": np.array(["N1"], dtype=object)})
    with pytest.raises(TerminalError):
        bind().bind_number(expression)
