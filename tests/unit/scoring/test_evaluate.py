"""The evaluator: what each expression means, and that a row's features do not depend on its company."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import TerminalError
from include.scoring.calendar import count_day_of_week, count_day_of_year
from include.scoring.evaluate import evaluate_features, find_column_kinds
from include.scoring.expressions import Arithmetic, Column, Constant, Expression, Feature, HourMinute, Lookup, Sine
from include.scoring.tables import read_tables
from tests.unit.scoring.factory import FEATURES, NUMBERS, TABLES, TEXTS

_TABLES = read_tables(json.dumps(TABLES))


def _number(expression: Expression, **columns: list[float]) -> list[float]:
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    found: list[float] = evaluate_features((Feature("x", expression),), _TABLES, arrays)["x"].tolist()
    return found


def _texts(values: list[str | None]) -> np.ndarray:
    return np.array([*values, None], dtype=object)[:-1]


_VALUE = st.one_of(
    st.just(math.nan),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.integers(-3, 2500).map(float),
)
_TEXT = st.sampled_from(["N1", "N2", "N3", "AA", "", "elsewhere", None])
_ROW = st.fixed_dictionaries({**dict.fromkeys(NUMBERS, _VALUE), **dict.fromkeys(TEXTS, _TEXT)})


@settings(max_examples=100, deadline=None)
@given(st.lists(_ROW, min_size=1, max_size=25))
def test_a_batch_and_its_single_rows_give_the_same_bits(rows: list[dict[str, float | str | None]]) -> None:
    """Parity: there is nothing that training could compute otherwise than serving."""

    def evaluate(chosen: list[dict[str, float | str | None]]) -> dict[str, np.ndarray]:
        columns = {name: np.array([row[name] for row in chosen], dtype=np.float64) for name in NUMBERS}
        columns |= {name: _texts([row[name] for row in chosen]) for name in TEXTS}  # type: ignore[misc]
        return evaluate_features(FEATURES, _TABLES, columns)

    batch = evaluate(rows)
    for position, row in enumerate(rows):
        for name, values in evaluate([row]).items():
            if values.dtype == object:
                assert values[0] is batch[name][position] or values[0] == batch[name][position]
            else:
                assert values.tobytes() == batch[name][position : position + 1].tobytes(), name


def test_the_calendar_agrees_with_the_standard_library() -> None:
    """Leap years, century years and month ends included."""
    days = [date(1, 1, 1) + timedelta(days=step) for step in range(0, 3_652_000, 37)]
    days += [date(year, 12, 31) for year in (1900, 2000, 2012, 2013, 9999)] + [date(2000, 2, 29)]
    parts = [
        np.array(values, dtype=np.float64) for values in zip(*[(d.year, d.month, d.day) for d in days], strict=True)
    ]
    assert count_day_of_week(*parts).tolist() == [float(d.weekday()) for d in days]
    assert count_day_of_year(*parts).tolist() == [float(d.timetuple().tm_yday) for d in days]


@pytest.mark.parametrize(
    "parts",
    [(2013, 2, 29), (1900, 2, 29), (2013, 4, 31), (2013, 13, 1), (2013, 0, 1), (2013, 1, 0), (0, 1, 1), (2013.5, 1, 1)],
)
def test_what_is_no_date_is_missing(parts: tuple[float, float, float]) -> None:
    arrays = [np.array([part], dtype=np.float64) for part in parts]
    assert math.isnan(count_day_of_week(*arrays)[0])
    assert math.isnan(count_day_of_year(*arrays)[0])


def test_clock_readings_become_minutes_and_others_are_missing() -> None:
    found = _number(HourMinute(Column("c")), c=[0, 1745, 2359, 2400, 2401, 1260, -5, math.nan])
    assert found[:4] == [0.0, 1065.0, 1439.0, 1440.0]
    assert all(math.isnan(value) for value in found[4:])


def test_arithmetic_without_a_usable_result_is_missing() -> None:
    """A model gets no infinity from a division by zero or an overflow."""
    divided = _number(Arithmetic("/", Column("a"), Column("b")), a=[6, 1, 0, math.nan], b=[3, 0, 0, 1])
    assert divided[0] == 2.0
    assert all(math.isnan(value) for value in divided[1:])
    assert math.isnan(_number(Arithmetic("*", Column("a"), Constant(1e300)), a=[1e300])[0])


def test_a_lookup_finds_its_row_and_is_missing_for_unknown_or_absent_keys() -> None:
    columns = {"tail": _texts(["N3", "N9", None, "N2"])}
    features = (
        Feature("built", Lookup("planes", Column("tail"), "built")),
        Feature("engine", Lookup("planes", Column("tail"), "engine"), kind="category"),
    )
    found = evaluate_features(features, _TABLES, columns)
    assert found["engine"].tolist() == ["prop", None, None, None]
    assert found["built"][0] == 2004.5
    assert np.isnan(found["built"][1:]).all()


def test_an_absent_column_is_missing_everywhere() -> None:
    found = evaluate_features(FEATURES, _TABLES, {}, rows=2)
    assert list(found) == [feature.name for feature in FEATURES]
    assert found["carrier"].tolist() == [None, None]
    assert np.isnan(found["total"]).all()


@pytest.mark.parametrize(
    ("feature", "named"),
    [
        (Feature("x", Column("carrier")), "carrier"),
        (Feature("x", Column("hours"), kind="category"), "hours"),
        (Feature("x", Constant(1.0), kind="category"), "Constant"),
        (Feature("x", Lookup("ships", Column("carrier"), "built")), "ships"),
        (Feature("x", Lookup("planes", Column("carrier"), "colour")), "colour"),
        (Feature("x", Lookup("planes", Column("carrier"), "engine")), "engine"),
        (Feature("x", Arithmetic("%", Column("hours"), Column("hours"))), "%"),
        (Feature("x", Sine(Column("hours"), 0.0)), "0.0"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_that_names_it(feature: Feature, named: str) -> None:
    columns = {"carrier": _texts(["AA"]), "hours": np.array([1.0])}
    with pytest.raises(TerminalError, match=named):
        evaluate_features((feature,), _TABLES, columns)


def test_column_kinds_follow_the_use() -> None:
    kinds = find_column_kinds(FEATURES)
    assert {name for name, kind in kinds.items() if kind == "number"} == set(NUMBERS)
    assert {name for name, kind in kinds.items() if kind == "string"} == set(TEXTS)
    with pytest.raises(TerminalError, match="tail"):
        find_column_kinds((Feature("a", Column("tail")), Feature("b", Column("tail"), kind="category")))


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ({"key": "k", "keys": ["a", "a"], "columns": {}}, "not unique"),
        ({"key": "k", "keys": ["a", "b"], "columns": {"c": [1]}}, "1 values for 2 keys"),
        ({"key": "k", "keys": ["a"], "columns": {"c": [[1]]}}, "columns"),
        ({"key": "k", "keys": ["a"], "columns": {}, "code": "x"}, "code"),
    ],
)
def test_a_broken_table_is_refused(stored: dict[str, object], problem: str) -> None:
    with pytest.raises(TerminalError, match=problem):
        read_tables(json.dumps({"t": stored}))
