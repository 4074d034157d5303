"""Where the evidence of a gate is linked: on its task's page, and in the event that announces what it let through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import Arrival, GateReport, PartitionRef, Refresh, pack
from include.records import write_record
from include.settings import Settings, load_settings

PIPELINE = "flight_delays"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TOLLGATE_AIRFLOW_PUBLIC_URL", "http://airflow.test")
    return load_settings()


@pytest.fixture
def make_page(settings: Settings) -> Callable[[str], str]:
    def make(name: str) -> str:
        page = settings.reports_root / PIPELINE / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<html>")
        return str(page)

    return make


def ask_link(stage: str, task: str, map_index: int = -1) -> str:
    from tollgate_evidence import DataDocsLink

    key = SimpleNamespace(dag_id=f"{PIPELINE}.{stage}", task_id=task, run_id="run-1", map_index=map_index)
    return DataDocsLink().get_link(None, ti_key=key)


def test_the_button_of_a_gate_opens_what_it_found(
    dag_bag: Any, settings: Settings, make_page: Callable[[str], str]
) -> None:
    assert ask_link("train_model", "gate_features") == ""
    features = {"run_id": "run-1", "docs_path": make_page("features.html")}
    write_record(settings, PIPELINE, "features", "2013-05-20130601T000000000000Z", features)
    refresh = {"run_id": "run-1", "run_url": "http://x/mapped/0", "docs_path": make_page("refresh.html")}
    write_record(settings, PIPELINE, "refresh", "2013-05@abc", refresh)
    base = f"http://airflow.test/tollgate/reports/{PIPELINE}"
    assert ask_link("train_model", "gate_features") == f"{base}/features.html"
    assert ask_link("data_refresh", "refresh_partition.gate_refresh", 0) == f"{base}/refresh.html"
    assert ask_link("train_model", "fit_candidate", 0) == ""
    assert ask_link("deploy_model", "deploy_champion") == ""


def test_the_event_of_a_published_partition_carries_its_data_docs(
    dag_bag: Any, settings: Settings, make_page: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = make_page("docs.html")
    arrival = Arrival(PIPELINE, "2013-05", "/landing/2013-05.parquet", 1, 1, 1)
    refresh = Refresh(PIPELINE, "2013-05", "f" * 64, "/snapshot", "parquet", 1, arrival.path)
    report = GateReport(PIPELINE, "refresh", "2013-05", "pass", 9, 1, 1, "v", "duckdb", 0.1, (), "", docs)
    published = PartitionRef(PIPELINE, "2013-05", "v1", "f" * 64, "/rows", 9, 0, "pass", "v", "", docs, "now")
    event = SimpleNamespace(added=[], extra={})
    event.add_partitions = event.added.append
    task = dag_bag.dags[f"{PIPELINE}.data_refresh"].task_dict["refresh_partition.publish_partition"]
    (validated,) = task.outlets
    instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", try_number=1, map_index=0)
    context = {"ti": instance, "outlet_events": {validated: event}}
    monkeypatch.setitem(task.python_callable.__globals__, "get_current_context", lambda: context)
    monkeypatch.setattr("include.steps.refresh.publish_refresh", lambda *_: published)
    task.python_callable(pack(refresh), pack(arrival), pack(report))
    assert event.added == ["2013-05"]
    assert event.extra["data_docs"] == f"http://airflow.test/tollgate/reports/{PIPELINE}/docs.html"
    assert event.extra["partition"] == pack(published)
