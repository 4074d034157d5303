"""The outbox: a mail is first a file, then sent, so that a mail server that is down delays it and loses nothing.

``outbox/pending/<id>.eml`` becomes ``outbox/sent/<id>.eml`` after the server took it. A mail is sent at least once, and
twice only when the sender is killed between the two.
"""

from __future__ import annotations

import email
import email.policy
import fcntl
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from include.mail.compose import Mail, compose_message, make_mail_id
from include.records import write_file_atomically
from include.settings import Settings

Sender = Callable[[EmailMessage], None]
# What a server says about one mail; any other refusal is about the server itself, and the next mail would meet it too.
_REFUSALS = (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError)


@dataclass(frozen=True)
class Delivery:
    """What one attempt did: mails ``sent``, mails still ``pending``, and the server's last ``error`` if any."""

    sent: int
    pending: int
    error: str = ""


def count_pending(settings: Settings) -> int:
    """Number of mails that the mail server has not taken yet."""
    folder = settings.outbox_root / "pending"
    return sum(1 for _ in folder.glob("*.eml")) if folder.is_dir() else 0


def queue_mail(settings: Settings, mail: Mail) -> bool:
    """Put a mail into the outbox; False when the same mail (pipeline and key) is already there or was sent."""
    name = f"{make_mail_id(mail)}.eml"
    pending = settings.outbox_root / "pending" / name
    if pending.exists() or (settings.outbox_root / "sent" / name).exists():
        return False
    write_file_atomically(pending, compose_message(mail, settings.mail_from).as_bytes(policy=email.policy.SMTP))
    return True


@contextmanager
def _lock_outbox(settings: Settings, patience_seconds: float) -> Iterator[bool]:
    """Hold the outbox, so that two senders do not send the same mail; False when another sender keeps it."""
    path = settings.outbox_root / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_seconds
    with path.open("w") as handle:
        held = False
        while not held:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.05)
        yield held


def _list_pending(settings: Settings) -> list[Path]:
    folder = settings.outbox_root / "pending"
    return sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns) if folder.is_dir() else []


def deliver_pending(settings: Settings, send: Sender, *, patience_seconds: float = 10.0) -> Delivery:
    """Send what is pending, oldest first; stops when the server cannot be reached and leaves the rest pending.

    ``send`` raises OSError (smtplib's errors are that) when the server does not take the message. A mail that the
    server refuses for its own sake, such as an address that does not exist, keeps no other mail from going.
    """
    sent = 0
    error = ""
    with _lock_outbox(settings, patience_seconds) as held:
        for path in _list_pending(settings) if held else ():
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
            if not isinstance(message, EmailMessage):
                raise TypeError(f"{path.name} is not a mail message")
            try:
                send(message)
            except OSError as refusal:
                error = f"{type(refusal).__name__}: {refusal}"
                if isinstance(refusal, _REFUSALS):
                    continue
                break
            target = settings.outbox_root / "sent" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            sent += 1
    return Delivery(sent, count_pending(settings), error)
