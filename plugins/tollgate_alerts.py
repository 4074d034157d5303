"""Mails from Airflow: worded by the modules of messages, kept in the outbox, sent through its SMTP connection."""

from __future__ import annotations

import logging
import smtplib
from email.message import EmailMessage
from typing import Any

from include.mail.compose import Mail
from include.settings import load_settings

_log = logging.getLogger("tollgate.mail")
SMTP_CONNECTION = "smtp_default"


def _send_message(message: EmailMessage) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook
    from airflow.sdk.exceptions import AirflowException

    try:
        with SmtpHook(SMTP_CONNECTION) as hook:
            client = hook._smtp_client
            if not isinstance(client, smtplib.SMTP):
                raise ConnectionError("the SMTP connection gave no client")
            client.send_message(message)
    except AirflowException as error:
        # The hook's own word for "no server": to the outbox it is the same as a refused connection.
        raise ConnectionError(str(error)) from error


def post_mail(mail: Mail) -> None:
    """Keep a mail and try to send it, with whatever else is pending. A server that is down never fails the work."""
    from include.mail.outbox import queue_mail

    queue_mail(load_settings(), mail)
    send_pending()


def post_any(mail: Mail | None) -> None:
    """Post a mail if there is one."""
    if mail is not None:
        post_mail(mail)


def send_pending() -> str:
    """Try to send every mail that is pending, and say what came of it."""
    from include.mail.outbox import deliver_pending

    delivery = deliver_pending(load_settings(), _send_message)
    told = f"{delivery.sent} mails were sent, {delivery.pending} wait for the mail server"
    if not delivery.pending:
        return f"{told}."
    told += f": {delivery.error or 'another sender is busy'}."
    _log.warning(told)
    return told


def mail_task_failure(context: Any) -> None:
    """Callback of every task, and of every DAG for its last failed task: says what failed, why, and what to do next."""
    from tollgate_gate_messages import describe_failure

    post_mail(describe_failure(context))
