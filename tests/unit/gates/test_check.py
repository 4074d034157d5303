"""``make check`` refuses a rule that its pipeline's engine cannot run, and says what it looked at."""

from __future__ import annotations

import io
from typing import Any

import pytest

from config.__main__ import main
from include.gates.check import check_pipeline, report_problems
from include.settings import Settings, load_settings
from tests.unit.factory import make_pipeline
from tests.unit.gates.suite_files import BETWEEN, MEAN, NOT_NULL, QUERY, REGEX, ROW_COUNT, make_rule, write_suite

GOOD = [
    make_rule(ROW_COUNT, min_value={"$PARAMETER": "min_rows"}),
    make_rule(BETWEEN, column="month", min_value={"$PARAMETER": "partition_month"}),
    make_rule(REGEX, column="carrier", regex="^[A-Z]+$", mostly=0.9),
]


def _check(settings: Settings, *rules: dict[str, Any], engine: str = "duckdb") -> list[str]:
    write_suite(settings, "parcels_refresh", *GOOD, *rules)
    write_suite(settings, "parcels_features", make_rule(NOT_NULL, column="fleet_age"))
    write_suite(settings, "parcels_predictions", make_rule(MEAN, column="prediction", min_value=0, max_value=1))
    pipeline = make_pipeline(data={"engine": engine, "suite_parameters": {"min_rows": 1}})
    return check_pipeline(settings, pipeline)[0]


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_suites_that_run_are_accepted_whatever_made_up_rows_say(settings: Settings, engine: str) -> None:
    assert _check(settings, make_rule(BETWEEN, column="weight", min_value=999), engine=engine) == []


@pytest.mark.parametrize(
    ("rule", "engine", "said"),
    [
        (make_rule(NOT_NULL, column="wieght"), "duckdb", "wieght"),
        (make_rule(NOT_NULL, column="wieght"), "pandas", "wieght"),
        (make_rule(QUERY, unexpected_rows_query="SELECT * FROM {batch} WHERE hour < 0"), "pandas", "pandas"),
        (make_rule(QUERY, unexpected_rows_query="SELEC * FROM {batch}"), "duckdb", "SELEC"),
        (make_rule(REGEX, column="depot", regex="(?=lookahead)"), "duckdb", "(?"),
        (make_rule(BETWEEN, column="carrier", min_value=3), "duckdb", "carrier"),
        (make_rule(MEAN, column="carrier", min_value=3), "pandas", "carrier"),
        (make_rule(ROW_COUNT, max_value={"$PARAMETER": "max_rows"}), "duckdb", "max_rows"),
        (make_rule("expect_column_values_to_be_in_type_list", column="hour", type_list=["str"]), "pandas", "pandas 3"),
        (make_rule("expect_column_quantile_values_to_be_between", column="hour"), "duckdb", "quantiles_within"),
        (make_rule("expect_column_values_to_be_unique", column="hour", mostly=0.9), "duckdb", "single rows"),
        (make_rule("expect_unheard_of"), "duckdb", "expect_unheard_of"),
    ],
)
def test_a_rule_that_cannot_run_is_refused_by_name(
    settings: Settings, rule: dict[str, Any], engine: str, said: str
) -> None:
    problems = _check(settings, rule, engine=engine)
    assert len(problems) == 1
    assert rule["type"] in problems[0]
    assert said in problems[0]


def test_a_missing_suite_is_a_problem(settings: Settings) -> None:
    problems, rules = check_pipeline(settings, make_pipeline())
    assert [problem.split(":")[1].strip() for problem in problems] == [
        "parcels_refresh",
        "parcels_features",
        "parcels_predictions",
    ]
    assert rules == 0


def test_the_command_fails_on_a_stored_suite_nobody_uses(settings: Settings) -> None:
    write_suite(settings, "forgotten", make_rule(NOT_NULL, column="x"), id="made by a tool")
    output = io.StringIO()
    assert report_problems(settings, output) == 1
    assert "forgotten" in output.getvalue()
    assert "1 problems" in output.getvalue()


def test_what_is_shipped_passes_the_command(tmp_path: Any) -> None:
    output = io.StringIO()
    assert report_problems(load_settings({"TOLLGATE_HOME": str(tmp_path)}), output) == 0, output.getvalue()


def test_the_command_checks_the_suites_that_a_dotenv_file_names(
    settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(settings, "elsewhere", make_rule(NOT_NULL, column="x"), id="made by a tool")
    for name in ("TOLLGATE_GX_ROOT", "TOLLGATE_PIPELINES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text(
        f"TOLLGATE_GX_ROOT={settings.gx_root}\nTOLLGATE_PIPELINES={settings.pipelines_path}\n"
    )
    monkeypatch.setattr("config.environment.PROJECT_ROOT", tmp_path)
    assert main(["rules"]) == 1
    assert "elsewhere: " in capsys.readouterr().out
