"""The gate stores its evidence before anybody acts on it, and lets nothing vanish on the way to its verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.contracts import RuleFinding
from include.declaration import Pipeline
from include.errors import GateBlocked, RefreshUnreadable, SuiteInvalid
from include.gates import dialect, evaluate, gate
from include.gates.gate import raise_if_blocked, run_frame_gate, run_refresh_gate
from include.gates.suites import load_suite, read_suite_version
from include.gates.verdict import decide_verdict
from include.settings import Settings
from tests.unit.factory import make_pipeline, make_rows
from tests.unit.gates.suite_files import (
    BETWEEN,
    IN_SET,
    MEAN,
    NOT_NULL,
    QUERY,
    REGEX,
    ROW_COUNT,
    make_rule,
    refer_to,
    write_refresh,
    write_suite,
)

MEDIAN = {"quantiles": [0.5], "value_ranges": [[1, 29]]}


@pytest.mark.parametrize(
    ("status", "severity", "quarantined", "verdict"),
    [
        ("failed", "critical", 0, "block"),
        ("failed", "warning", 0, "warn"),
        ("failed", "info", 0, "warn"),
        ("errored", "info", 0, "block"),
        ("passed", "critical", 0, "pass"),
        ("passed", "critical", 3, "warn"),
    ],
)
def test_severity_and_status_decide_the_verdict(status: Any, severity: Any, quarantined: int, verdict: str) -> None:
    assert decide_verdict([RuleFinding("rule", status, severity)], quarantined) == verdict


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_good_rows_pass_on_either_engine_with_evidence_and_a_page(
    settings: Settings, tmp_path: Path, engine: Any
) -> None:
    write_suite(
        settings,
        "parcels_refresh",
        make_rule(ROW_COUNT, min_value={"$PARAMETER": "min_rows"}),
        make_rule(REGEX, column="carrier", regex="^[A-Z]{2}$"),
        make_rule(BETWEEN, column="month", min_value={"$PARAMETER": "partition_month"}, max_value=1),
        make_rule(
            "expect_column_quantiles_within",
            column="weight",
            quantile_ranges={"quantiles": [0.5], "value_ranges": [[1, 29]]},
        ),
    )
    pipeline = make_pipeline(data={"engine": engine, "suite_parameters": {"min_rows": 400}})
    report = run_refresh_gate(settings, pipeline, write_refresh(tmp_path))
    assert (report.verdict, report.findings, report.rows, report.engine) == ("pass", (), 400, engine)
    assert report.rules_evaluated == report.rules_declared == 4
    assert json.loads(Path(report.report_path).read_text())["rules_version"] == report.rules_version
    assert "<html" in Path(report.docs_path).read_text()
    assert Path(report.docs_path).is_absolute()


def test_a_block_names_data_set_partition_rule_counts_examples_and_the_report(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    write_suite(settings, "parcels_refresh", make_rule(IN_SET, column="depot", value_set=["north"]))
    frame = make_rows()
    report = run_refresh_gate(settings, pipeline, write_refresh(tmp_path, frame))
    with pytest.raises(GateBlocked) as caught:
        raise_if_blocked(report)
    bad = int((frame["depot"] == "south").sum())
    for piece in ("parcels", "2013-01", f"{IN_SET}(depot)", f"{bad} rows", "such as south", report.report_path):
        assert piece in str(caught.value)
    assert caught.value.rules == (f"{IN_SET}(depot)",)


def test_an_errored_rule_blocks_whatever_its_severity(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    write_suite(
        settings,
        "parcels_refresh",
        make_rule(NOT_NULL, column="weight"),
        make_rule(NOT_NULL, severity="info", column="no_such_column"),
    )
    report = run_refresh_gate(settings, pipeline, write_refresh(tmp_path))
    assert [(each.rule, each.status) for each in report.findings] == [(f"{NOT_NULL}(no_such_column)", "errored")]
    assert report.verdict == "block"
    assert report.rules_evaluated == 2


def test_a_rule_that_vanishes_while_gx_evaluates_blocks(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(
        settings, "parcels_refresh", make_rule(NOT_NULL, column="weight"), make_rule(NOT_NULL, "info", column="delay")
    )
    really = evaluate.evaluate_suite

    def lose_last(*args: Any) -> Any:
        result = really(*args)
        result.results = result.results[:-1]
        return result

    monkeypatch.setattr(evaluate, "evaluate_suite", lose_last)
    report = run_refresh_gate(settings, pipeline, write_refresh(tmp_path))
    assert (report.rules_declared, report.rules_evaluated, report.verdict) == (2, 1, "block")
    assert [each.status for each in report.findings] == ["errored"]


@pytest.mark.parametrize(
    "rules",
    [
        [make_rule("expect_the_impossible", column="weight")],
        [make_rule(ROW_COUNT, min_value={"$PARAMETER": "never_declared"})],
        [make_rule(MEAN, column="weight", min_value=0, mostly=0.9)],
    ],
)
def test_a_suite_that_cannot_be_evaluated_whole_blocks_with_evidence(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, rules: list[dict[str, Any]]
) -> None:
    write_suite(settings, "parcels_refresh", *rules)
    with pytest.raises(SuiteInvalid) as caught:
        run_refresh_gate(settings, pipeline, write_refresh(tmp_path))
    report = json.loads(Path(caught.value.report.report_path).read_text())
    assert (report["verdict"], report["rules_declared"]) == ("block", 1)
    assert report["rules_version"] == load_suite(settings, "parcels_refresh").version


def test_a_suite_that_cannot_be_read_leaves_a_version_that_a_correction_changes(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    frame = tmp_path / "frame.parquet"
    make_rows().to_parquet(frame)
    seen = []
    for content in (None, b"{", b'{"name": "parcels_features"}'):
        path = write_suite(settings, "parcels_features")
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(SuiteInvalid) as caught:
            run_frame_gate(settings, pipeline, "features", "parcels_features", {}, str(frame), "2013-01")
        assert caught.value.report.rules_version == read_suite_version(settings, "parcels_features")
        seen.append(caught.value.report.rules_version)
    write_suite(settings, "parcels_features", make_rule(NOT_NULL, column="hour"))
    seen.append(read_suite_version(settings, "parcels_features"))
    assert len(set(seen)) == 4
    assert "" not in seen


def test_a_number_that_is_missing_or_not_finite_never_passes(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    """A mean without bounds on one side would pass on infinity, and one over nothing has no value at all."""
    write_suite(
        settings,
        "parcels_predictions",
        make_rule(MEAN, column="endless", min_value=0),
        make_rule(MEAN, "info", column="absent", min_value=0),
    )
    path = tmp_path / "frame.parquet"
    pd.DataFrame({"endless": [1.0, float("inf")], "absent": [float("nan")] * 2}).to_parquet(path)
    report = run_frame_gate(settings, pipeline, "predictions", "parcels_predictions", {}, str(path), "2013-01")
    assert report.verdict == "block"
    assert {each.column: each.status for each in report.findings}["endless"] == "errored"
    assert "absent" in {each.column for each in report.findings}


def test_nothing_never_passes_although_every_rule_does(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    write_suite(settings, "parcels_features", make_rule(NOT_NULL, column="hour"))
    path = tmp_path / "frame.parquet"
    pd.DataFrame({"hour": pd.Series([], dtype=float)}).to_parquet(path)
    report = run_frame_gate(settings, pipeline, "features", "parcels_features", {}, str(path), "2013-01")
    assert (report.rows, report.verdict) == (0, "block")


def test_quarantine_that_would_set_aside_other_rows_than_gx_counted_blocks(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(settings, "parcels_refresh", make_rule(BETWEEN, column="weight", min_value=0, mostly=0.9))
    monkeypatch.setattr(gate, "write_predicates", lambda suite, parameters: {suite.rules[0].name: '("weight" < 0.2)'})
    report = run_refresh_gate(settings, pipeline, write_refresh(tmp_path))
    assert [(each.rule, each.status) for each in report.findings] == [(f"quarantine({BETWEEN}(weight))", "errored")]
    assert report.verdict == "block"


def test_a_query_rule_counts_its_rows_and_shows_some(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    query = "SELECT parcel_id, count(*) AS copies FROM {batch} GROUP BY ALL HAVING count(*) > 1"
    write_suite(
        settings, "parcels_refresh", make_rule(QUERY, description="one row a parcel", unexpected_rows_query=query)
    )
    frame = pd.concat([make_rows(), make_rows().head(25)], ignore_index=True)
    (finding,) = run_refresh_gate(settings, pipeline, write_refresh(tmp_path, frame)).findings
    assert (finding.rule, finding.unexpected_count) == (f"{QUERY}(one row a parcel)", 25)
    assert len(finding.examples) == 10
    assert finding.examples[0].startswith("parcel_id=2013")


def test_a_rule_on_missing_values_says_which_rows_lack_one(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    write_suite(settings, "parcels_refresh", make_rule(NOT_NULL, column="depot"))
    frame = make_rows()
    frame.loc[[6, 9], "depot"] = None
    (finding,) = run_refresh_gate(settings, pipeline, write_refresh(tmp_path, frame)).findings
    assert finding.unexpected_count == 2
    assert [example.split(" parcel_id=")[0] for example in finding.examples] == ["row number=7", "row number=10"]
    assert f"parcel_id={frame.loc[6, 'parcel_id']} " in finding.examples[0]


def test_a_query_rule_runs_once_and_never_fetches_the_bad_rows(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh that is bad throughout must not end up in memory; a key over millions of rows costs seconds."""
    fetched: list[tuple[str, int]] = []

    class Watched(dialect._BufferedCursor):
        def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
            super().execute(statement, parameters, context)
            fetched.append((statement, len(self._rows)))

    monkeypatch.setattr(dialect, "_BufferedCursor", Watched)
    query = "SELECT parcel_id, weight + 1 AS heavier FROM {batch}"
    write_suite(settings, "parcels_refresh", make_rule(QUERY, description="nothing", unexpected_rows_query=query))
    (finding,) = run_refresh_gate(settings, pipeline, write_refresh(tmp_path)).findings
    assert finding.unexpected_count == 400
    assert [rows for statement, rows in fetched if "heavier" in statement] == [1]
    assert max(rows for _, rows in fetched) < 100


