"""Addresses that a person opens: only what is there is linked."""

from __future__ import annotations

from include.console.overview import read_overview
from include.console.page import render_page
from include.links import link_report
from include.records import write_record
from include.settings import Settings
from tests.unit.steps.declared import write_pipeline


def test_only_a_report_that_is_there_has_an_address(settings: Settings) -> None:
    page = settings.reports_root / "parcels" / "a page.html"
    page.parent.mkdir(parents=True)
    page.write_text("found")
    assert link_report(settings, str(page)) == f"{settings.airflow_public_url}/tollgate/reports/parcels/a%20page.html"
    page.unlink()
    assert link_report(settings, str(page)) == "", "it was pruned"
    assert link_report(settings, str(settings.reports_root / "parcels")) == "", "a folder is no page"
    assert link_report(settings, str(settings.records_root)) == link_report(settings, "") == ""


def test_the_page_says_that_reports_were_pruned_instead_of_linking_them(settings: Settings) -> None:
    write_pipeline(settings, "parcels")
    docs, report = settings.reports_root / "parcels" / "docs.html", settings.reports_root / "parcels" / "report.json"
    docs.parent.mkdir(parents=True)
    for path in (docs, report):
        path.write_text("found")
    verdict = {"partition": "2013-01", "fingerprint": "ab", "status": "blocked", "reason": "it was empty"}
    paths = {"docs_path": str(docs), "report_path": str(report)}
    write_record(settings, "parcels", "refresh", "2013-01@ab", verdict | paths)
    overview = read_overview(settings)
    assert {"data docs", "report"} <= set(overview["pipelines"][0]["history"][0]["links"])
    assert "reports pruned" not in render_page(overview)
    for path in (docs, report):
        path.unlink()
    overview = read_overview(settings)
    assert not {"data docs", "report"} & set(overview["pipelines"][0]["history"][0]["links"])
    assert "reports pruned" in render_page(overview)
