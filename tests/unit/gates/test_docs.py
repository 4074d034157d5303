"""Validation results and pages: kept for the last runs, whole in parallel, and open to GX's own tools."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from include.declaration import Pipeline
from include.gates import docs
from include.gates.gate import run_frame_gate
from include.settings import PROJECT_ROOT, Settings
from tests.unit.factory import make_pipeline
from tests.unit.gates.suite_files import NOT_NULL, make_rule, write_suite


def _run_gates(settings: Settings, path: str, subject: str, times: int) -> list[tuple[str, str]]:
    made = [
        run_frame_gate(settings, make_pipeline(), "features", "parcels_features", {}, path, subject)
        for _ in range(times)
    ]
    return [(report.verdict, report.docs_path) for report in made]


@pytest.fixture
def frame_path(settings: Settings, tmp_path: Path) -> str:
    write_suite(settings, "parcels_features", make_rule(NOT_NULL, column="hour"))
    path = tmp_path / "frame.parquet"
    pd.DataFrame({"hour": [1.0, 2.0]}).to_parquet(path)
    return str(path)


def test_four_processes_gate_one_pipeline_at_once(settings: Settings, frame_path: str) -> None:
    """A shared file context fails in a third of such runs; here every result and page is whole."""
    method = get_context("forkserver")
    # Each process would else spend five seconds on importing GX.
    method.set_forkserver_preload(["include.gates.gate", "great_expectations"])
    with ProcessPoolExecutor(4, mp_context=method) as pool:
        runs = [pool.submit(_run_gates, settings, frame_path, f"2013-0{worker}", 3) for worker in range(1, 5)]
        made = [each for run in runs for each in run.result()]
    assert [verdict for verdict, _ in made] == ["pass"] * 12
    root = settings.reports_root / "parcels"
    results = list((root / "validations").rglob("*.json"))
    assert len(results) == 12
    assert all(json.loads(path.read_text())["success"] for path in results)
    index = (root / "data_docs" / "local_site" / "index.html").read_text()
    for _, page in made:
        assert "</html>" in Path(page).read_text()
        assert Path(page).name in index


def test_only_the_last_results_and_pages_are_kept(
    settings: Settings, frame_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "KEPT_RESULTS", 2)
    made = [_run_gates(settings, frame_path, f"2013-0{month}", 1)[0][1] for month in range(1, 5)]
    assert [Path(page).exists() for page in made] == [False, False, True, True]
    root = settings.reports_root / "parcels"
    assert len(list((root / "validations").rglob("*.json"))) == 2
    # The reports themselves are the evidence that records point to: they stay.
    assert len(list((root / "gates" / "features").glob("*.json"))) == 4


def test_the_rest_of_a_killed_gate_does_not_break_the_next(settings: Settings, frame_path: str) -> None:
    root = settings.reports_root / "parcels"
    _run_gates(settings, frame_path, "2013-01", 1)
    (result,) = (root / "validations").rglob("*.json")
    result.with_name(f".{result.name}.x.part").write_text('{"half": ')
    (root / "data_docs" / "local_site" / "index.html").write_text("<html>half")
    ((verdict, page),) = _run_gates(settings, frame_path, "2013-02", 1)
    assert verdict == "pass"
    assert Path(page).name in (root / "data_docs" / "local_site" / "index.html").read_text()


@pytest.mark.parametrize(("home", "name"), [("", ""), ("elsewhere", "bikes")])
def test_gx_itself_opens_the_project_with_the_same_suites_results_and_pages(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, home: str, name: str
) -> None:
    """``gx.get_context(context_root_dir="great_expectations")`` sees what the gate uses, and changes no file; without
    a word the example's results, and those of any pipeline in any home by two variables."""
    from include.gates.context import import_gx
    from include.gates.suites import load_suite
    from include.settings import load_settings

    shutil.copytree(
        PROJECT_ROOT / "great_expectations",
        tmp_path / "great_expectations",
        ignore=shutil.ignore_patterns("uncommitted", ".ge_store_backend_id"),
    )
    before = {path: path.read_bytes() for path in (tmp_path / "great_expectations").rglob("*") if path.is_file()}
    for variable, value in (("TOLLGATE_HOME", str(tmp_path / home) if home else ""), ("TOLLGATE_GX_PIPELINE", name)):
        monkeypatch.delenv(variable, raising=False)
        if value:
            monkeypatch.setenv(variable, value)
    settings = load_settings(
        {
            "TOLLGATE_HOME": str(tmp_path / (home or ".tollgate")),
            "TOLLGATE_GX_ROOT": str(tmp_path / "great_expectations"),
        }
    )
    path = tmp_path / "frame.parquet"
    pd.DataFrame({"prediction": [index / 500 for index in range(300)]}).to_parquet(path)
    flights = pipeline.model_copy(update={"name": name or "flight_delays"})
    report = run_frame_gate(settings, flights, "predictions", "flight_delays_predictions", {}, str(path), "2013-01")

    context = import_gx().get_context(context_root_dir=str(tmp_path / "great_expectations"))
    stored = {suite.name: suite for suite in context.suites.all()}
    assert set(stored) == {path.stem for path in (tmp_path / "great_expectations" / "expectations").glob("*.json")}
    for each in stored.values():
        assert [rule.severity.value for rule in each.expectations] == [
            rule.severity for rule in load_suite(settings, each.name).rules
        ]
    (key,) = context.validation_results_store.list_keys()
    assert context.validation_results_store.get(key).success
    (site,) = context.get_docs_sites_urls(resource_identifier=key)
    assert Path(site["site_url"].removeprefix("file://")).resolve() == Path(report.docs_path).resolve()
    assert {path: path.read_bytes() for path in before} == before