def test_examples_are_short_printable_text(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    write_suite(settings, "parcels_refresh", make_rule(IN_SET, column="depot", value_set=["north", "south"]))
    frame = make_rows()
    frame.loc[0, "depot"] = "<script>\x1b[2J\n" + "y" * 10_000
    report = run_refresh_gate(settings, pipeline, write_refresh(tmp_path, frame))
    (finding,) = report.findings
    assert finding.examples[0].isprintable()
    assert len(finding.examples[0]) <= 160
    # GX writes values into its pages unescaped; ours must not carry a refresh's script.
    page = Path(report.docs_path).read_text()
    assert "&lt;script&gt;\x1b" in page
    assert "<script>\x1b" not in page


def test_a_file_with_a_sound_footer_and_broken_pages_is_unreadable(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    write_suite(settings, "parcels_refresh", make_rule(BETWEEN, column="weight", min_value=0, mostly=0.9))
    refresh = write_refresh(tmp_path)
    content = bytearray(Path(refresh.snapshot).read_bytes())
    content[4 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 4)
    Path(refresh.snapshot).write_bytes(content)
    with pytest.raises(RefreshUnreadable) as caught:
        run_refresh_gate(settings, pipeline, refer_to(Path(refresh.snapshot)))
    assert caught.value.report.verdict == "block"
