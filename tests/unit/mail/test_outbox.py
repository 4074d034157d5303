"""The outbox loses no mail, sends none twice, and lets none stand in the way of another."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

import pytest

from include.mail.compose import Mail
from include.mail.outbox import Delivery, count_pending, deliver_pending, queue_mail
from include.settings import Settings


class Server:
    """A mail server that is ``down``, or refuses the ``refused`` recipient for ever."""

    def __init__(self, refused: str = "", down: bool = False) -> None:
        self.refused, self.down = refused, down
        self.tried: list[str] = []
        self.taken: list[str] = []

    def send(self, message: EmailMessage) -> None:
        self.tried.append(str(message["To"]))
        if self.down:
            raise ConnectionRefusedError(111, "Connection refused")
        if message["To"] == self.refused:
            raise smtplib.SMTPRecipientsRefused({self.refused: (550, b"no such person")})
        self.taken.append(str(message["To"]))


def queue(settings: Settings, key: str, to: str = "") -> bool:
    mail = Mail("parcels", key, (to or f"{key}@example.com",), "bad", f"About {key}", f"{key} happened")
    return queue_mail(settings, mail)


def test_a_mail_is_kept_once_and_sent_once(settings: Settings) -> None:
    assert queue(settings, "one") and not queue(settings, "one")
    server = Server()
    assert deliver_pending(settings, server.send) == Delivery(1, 0)
    assert not queue(settings, "one"), "it was sent"
    assert deliver_pending(settings, server.send) == Delivery(0, 0)
    assert server.taken == ["one@example.com"]


def test_a_server_that_is_down_is_asked_once_and_delays_everything(settings: Settings) -> None:
    for key in ("one", "two"):
        queue(settings, key)
    server = Server(down=True)
    delivery = deliver_pending(settings, server.send)
    assert (delivery.sent, delivery.pending, server.tried) == (0, 2, ["one@example.com"])
    assert delivery.error.startswith("ConnectionRefusedError")
    server.down = False
    assert deliver_pending(settings, server.send) == Delivery(2, 0)
    assert server.taken == ["one@example.com", "two@example.com"]


@pytest.mark.parametrize("place", [0, 1])
def test_an_address_that_the_server_refuses_keeps_no_other_mail_from_going(settings: Settings, place: int) -> None:
    keys = ["good", "better"]
    keys.insert(place, "nobody")
    for key in keys:
        queue(settings, key)
    server = Server(refused="nobody@example.com")
    delivery = deliver_pending(settings, server.send)
    assert (delivery.sent, delivery.pending) == (2, 1)
    assert "no such person" in delivery.error
    assert count_pending(settings) == 1, "it is still shown and counted"