def test_pages_need_no_script_and_nothing_from_elsewhere(settings: Settings, frame_path: str) -> None:
    """They are read on machines without the internet, and served under a policy that lets no script run."""
    ((_, page),) = _run_gates(settings, frame_path, "2013-01", 1)
    site = settings.reports_root / "parcels" / "data_docs" / "local_site"
    pages = sorted(path for path in site.rglob("*") if path.is_file())
    assert pages == sorted([site / "index.html", site / "expectations" / "parcels_features.html", Path(page)])
    for path in pages:
        text = path.read_text()
        assert not re.search(r"<script|<link|<img|<iframe|\son\w+=|url\(|https?://", text), path
        for href in re.findall(r'href="([^"#]+)"', text):
            target = (path.parent / href).resolve()
            # Beyond the reports lies the Tollgate page, which serves them.
            assert target.exists() or target == settings.home, (path, href)


def test_a_result_leads_to_its_suite_also_after_another_suite_was_evaluated(
    settings: Settings, frame_path: str
) -> None:
    ((_, page),) = _run_gates(settings, frame_path, "2013-01", 1)
    write_suite(settings, "parcels_predictions", make_rule(NOT_NULL, column="hour", description="<b>& hour"))
    run_frame_gate(settings, make_pipeline(), "predictions", "parcels_predictions", {}, frame_path, "2013-01")
    assert "../../../../expectations/parcels_features.html" in Path(page).read_text()
    suites = settings.reports_root / "parcels" / "data_docs" / "local_site" / "expectations"
    assert {path.name for path in suites.iterdir()} == {"parcels_features.html", "parcels_predictions.html"}


def test_a_page_that_cannot_be_drawn_says_so_and_the_gate_goes_on(
    settings: Settings, frame_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a renderer's <fault>")

    monkeypatch.setattr("include.gates.pages._render_document", fail)
    ((verdict, page),) = _run_gates(settings, frame_path, "2013-01", 1)
    assert verdict == "pass"
    assert "could not draw this page" in Path(page).read_text()
    assert "<fault>" not in Path(page).read_text()
