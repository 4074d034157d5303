"""The schema gate reads names, types and rows from the file itself; what cannot be read is refused with a reason."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.contracts import GateReport
from include.declaration import Pipeline
from include.errors import GateBlocked, RefreshUnreadable
from include.gates.schema import check_schema
from include.gates.verdict import raise_if_blocked
from include.links import link_report
from include.settings import Settings
from tests.unit.factory import COLUMNS, make_pipeline, make_rows
from tests.unit.gates.suite_files import refer_to, write_refresh


def _name_findings(report: GateReport) -> list[str]:
    return [finding.rule for finding in report.findings]


def read_page(report: GateReport) -> str:
    """The text that a person sees on the page of a report."""
    return html.unescape(Path(report.docs_path).read_text())


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_declared_schema_passes_and_its_evidence_is_stored(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, kind: Any
) -> None:
    report = check_schema(settings, pipeline, write_refresh(tmp_path, kind=kind))
    assert (report.verdict, report.rows, report.findings, report.docs_path) == ("pass", 400, (), "")
    assert json.loads(Path(report.report_path).read_text())["verdict"] == "pass"


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_missing_undeclared_and_retyped_columns_are_each_found(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, kind: Any
) -> None:
    frame = make_rows().rename(columns={"weight": "wieght"})
    frame["hour"] = frame["hour"].astype(str) + "h"
    report = check_schema(settings, pipeline, write_refresh(tmp_path, frame, kind))
    assert _name_findings(report) == ["column_present(weight)", "column_declared(wieght)", "column_type(hour)"]
    with pytest.raises(GateBlocked, match="column_type"):
        raise_if_blocked(report)


@pytest.mark.parametrize(
    ("declared", "stored", "fits"),
    [
        ("int", pa.int32(), True),
        ("int", pa.uint64(), False),
        ("int", pa.float64(), False),
        ("float", pa.int64(), True),
        ("float", pa.float32(), True),
        ("float", pa.string(), False),
        ("string", pa.large_string(), True),
        ("string", pa.dictionary(pa.int32(), pa.string()), True),
        ("string", pa.int64(), False),
        ("timestamp", pa.timestamp("ns", "UTC"), True),
        ("timestamp", pa.timestamp("ms"), True),
        ("timestamp", pa.date32(), False),
        ("bool", pa.bool_(), True),
        ("bool", pa.int8(), False),
    ],
)
def test_stored_types_that_lose_nothing_fit_the_declared_one(
    settings: Settings, tmp_path: Path, declared: Any, stored: pa.DataType, fits: bool
) -> None:
    pipeline = make_pipeline(data={"columns": {"x": declared}})
    path = tmp_path / "x.parquet"
    value = pa.nulls(1, stored) if not pa.types.is_dictionary(stored) else pa.array([None], pa.string()).cast(stored)
    pq.write_table(pa.table({"x": value}), path)
    assert check_schema(settings, pipeline, refer_to(path)).verdict == ("pass" if fits else "block")


def test_a_wrong_value_in_the_last_line_of_a_csv_is_counted_and_shown(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    frame = make_rows(rows=5000)
    frame["hour"] = frame["hour"].astype(object)
    frame.loc[4999, "hour"] = "5.5"
    report = check_schema(settings, pipeline, write_refresh(tmp_path, frame, "csv"))
    (finding,) = report.findings
    assert (finding.rule, finding.unexpected_count, finding.examples) == ("column_type(hour)", 1, ("5.5",))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_without_a_row_blocks(settings: Settings, pipeline: Pipeline, tmp_path: Path, kind: Any) -> None:
    frame = make_rows().head(0)
    report = check_schema(settings, pipeline, write_refresh(tmp_path, frame, kind))
    assert report.verdict == "block"
    assert "rows" in _name_findings(report)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _break_footer(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40:-20] = b"\xff" * 20
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "spoil", "said"),
    [
        ("parquet", lambda path: path.write_bytes(b""), "empty"),
        ("parquet", _truncate, "magic bytes"),
        ("parquet", _break_footer, "."),
        ("parquet", lambda path: path.write_text("a,b\n1,2\n"), "."),
        ("csv", lambda path: path.write_bytes(b""), "empty"),
        ("csv", lambda path: make_rows().to_parquet(path), "is a Parquet file"),
        ("csv", lambda path: path.write_bytes(b"a,b\n\x00\x01"), "not text"),
        ("csv", lambda path: path.write_text(",".join(COLUMNS) + "\n1,2\n"), "Expected Number of Columns"),
        ("csv", lambda path: path.write_bytes(b"\xff\xfe\xfa,b\n1,2\n"), "."),
        ("csv", lambda path: path.write_text("x" * (2 << 20) + "\n1\n"), "longer than"),
    ],
)
def test_bytes_that_are_not_the_format_are_refused_after_the_evidence_is_stored(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, kind: Any, spoil: Any, said: str
) -> None:
    refresh = write_refresh(tmp_path, kind=kind)
    spoil(Path(refresh.snapshot))
    with pytest.raises(RefreshUnreadable, match=said) as caught:
        check_schema(settings, pipeline, refresh)
    stored = json.loads(Path(caught.value.report.report_path).read_text())
    assert (stored["verdict"], stored["findings"][0]["rule"]) == ("block", "readable")
    page = read_page(caught.value.report)
    assert "readable" in page
    assert stored["findings"][0]["detail"] in page


def test_what_blocks_has_a_page_that_opens_from_the_report_and_says_how_many_rows_and_which_values(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    frame = make_rows().rename(columns={"weight": "wieght"})
    frame["hour"] = frame["hour"].astype(object)
    frame.loc[[3, 4, 5], "hour"] = ["5.5", "late", "late"]
    report = check_schema(settings, pipeline, write_refresh(tmp_path, frame, "csv"))
    assert json.loads(Path(report.report_path).read_text())["docs_path"] == report.docs_path
    page, address = read_page(report), link_report(settings, report.docs_path)
    (back,) = re.findall(r'<a href="([^"]+)">Tollgate</a>', page)
    assert urljoin(address, back) == f"{settings.airflow_public_url}/tollgate/"
    for said in (
        "schema gate on 2013-01",
        "3 findings on 400 rows",
        *_name_findings(report),
        "3 (0.75 %)",
        "5.5, late",
    ):
        assert said in page
    assert all(finding.detail in page for finding in report.findings)


def test_hostile_column_names_are_shown_short_and_on_one_line(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    frame = make_rows(rows=3)
    frame["<script>\x00\n" + "x" * 100_000] = 1
    frame["a\" FROM batch; DROP VIEW batch; --'"] = 1
    report = check_schema(settings, pipeline, write_refresh(tmp_path, frame))
    assert len(report.findings) == 2
    assert all(len(f.rule) < 250 and f.rule.isprintable() and f.detail.isprintable() for f in report.findings)
    assert "<script" not in Path(report.docs_path).read_text()
    assert "<script" in read_page(report)
    # Zero bytes make a CSV file no text at all, so there the name goes without one.
    frame.columns = [name.replace("\x00", "") for name in frame.columns]
    assert check_schema(settings, pipeline, write_refresh(tmp_path, frame, "csv")).verdict == "block"


def test_a_thousand_undeclared_columns_make_a_report_of_readable_length(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    extra = pd.DataFrame({f"c{position}": [1] for position in range(1000)})
    frame = pd.concat([make_rows(rows=1), extra], axis=1)
    report = check_schema(settings, pipeline, write_refresh(tmp_path, frame))
    assert len(report.findings) == 51
    assert "950 more" in report.findings[-1].detail


@pytest.mark.parametrize("copy", ["hour", "HOUR"])
def test_a_column_that_is_there_twice_blocks(settings: Settings, pipeline: Pipeline, tmp_path: Path, copy: str) -> None:
    """SQL names ignore case, so ``HOUR`` beside ``hour`` could be read as the wrong one."""
    frame = make_rows(rows=3)
    path = tmp_path / "twice.csv"
    frame.assign(second=1).rename(columns={"second": copy}).to_csv(path, index=False)
    report = check_schema(settings, pipeline, refer_to(path, "csv"))
    assert report.verdict == "block"
