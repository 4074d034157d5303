"""The README's pictures, taken from a running system: ``make screenshots`` (after ``make run``).

``--terminal FILE`` adds what ``make run`` printed. A picture is a palette PNG: small enough to live in the repository.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from config.credentials import load_credentials
from config.environment import Site, load_site
from include.links import link_mlflow_version
from include.settings import PROJECT_ROOT
from tests.browser.chromium import log_in, open_browser

_MAX_BYTES = 150_000
_WIDTH, _HEIGHT = 1280, 760


def _save(folder: Path, name: str, content: bytes) -> None:
    """Write a picture with at most 256 colours; fewer when it would be too large for the repository."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    for colours in (256, 128, 64, 32):
        packed = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= _MAX_BYTES:
            break
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(packed.getvalue())
    print(f"{name}.png {packed.tell() / 1000:.0f} KB, {picture.width} × {picture.height}")


class Camera:
    """Takes pictures of the pages that one browser's page opens, into one folder."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder

    def keep(self, name: str, full_page: bool = False) -> None:
        """Keep what is to be seen now."""
        _save(self.folder, name, self.page.screenshot(full_page=full_page))

    def take(self, name: str, address: str, *, until: str, height: int = _HEIGHT) -> None:
        """Open ``address``, wait for the text ``until``, and keep what is then to be seen."""
        self.page.set_viewport_size({"width": _WIDTH, "height": height})
        self.page.goto(address)
        self.page.get_by_text(until).locator("visible=true").first.wait_for()
        # Graphs are laid out, and panels slide in, after their data came; a page that polls is never idle.
        self.page.wait_for_timeout(4000)
        self.keep(name)


def _find_refused(overview: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first pipeline that has a blocked refresh, and that refresh."""
    for pipeline in overview["pipelines"]:
        for row in pipeline["history"]:
            if row["outcome"] == "blocked" and row["links"].get("data docs"):
                return pipeline, row
    raise SystemExit("No refresh was blocked here yet: play the story first (make run MONTHS=3).")


def take_airflow(camera: Camera, site: Site, password: str) -> dict[str, Any]:
    """The Tollgate page, the DAGs, a refused refresh and its data docs; returns the page's JSON."""
    address, page = site.settings.airflow_public_url, camera.page
    log_in(page, f"{address}/tollgate/", password)
    page.goto(f"{address}/tollgate/status.json")
    overview: dict[str, Any] = json.loads(page.inner_text("pre"))
    pipeline, refused = _find_refused(overview)
    camera.take("tollgate", f"{address}/tollgate/", until="Refreshes, newest first", height=960)
    camera.take("airflow-dags", f"{address}/dags", until=f"{pipeline['name']}.train_model", height=700)
    camera.take("airflow-refused", refused["links"]["refresh"].partition("/tasks/")[0], until="gate_refresh")
    page.goto(refused["links"]["data docs"])
    page.check("#failed-only")
    camera.keep("data-docs")
    return overview


def take_mlflow(camera: Camera, site: Site, overview: dict[str, Any]) -> None:
    """The list of trainings, and the champion with its blessing."""
    address, page = site.settings.mlflow_public_url, camera.page
    pipeline = next(entry for entry in overview["pipelines"] if entry["served"])
    page.goto(f"{address}/#/experiments?searchFilter={pipeline['name']}")
    experiment = page.get_by_role("link", name=pipeline["name"]).first.get_attribute("href")
    # By itself it opens an experiment as one of language models, with none of its runs in sight.
    page.goto(f"{address}/{experiment}?workflowType=machine_learning")
    page.wait_for_url("**/runs*")
    # MLflow's assistant takes a third of the window until it is closed.
    close = page.get_by_role("button", name="Close")
    if close.count():
        close.last.click()
    camera.take("mlflow-runs", page.url, until=pipeline["served"]["partition"])
    version = link_mlflow_version(site.settings, pipeline["name"], pipeline["registry"]["champion"])
    camera.take("mlflow-version", version, until="compared with", height=900)


def take_mail(camera: Camera, site: Site) -> None:
    """The mail about a refused refresh."""
    page = camera.page
    page.goto(site.settings.mails_public_url)
    page.get_by_role("link", name="blocked").last.click()
    page.frame_locator("iframe").get_by_text("What to do next").wait_for()
    page.set_viewport_size({"width": 1100, "height": _HEIGHT})
    camera.keep("mail")


def take_sla_mail(camera: Camera, site: Site) -> None:
    """The newest mail about a missed SLA; its picture is left as it is where none was missed."""
    page = camera.page
    page.goto(site.settings.mails_public_url)
    told = page.get_by_role("link", name="missed its SLA")
    if not told.count():
        print("sla-mail.png is left as it is: no SLA was missed here.")
        return
    told.first.click()
    page.frame_locator("iframe").get_by_text("Forecast end").wait_for()
    page.set_viewport_size({"width": 1100, "height": 900})
    camera.keep("sla-mail")


def take_terminal(camera: Camera, printed: Path) -> None:
    """What a terminal showed, without the password."""
    text = re.sub(r"password \S+", "password ••••••••", printed.read_text())
    camera.page.set_viewport_size({"width": 1120, "height": 400})
    style = "margin:0;padding:18px 22px;background:#14181f;color:#d7dde6;font:13px/1.45 'DejaVu Sans Mono',monospace"
    camera.page.set_content(f'<body style="margin:0"><pre style="{style}">{html.escape(text)}</pre>')
    camera.keep("terminal", full_page=True)


def main() -> None:
    """Read the command line and take every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=PROJECT_ROOT / "docs" / "pictures", help="folder of the pictures")
    parser.add_argument("--terminal", type=Path, help="what `make run` printed")
    options = parser.parse_args()
    site = load_site()
    with open_browser() as browser:
        page = browser.new_page()
        # A machine that trains meanwhile takes its time.
        page.set_default_timeout(120_000)
        camera = Camera(page, options.to)
        if options.terminal:
            take_terminal(camera, options.terminal)
        overview = take_airflow(camera, site, load_credentials(site.settings.home).password)
        take_mlflow(camera, site, overview)
        take_mail(camera, site)
        take_sla_mail(camera, site)


if __name__ == "__main__":
    main()
