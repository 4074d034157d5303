"""The mail catcher's pages: a list, one mail, every mail as JSON. Mails come from anywhere: nothing of them runs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from include.console.icon import ICON

_STYLE = """<style>
:root{color-scheme:light dark;--ink:#1b2330;--soft:#5d6876;--line:#e3e7ec;--card:#fff;--ground:#f3f5f8;--link:#0b5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa5b3;--line:#303845;--card:#1b212b;--ground:#12161d;
--link:#7db7f5}}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
header{background:var(--card);border-bottom:1px solid var(--line);padding:12px 24px}
main{max-width:60rem;margin:20px auto;padding:0 16px}h1{font-size:20px;margin:0 0 10px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 22px;margin-bottom:16px}
a{color:var(--link);text-decoration:none}a:hover,a:focus{text-decoration:underline}.soft,th{color:var(--soft)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:7px 14px 7px 0;vertical-align:top;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}th{font-weight:500;font-size:13px}.time{white-space:nowrap}
iframe{width:100%;height:44rem;border:0;border-radius:8px;background:#f5f6f8}
pre{white-space:pre-wrap;overflow-wrap:anywhere}summary{cursor:pointer;color:var(--link)}
</style>"""
# No script runs in what a mail holds; a link of it opens beside this page, as in any mail program.
_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"


class Mails(Protocol):
    """What the pages need of the store."""

    def list_numbers(self) -> list[int]:
        """Numbers of all mails, oldest first."""

    def read(self, number: int) -> EmailMessage | None:
        """One mail, or None when there is no such number."""


def _get_part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""


def describe_mail(number: int, message: EmailMessage) -> dict[str, Any]:
    """A mail as plain values: number, sender, recipients, subject, date, text and html."""
    return {
        "number": number,
        "from": str(message.get("From", "")),
        "to": [str(value) for value in message.get_all("X-Envelope-To", [])],
        "subject": str(message.get("Subject", "")),
        "date": str(message.get("Date", "")),
        "text": _get_part(message, "plain"),
        "html": _get_part(message, "html"),
    }


def _format_date(date: str) -> str:
    try:
        return parsedate_to_datetime(date).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return date


def _render_page(title: str, trail: str, body: str) -> HTMLResponse:
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; img-src data:"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="{ICON}">{_STYLE}'
        f"</head><body><header>{trail}</header><main>{body}</main></body></html>"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _render_list(mails: Sequence[dict[str, Any]]) -> HTMLResponse:
    rows = "".join(
        f'<tr><td class="time">{html.escape(_format_date(mail["date"]))}</td>'
        f'<td><a href="/mail/{mail["number"]}">{html.escape(mail["subject"]) or "(no subject)"}</a></td>'
        f"<td>{html.escape(', '.join(mail['to']))}</td></tr>"
        for mail in reversed(mails)
    )
    head = "<tr><th>when (UTC)</th><th>subject</th><th>to</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else '<p class="soft">No mail yet.</p>'
    note = '<p class="soft">Everything that was mailed, newest first. Nothing leaves this machine.</p>'
    return _render_page("Mails", "<b>Mails</b>", f"<section><h1>Mails</h1>{note}{table}</section>")


def _render_mail(mail: dict[str, Any]) -> HTMLResponse:
    facts = (("From", mail["from"]), ("To", ", ".join(mail["to"])), ("Date", mail["date"]))
    head = "".join(f'<br><span class="soft">{label}</span> {html.escape(value)}' for label, value in facts if value)
    text = f"<pre>{html.escape(mail['text'])}</pre>"
    shown = text
    if mail["html"]:
        frame = f'<iframe sandbox="{_SANDBOX}" src="/mail/{mail["number"]}/html" title="the mail"></iframe>'
        shown = f"{frame}<details><summary>As plain text</summary>{text}</details>"
    body = f"<section><h1>{html.escape(mail['subject'])}</h1><p>{head.removeprefix('<br>')}</p>{shown}</section>"
    trail = f'<a href="/">Mails</a> › {html.escape(mail["subject"])}'
    return _render_page(mail["subject"], trail, body)


def build_page(store: Mails) -> Starlette:
    """The read-only pages of a store: ``/``, ``/mail/<number>``, and ``/mails`` as JSON."""
    missing = PlainTextResponse("There is no such mail.", status_code=404)

    def find(request: Request) -> dict[str, Any] | None:
        number = int(request.path_params["number"])
        message = store.read(number)
        return describe_mail(number, message) if message is not None else None

    def list_mails() -> list[dict[str, Any]]:
        found = ((number, store.read(number)) for number in store.list_numbers())
        return [describe_mail(number, message) for number, message in found if message is not None]

    def show_mail(request: Request) -> Response:
        mail = find(request)
        return _render_mail(mail) if mail is not None else missing

    def show_html(request: Request) -> Response:
        mail = find(request)
        if mail is None:
            return missing
        policy = f"sandbox {_SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return HTMLResponse(
            f'<!doctype html><base target="_blank">{mail["html"]}', headers={"Content-Security-Policy": policy}
        )

    return Starlette(
        routes=[
            Route("/", lambda request: _render_list(list_mails())),
            Route("/health", lambda request: PlainTextResponse("well")),
            Route("/mails", lambda request: JSONResponse(list_mails())),
            Route("/mail/{number:int}", show_mail),
            Route("/mail/{number:int}/html", show_html),
        ]
    )
