"""The declaration of flight_delays is light, whole, and knows nothing of the outcome."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from include.declaration import Pipeline
from include.declaration.resolve import resolve_function
from include.pipelines.flight_delays.labels import mark_late
from include.scoring.expressions import iterate_columns
from include.settings import PROJECT_ROOT


def test_reading_it_imports_nothing_heavy() -> None:
    """DAG files read it at every parse."""
    code = (
        "import sys; from include.settings import load_settings; from include.declaration.loader import get_pipeline;"
        "get_pipeline(load_settings({}), 'flight_delays');"
        "print(sorted({'pandas', 'numpy', 'sklearn', 'mlflow', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT_ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_every_function_it_names_is_there(declared: Pipeline) -> None:
    names = [declared.label.function, declared.request.assemble]
    names += [reference.load for reference in declared.references.values()]
    for name in names:
        assert callable(resolve_function(declared, name))


def test_no_request_column_and_so_no_feature_knows_the_outcome(declared: Pipeline) -> None:
    known_after = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert set(declared.leakage.known_after) == known_after
    assert not known_after & set(declared.request.columns)
    for feature in declared.features:
        assert not known_after & iterate_columns(feature.expression)


def test_the_declared_columns_are_those_of_the_data(declared: Pipeline, flights: pd.DataFrame) -> None:
    assert list(declared.data.columns) == list(flights.columns)


def test_late_is_more_than_fifteen_minutes_and_a_flight_that_never_arrived_has_no_label() -> None:
    rows = pd.DataFrame({"arr_delay": [15.0, 15.5, 16.0, -20.0, None]})
    labels = mark_late(rows)
    assert labels.tolist()[:4] == [0.0, 1.0, 1.0, 0.0]
    assert labels.isna().tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("month", [1, 2])
def test_the_label_bounds_hold_for_real_months_with_room(month: int, declared: Pipeline, flights: pd.DataFrame) -> None:
    labels = mark_late(flights[flights["month"] == month])
    low, high = declared.label.base_rate
    assert low < labels.mean() < high
    assert labels.isna().mean() < declared.label.max_missing_share
