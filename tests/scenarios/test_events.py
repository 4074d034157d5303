"""A refresh by Airflow's REST API: an asset event that names the partition, as the README shows it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx

from tests.scenarios.refreshes import make_month
from tests.scenarios.system import Record, RunningSystem

PIPELINE = "posted"
PARTITION = "2013-01"


def post_event(system: RunningSystem, **body: Any) -> None:
    """The three requests of the README, without our own client."""
    address, (user, password) = system.settings.airflow_public_url, system.login
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        token = client.post("/auth/token", json={"username": user, "password": password}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assets = client.get("/api/v2/assets", params={"name_pattern": f"{PIPELINE}/landing"}).json()["assets"]
        (asset,) = [asset["id"] for asset in assets if asset["name"] == f"{PIPELINE}/landing"]
        answer = client.post("/api/v2/assets/events", json={"asset_id": asset, **body})
        assert answer.status_code == 200, answer.text


def wait_for_verdict(system: RunningSystem, file: Path) -> Record:
    fingerprint = hashlib.sha256(file.read_bytes()).hexdigest()
    return system.wait_for_record(PIPELINE, "refresh", lambda record: record["fingerprint"] == fingerprint, seconds=240)


def test_an_event_that_names_a_partition_refreshes_it(system: RunningSystem) -> None:
    """Columns that are not declared stop both refreshes: what an event starts is the same gate as always."""
    file = system.land(PIPELINE, PARTITION, make_month(1).rename(columns={"carrier": "airline"}))
    assert "airline" in wait_for_verdict(system, file)["reason"]
    (watched,) = system.runs(f"{PIPELINE}.data_refresh")

    system.land(PIPELINE, PARTITION, make_month(1).rename(columns={"distance": "miles"}), mode="in_place")
    post_event(system, extra={"partition": PARTITION})
    verdict = wait_for_verdict(system, file)
    assert (verdict["partition"], verdict["status"]) == (PARTITION, "blocked")
    assert "miles" in verdict["reason"]
    assert verdict["run_id"].startswith("asset_triggered__")
    assert verdict["run_id"] != watched["dag_run_id"]


def test_an_event_that_names_none_is_refused_and_says_what_to_post(system: RunningSystem) -> None:
    known = {run["dag_run_id"] for run in system.runs(f"{PIPELINE}.data_refresh")}
    post_event(system, extra={})
    run = system.wait_for_run(f"{PIPELINE}.data_refresh", lambda run: run["dag_run_id"] not in known)
    assert run["state"] == "failed"
    assert system.task_states(run)["find_arrivals"] == "failed"
    assert '"extra": {"partition": "<name>"}' in system.wait_for_mail(f"{PIPELINE}: find_arrivals failed")["text"]
