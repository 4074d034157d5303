"""The pages in a real browser: log in, look, follow every link, and hear no complaint from the console."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import log_in, open_browser, watch_console
from tests.scenarios.refreshes import make_month
from tests.scenarios.system import RunningSystem

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system of its own with the example pipeline: one month deployed, one refused for what its values hold."""
    running = RunningSystem(tmp_path_factory.mktemp("browsed") / "home")
    try:
        running.start()
        running.land("flight_delays", "2013-01", make_month(1))
        running.wait_for_record("flight_delays", "deployment", seconds=400)
        frame = make_month(2)
        frame.loc[frame.index[::4], "carrier"] = HOSTILE
        running.land("flight_delays", "2013-02", frame)
        running.wait_for_record("flight_delays", "refresh", lambda record: record["partition"] == "2013-02")
        running.wait_until_idle()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def page(flights: RunningSystem) -> Iterator[Page]:
    """A browser's page after the login, on the Tollgate page."""
    with open_browser() as browser:
        opened = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        # A machine that runs other tests meanwhile takes its time.
        opened.set_default_timeout(120_000)
        log_in(opened, f"{flights.settings.airflow_public_url}/tollgate/", flights.login[1])
        yield opened


def test_the_login_leads_back_to_the_page_that_was_asked_for(flights: RunningSystem, page: Page) -> None:
    errors = watch_console(page)
    page.goto(f"{flights.settings.airflow_public_url}/tollgate/")
    assert page.title() == "Tollgate"
    section = page.locator("section#flight_delays")
    assert section.locator("strong").inner_text() == f"version {flights.endpoint_version('flight_delays')}"
    assert section.locator(".badge.deployed").count() >= 1
    assert section.locator(".badge.blocked").count() >= 1
    assert errors == []


def test_a_refresh_cannot_put_an_element_into_the_page_nor_into_its_data_docs(
    flights: RunningSystem, page: Page
) -> None:
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.goto(f"{flights.settings.airflow_public_url}/tollgate/")
    page.locator("tr", has_text="blocked").first.get_by_role("link", name="data docs").click()
    page.get_by_text(HOSTILE).first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    page.check("#failed-only")
    assert page.locator("tr:visible .hide-succeeded-validation-target-child").count() == 0
    assert page.locator("tr:visible .text-danger").count() > 0
    page.get_by_role("link", name="Tollgate").click()
    page.get_by_text(HOSTILE).first.wait_for(state="attached")
    assert page.locator("img[src=x]").count() == 0
    assert alerts == []


def test_every_link_opens_a_page_that_complains_of_nothing(flights: RunningSystem, page: Page) -> None:
    page.goto(f"{flights.settings.airflow_public_url}/tollgate/")
    links = page.locator("a[href]").evaluate_all("all => [...new Set(all.map(a => a.href))]")
    kinds = {
        "/dags/flight_delays.data_refresh/runs/": "refresh_partition",
        "/dags/flight_delays.train_model/runs/": "bless_best",
        "/dags/flight_delays.deploy_model/runs/": "deploy_champion",
        "/data_docs/": "Sections by Great Expectations",
        "/gates/refresh/": "rules_declared",
        "/#/runs/": "Blessed:",
        "/#/models/": "Blessed:",
        f":{flights.site.ports.mail}/": "Everything that was mailed",
    }
    errors = watch_console(page)
    for kind, shown in kinds.items():
        found = [link for link in links if kind in link]
        assert found, (kind, links)
        for link in found:
            answer = page.goto(link)
            # A change of what follows the # alone is no request.
            assert answer is None or answer.status == 200, link
            page.get_by_text(shown).locator("visible=true").first.wait_for()
    # MLflow's own pages ask for /users/current, which a server without accounts does not have.
    assert [error for error in errors if not error.startswith(flights.settings.mlflow_public_url)] == []


def test_the_page_fits_a_telephone(flights: RunningSystem, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{flights.settings.airflow_public_url}/tollgate/")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_pictures_of_the_readme_can_be_taken_anew(flights: RunningSystem, tmp_path: Path) -> None:
    # A program of its own: two of Playwright's loops do not run in one.
    command = [sys.executable, "-m", "tests.browser.take_screenshots", "--to", str(tmp_path)]
    subprocess.run(command, env=flights.env, cwd=flights.settings.project_root, check=True, timeout=300)
    taken = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    referred = {path.name for path in (flights.settings.project_root / "docs" / "pictures").glob("*.png")}
    # The one needs what was printed, the other a missed SLA, which a machine that is quick enough does not have.
    assert set(taken) == referred - {"terminal.png", "sla-mail.png"}
    assert all(size <= 150_000 for size in taken.values()), taken
