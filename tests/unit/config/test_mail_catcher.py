"""The mail catcher: takes real mails over SMTP, keeps each, shows them escaped."""

from __future__ import annotations

import re
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from config.ports import iterate_free_bases
from include.settings import PROJECT_ROOT

HOSTILE = "<script>alert(1)</script>"


class Catcher:
    def __init__(self, folder: Path, smtp_port: int, page_port: int) -> None:
        self.folder = folder
        self.smtp_port = smtp_port
        self.address = f"http://127.0.0.1:{page_port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "config.mail_catcher", "--folder", str(folder)),
                *("--smtp-port", str(smtp_port), "--page-port", str(page_port)),
            ],
            cwd=PROJECT_ROOT,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                assert self.get("/health").status_code == 200
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", trust_env=False)

    def send(self, subject: str, to: str = "owner@example.test") -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "tollgate@example.test", to, subject
        message.set_content(f"text of {subject}")
        message.add_alternative(f"<p>html of {HOSTILE}</p>", subtype="html")
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as server:
            server.send_message(message)


@pytest.fixture(scope="module")
def catcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    base = next(iterate_free_bases(2, low=32000, high=33000))
    found = Catcher(tmp_path_factory.mktemp("mails"), base, base + 1)
    yield found
    found.process.terminate()
    found.process.wait(10)


def test_mails_are_kept_in_order_and_told_as_json(catcher: Catcher) -> None:
    before = len(catcher.get("/mails").json())
    catcher.send("first")
    catcher.send("zwölf", to="second@example.test")
    mails = catcher.get("/mails").json()[before:]
    assert [mail["subject"] for mail in mails] == ["first", "zwölf"]
    assert [mail["to"] for mail in mails] == [["owner@example.test"], ["second@example.test"]]
    assert "text of first" in mails[0]["text"]
    assert "html of" in mails[0]["html"]
    assert len(list(catcher.folder.glob("*.eml"))) == before + 2


def test_a_hostile_mail_is_shown_escaped_and_its_html_only_in_a_sandbox(catcher: Catcher) -> None:
    catcher.send(f"about {HOSTILE}")
    number = catcher.get("/mails").json()[-1]["number"]
    for path in ("/", f"/mail/{number}"):
        page = catcher.get(path)
        assert HOSTILE not in page.text
        assert "&lt;script&gt;" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
    shown = catcher.get(f"/mail/{number}")
    (sandbox,) = re.findall(r'<iframe sandbox="([^"]*)"', shown.text)
    assert set(sandbox.split()) == {"allow-popups", "allow-popups-to-escape-sandbox"}, "no script, no form, same origin"
    inner = catcher.get(f"/mail/{number}/html")
    assert HOSTILE in inner.text
    assert inner.headers["content-security-policy"].startswith("sandbox")


def test_the_page_is_read_only_and_knows_what_it_has_not(catcher: Catcher) -> None:
    assert catcher.get("/mail/999999").status_code == 404
    assert catcher.get("/mail/../../etc/passwd").status_code == 404
    assert httpx.post(f"{catcher.address}/mails", trust_env=False).status_code == 405
    assert httpx.delete(f"{catcher.address}/mail/1", trust_env=False).status_code == 405
