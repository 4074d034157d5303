"""Sending the mails that wait without Airflow, through the server that its connection names."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any

from config.airflow_env import build_smtp_connection
from config.environment import Site
from include.mail.outbox import deliver_pending


def send_waiting(site: Site) -> str:
    """Try to send every mail that is pending, and say what came of it."""
    send = open_sender(json.loads(build_smtp_connection(site.env, site.ports, site.settings.mail_from)))
    delivery = deliver_pending(site.settings, send, patience_seconds=2.0)
    if delivery.pending:
        return f"{delivery.pending} wait for the mail server ({delivery.error or 'another sender is busy'})"
    return f"{delivery.sent} sent"


def open_sender(connection: Mapping[str, Any]) -> Callable[[EmailMessage], None]:
    """A sender through the server of Airflow's ``connection`` (as JSON has it); it raises OSError for a refusal."""

    def send(message: EmailMessage) -> None:
        with _connect(connection) as server:
            if connection.get("login"):
                server.login(connection["login"], connection["password"])
            server.send_message(message)

    return send


def _connect(connection: Mapping[str, Any]) -> smtplib.SMTP:
    extra = connection["extra"]
    if not isinstance(extra, dict):
        raise TypeError("the SMTP connection has no extra")
    address, port = str(connection["host"]), int(str(connection["port"]))
    if not extra["disable_ssl"]:
        return smtplib.SMTP_SSL(address, port, timeout=extra["timeout"])
    server = smtplib.SMTP(address, port, timeout=extra["timeout"])
    if not extra["disable_tls"]:
        server.starttls()
    return server
