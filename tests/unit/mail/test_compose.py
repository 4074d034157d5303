"""What a mail shows of names and values that came from outside: text, never markup, headers or links."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest

from include.mail.compose import Mail, compose_message

HOSTILE = '<img src=x onerror="alert(1)">.parquet'


def read_back(mail: Mail) -> EmailMessage:
    """The mail as its reader's program parses it."""
    sent = compose_message(mail, "tollgate@example.test").as_bytes(policy=email.policy.SMTP)
    return email.message_from_bytes(sent, policy=email.policy.SMTP)  # type: ignore[return-value]


def make_mail(**changed: object) -> Mail:
    given: dict[str, object] = {
        "pipeline": "parcels",
        "key": "k",
        "to": ("owner@example.test",),
        "tone": "bad",
        "subject": "a subject",
        "headline": "a headline",
    }
    return Mail(**{**given, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["headline", "lines", "label", "value", "next_step", "link"])
def test_html_from_outside_is_shown_as_text(place: str) -> None:
    parts = {
        "headline": make_mail(headline=HOSTILE),
        "lines": make_mail(lines=(HOSTILE,)),
        "label": make_mail(facts=((HOSTILE, "value"),)),
        "value": make_mail(facts=(("label", HOSTILE),)),
        "next_step": make_mail(next_step=HOSTILE),
        "link": make_mail(links=((HOSTILE, "http://pages.test/" + HOSTILE),)),
    }
    html = read_back(parts[place]).get_body(("html",))
    assert html is not None
    shown = html.get_content()
    assert "<img" not in shown
    assert "&lt;img src=x onerror=" in shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//pages.test/", "JAVASCRIPT:alert(1)"])
def test_only_web_addresses_become_links(url: str) -> None:
    html = read_back(make_mail(links=(("a page", url),))).get_body(("html",))
    assert html is not None
    assert "href" not in html.get_content()


def test_a_line_break_in_a_subject_starts_no_header() -> None:
    read = read_back(make_mail(subject="refresh\r\nBcc: everyone@example.test\n\nbody"))
    assert read["Bcc"] is None
    assert read["Subject"] == "refresh Bcc: everyone@example.test body"
