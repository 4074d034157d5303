"""The Tollgate page as anybody on the network may ask for it: who gets in, what it says, and what it never does."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.scenarios.refreshes import make_month
from tests.scenarios.system import RunningSystem

# A pipeline of which no other scenario expects a certain history.
PIPELINE = "constant"
PARTITION = "2013-07"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def visited(system: RunningSystem) -> RunningSystem:
    """The system after a refresh with HTML in its values, and a file with HTML in its name."""
    frame = make_month(7)
    frame.loc[frame.index[::4], "carrier"] = HOSTILE
    system.land(PIPELINE, PARTITION, frame)
    system.land(PIPELINE, HOSTILE, b"no partition of anything")
    system.wait_for_record(PIPELINE, "refresh", lambda record: record["partition"] == PARTITION, seconds=240)
    system.wait_for_record(PIPELINE, "sighting", lambda record: HOSTILE in record.get("name", ""))
    return system


@pytest.fixture
def stranger(visited: RunningSystem) -> Iterator[httpx.Client]:
    """Somebody who is not logged in."""
    with httpx.Client(base_url=visited.settings.airflow_public_url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def visitor(visited: RunningSystem) -> Iterator[httpx.Client]:
    """Somebody with a token of Airflow's own."""
    base = visited.settings.airflow_public_url
    user, password = visited.login
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
        token = client.post("/auth/token", json={"username": user, "password": password}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def find_blocked(told: dict[str, Any]) -> dict[str, Any]:
    """The line of the refresh with HTML in its values."""
    rows = [row for pipeline in told["pipelines"] if pipeline["name"] == PIPELINE for row in pipeline["history"]]
    return next(row for row in rows if row["partition"] == PARTITION)


@pytest.mark.parametrize("path", ["/tollgate/", "/tollgate/status.json", "/tollgate/reports/constant/", "/tollgate/x"])
def test_nobody_gets_in_without_a_login(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 401
    assert stranger.get(path, headers={"Authorization": "Bearer x.y.z"}).status_code == 401
    assert stranger.get(path, headers={"Cookie": "_token=x.y.z"}).status_code == 401
    browser = stranger.get(path, headers={"Accept": "text/html,*/*"})
    assert browser.status_code == 303
    login = httpx.URL(browser.headers["location"])
    assert login.path == "/auth/login"
    assert login.host in ("", "127.0.0.1")
    assert dict(login.params) == {"next": path}, "a link from a mail leads on after the login"


def test_the_page_says_what_is_served_and_what_became_of_each_refresh(
    visited: RunningSystem, visitor: httpx.Client
) -> None:
    told = visitor.get("/tollgate/status.json").json()
    page = visitor.get("/tollgate/")
    assert page.status_code == 200
    for pipeline in told["pipelines"]:
        live = visited.endpoint_version(pipeline["name"])
        assert pipeline["endpoint"]["served_version"] == live
        champion = visited.registry_champion(pipeline["name"])
        assert pipeline["registry"]["champion"] == (champion.version if champion else "")
        section = page.text.partition(f'<section id="{pipeline["name"]}">')[2].partition("</section>")[0]
        assert (f"<strong>version {live}</strong>" if live else "<strong>nothing</strong>") in section
        assert section.count('data-label="outcome"') == len(pipeline["history"])
    blocked = find_blocked(told)
    assert blocked["outcome"] == "blocked"
    assert blocked["why"][:200] in html.unescape(page.text)


def test_every_link_of_the_page_leads_to_a_page(visitor: httpx.Client) -> None:
    for pipeline in visitor.get("/tollgate/status.json").json()["pipelines"]:
        for row in pipeline["history"]:
            for label, url in row["links"].items():
                assert visitor.get(url).status_code == 200, (label, url)


def test_html_in_values_and_names_is_shown_and_never_obeyed(visitor: httpx.Client) -> None:
    page = visitor.get("/tollgate/")
    row = find_blocked(visitor.get("/tollgate/status.json").json())
    docs = visitor.get(row["links"]["data docs"])
    for answer in (page, docs):
        assert html.escape(HOSTILE) in answer.text, answer.url
        assert "<img src=x" not in answer.text, answer.url
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
    assert f"{html.escape(HOSTILE)}.parquet" in page.text, "the file that was turned away is named"


@pytest.mark.parametrize(
    "path",
    [
        "../secrets/airflow_passwords.json",
        "..%2Fsecrets%2Fairflow_passwords.json",
        "constant/..%2F..%2F..%2Fsecrets/airflow_passwords.json",
        "%2E%2E/%2E%2E/%2E%2E/%2E%2E/%2E%2E/%2E%2E/etc/passwd",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "..%5C..%5Csecrets",
        "constant%00.html",
        "x" * 5000,
        "constant",
        "",
    ],
)
def test_no_path_leads_out_of_the_reports(visited: RunningSystem, visitor: httpx.Client, path: str) -> None:
    assert (visited.home / "secrets" / "airflow_passwords.json").is_file()
    # As it is: a client that tidies the path would take the trick out of it.
    url = httpx.URL(visitor.base_url).copy_with(raw_path=f"/tollgate/reports/{path}".encode())
    answer = visitor.send(visitor.build_request("GET", url))
    assert answer.status_code in (400, 404), answer.text
    assert visited.login[1] not in answer.text
    assert "root:" not in answer.text


def test_a_link_below_the_reports_that_leads_out_is_not_followed(visited: RunningSystem, visitor: httpx.Client) -> None:
    trap = visited.settings.reports_root / PIPELINE / "trap.json"
    trap.symlink_to(visited.home / "secrets" / "airflow_passwords.json")
    assert visitor.get(f"/tollgate/reports/{PIPELINE}/trap.json").status_code == 404


def stopped_at_its_gate(system: RunningSystem) -> Callable[[dict[str, Any]], bool]:
    """Whether a run's gate failed."""

    def stopped(run: dict[str, Any]) -> bool:
        states = system.task_states(run).items()
        return any(task.partition("[")[0].endswith("gate_refresh") and state == "failed" for task, state in states)

    return stopped


def test_a_task_leads_to_its_data_docs(visited: RunningSystem, visitor: httpx.Client) -> None:
    # The file with the hostile name may have had a run of its own, whose gate was never reached.
    run = visited.wait_for_run(f"{PIPELINE}.data_refresh", stopped_at_its_gate(visited))
    tasks = f"/api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
    shown = {}
    for task in visitor.get(tasks).json()["task_instances"]:
        links = visitor.get(f"{tasks}/{task['task_id']}/links", params={"map_index": task["map_index"]}).json()[
            "extra_links"
        ]
        shown[task["task_id"], task["rendered_map_index"]] = links["Data docs"]
    assert shown["find_arrivals", None] is None
    docs = shown["refresh_partition.gate_refresh", PARTITION]
    assert visitor.get(docs).status_code == 200
