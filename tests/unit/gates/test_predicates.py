"""A row predicate counts exactly what Great Expectations counts, missing values included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.errors import SuiteInvalid
from include.gates.evaluate import evaluate_select
from include.gates.predicates import write_predicates
from include.gates.source import open_view, select_frame
from include.gates.split import count_quarantine
from include.gates.suites import parse_suite
from include.settings import Settings
from tests.unit.gates.suite_files import BETWEEN, IN_SET, MEAN, NOT_NULL, REGEX, make_rule

PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
RULES = [
    make_rule(BETWEEN, column="n", min_value=2, max_value=4, mostly=0.1),
    make_rule(BETWEEN, column="n", min_value=2, max_value=4, strict_min=True, strict_max=True, mostly=0.1),
    make_rule(BETWEEN, column="n", min_value={"$PARAMETER": "low"}, mostly=0.1),
    make_rule(BETWEEN, column="when", max_value="2013-01-02T00:00:00+00:00", mostly=0.1),
    make_rule(IN_SET, column="s", value_set=["a", "it's"], mostly=0.1),
    make_rule(IN_SET, column="n", value_set=[1, 2.5], mostly=0.1),
    make_rule("expect_column_values_to_not_be_in_set", column="s", value_set=["a"], mostly=0.1),
    make_rule(NOT_NULL, column="s", mostly=0.1),
    make_rule(REGEX, column="s", regex="^[a-c]", mostly=0.1),
    make_rule(REGEX, column="s", regex="t", mostly=0.1),
    make_rule("expect_column_values_to_not_match_regex", column="s", regex="[0-9]{2,3}'?$", mostly=0.1),
    make_rule("expect_column_value_lengths_to_be_between", column="s", min_value=2, mostly=0.1),
    make_rule(PAIR, column_A="n", column_B="m", ignore_row_if="either_value_is_missing", mostly=0.1),
    make_rule(PAIR, column_A="n", column_B="m", or_equal=True, ignore_row_if="either_value_is_missing", mostly=0.1),
]


@pytest.fixture
def select(tmp_path: Path) -> str:
    nan, days = float("nan"), ["2013-01-01", "2013-01-02", "2013-01-03", None]
    frame = pd.DataFrame(
        {
            "n": [1.0, 2.0, 2.5, 4.0, 5.0, nan, 3.0, -1.0],
            "m": [1.0, 1.0, nan, 5.0, 5.0, nan, 2.0, -2.0],
            "s": ["a", "b", "it's", None, "z12", "", "ab\ncd", "té"],
            "when": pd.to_datetime(days * 2, utc=True),
        }
    )
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    return select_frame(path)


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_predicates_and_gx_count_the_same_rows(settings: Settings, select: str, engine: Any) -> None:
    suite = parse_suite("s", json.dumps({"name": "s", "expectations": RULES}).encode())
    with open_view(settings, "parcels", select) as connection:
        counts = count_quarantine(connection, write_predicates(suite, {"low": 2}))
    evaluation = evaluate_select(settings, "parcels", "x", suite, {"low": 2}, select, engine)
    assert [each for each in evaluation.findings if each.status == "errored"] == []
    by_gx = {finding.rule: finding.unexpected_count for finding in evaluation.findings}
    assert {name: by_gx.get(name, 0) for name in counts.reasons} == dict(counts.reasons)
    assert all(counts.reasons.values()), "a rule without one bad row here compares nothing"


@pytest.mark.parametrize(
    "rule",
    [
        make_rule("expect_column_values_to_be_unique", column="n", mostly=0.9),
        make_rule(MEAN, column="n", mostly=0.9),
        make_rule(PAIR, column_A="n", column_B="m", mostly=0.9),
        make_rule(BETWEEN, column="n", mostly=0.9),
        make_rule(IN_SET, column="n", value_set=[], mostly=0.9),
        make_rule(BETWEEN, column="n", min_value=[1], mostly=0.9),
        make_rule(BETWEEN, column="n", min_value=1, mostly=0.9, row_condition='col("m") > 1'),
    ],
)
def test_a_tolerated_rule_without_a_row_predicate_is_refused(rule: dict[str, Any]) -> None:
    suite = parse_suite("s", json.dumps({"name": "s", "expectations": [rule]}).encode())
    with pytest.raises(SuiteInvalid):
        write_predicates(suite, {})
