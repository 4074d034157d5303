"""From a frozen ``Mail`` to a message with a text and an HTML part; every value is escaped in the HTML."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage

import jinja2

# Longest value shown in a mail: a hostile column name or a long message must not drown the rest.
_MAX_VALUE = 2_000
_WIDEST_LABEL = 24

_HTML = """\
<!doctype html>
<html><head><meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body style="font:15px/1.5 system-ui,sans-serif;color:#1c2430;margin:0;padding:24px;background:#f5f6f8">
<div style="max-width:680px;margin:auto;background:#fff;border-top:5px solid {{ colour }};padding:20px 26px">
<h2 style="margin:0 0 12px;font-size:19px">{{ mail.headline }}</h2>
{% for line in mail.lines %}<p style="margin:8px 0">{{ line }}</p>{% endfor %}
{% if mail.facts %}<table style="border-collapse:collapse;margin:14px 0;width:100%;table-layout:fixed">
{% for label, value in mail.facts %}<tr>
<td style="{{ cell }};padding-right:18px;width:34%;color:#66707c">{{ label }}</td>
<td style="{{ cell }}">{{ value }}</td></tr>{% endfor %}</table>{% endif %}
{% if mail.next_step %}<p style="margin:12px 0"><b>What to do next.</b> {{ mail.next_step }}</p>{% endif %}
{% for label, url in mail.links %}<p style="margin:4px 0"><a href="{{ url }}">{{ label }}</a></p>{% endfor %}
<p style="color:#8a929c;font-size:12px;margin-top:20px">Tollgate · pipeline {{ mail.pipeline }}</p>
</div></body></html>
"""
# A rule's name is one long word: it may break anywhere rather than push its value out of sight.
_CELL = "padding:5px 0;vertical-align:top;overflow-wrap:anywhere;word-break:break-word;border-bottom:1px solid #e3e7ec"
_COLOURS = {"bad": "#c0392b", "warn": "#d68910", "good": "#1e8449"}


@dataclass(frozen=True)
class Mail:
    """One mail. ``key`` makes it unique: the same key is never sent twice. ``tone`` is good, warn or bad."""

    pipeline: str
    key: str
    to: tuple[str, ...]
    tone: str
    subject: str
    headline: str
    lines: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    next_step: str = ""
    links: tuple[tuple[str, str], ...] = ()


def make_mail_id(mail: Mail) -> str:
    """The stable name of a mail: the same pipeline and key give the same one."""
    return hashlib.sha256(f"{mail.pipeline}\0{mail.key}".encode()).hexdigest()[:32]


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def _render_text(mail: Mail) -> str:
    parts = [mail.headline, "", *(_shorten(line) for line in mail.lines)]
    if mail.facts:
        width = max(len(label) for label, _ in mail.facts)
        # Beside a long name there is no room for what it says.
        between = "  " if width <= _WIDEST_LABEL else "\n    "
        parts += ["", *(f"{label:<{width}}{between}{_shorten(value)}" for label, value in mail.facts)]
    if mail.next_step:
        parts += ["", f"What to do next: {mail.next_step}"]
    if mail.links:
        parts += ["", *(f"{label}: {url}" for label, url in mail.links)]
    return "\n".join([*parts, "", f"-- \nTollgate, pipeline {mail.pipeline}", ""])


def compose_message(mail: Mail, sender: str) -> EmailMessage:
    """Return the message, with a Message-ID that depends only on the pipeline and the key."""
    message = EmailMessage()
    # A line break in a header would start another header.
    message["Subject"] = " ".join(_shorten(mail.subject).split())[:200]
    message["From"] = Address("Tollgate", addr_spec=sender)
    message["To"] = ", ".join(mail.to)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{make_mail_id(mail)}@tollgate>"
    message["X-Tollgate-Pipeline"] = mail.pipeline
    message.set_content(_render_text(mail))
    environment = jinja2.Environment(autoescape=True)
    shortened = tuple((label, _shorten(value)) for label, value in mail.facts)
    view = {
        "headline": _shorten(mail.headline),
        "lines": [_shorten(line) for line in mail.lines],
        "facts": shortened,
        "next_step": _shorten(mail.next_step),
        # A link is only ever one of ours; anything else than http(s) is shown without becoming clickable.
        "links": [(label, url) for label, url in mail.links if url.startswith(("http://", "https://"))],
        "pipeline": mail.pipeline,
    }
    html = environment.from_string(_HTML).render(mail=view, cell=_CELL, colour=_COLOURS.get(mail.tone, "#566573"))
    message.add_alternative(html, subtype="html")
    return message
