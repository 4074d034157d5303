"""Finds the machine's own Chromium and drives it; Playwright would download a browser of its own, this one does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# It runs as root in containers, without a graphics card, and asks nobody on the internet for anything.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """Path of the browser: TOLLGATE_BROWSER, or the first known name on the PATH. Raises AssertionError."""
    named = os.environ.get("TOLLGATE_BROWSER")
    found = named or next((path for path in map(shutil.which, _NAMES) if path), None)
    assert found, (
        "No Chromium was found. Install one (on Debian and Ubuntu: apt-get install chromium) or name it: "
        "TOLLGATE_BROWSER=/path/to/chrome make test-slow"
    )
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser with a new, empty profile; closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def log_in(page: Page, address: str, password: str, user: str = "admin") -> None:
    """Fill in Airflow's login page, wherever ``address`` leads to it, and wait until it leads on."""
    page.goto(address)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/auth/login" not in url)


def watch_console(page: Page) -> list[str]:
    """Every error that the page's console gets from now on, with where it came from."""
    errors: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error":
            errors.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
    return errors
