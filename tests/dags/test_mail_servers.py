"""Other people's mail servers: encrypted, with a password, and with a certificate that must be trusted."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.airflow_env import build_smtp_connection
from config.ports import read_ports
from include.mail.compose import Mail
from include.mail.outbox import count_pending
from include.settings import load_settings

# aiosmtpd knows only its own STARTTLS as encryption, and warns of a server that is encrypted from the beginning.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

USER, PASSWORD = "tollgate", "only for this test"
MAIL = Mail("parcels", "key", ("owner@example.com",), "good", "It is live", "Version 1 is live")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for the loopback address, signed by nobody but itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's mail server")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@dataclass
class Taken:
    """What the server took: each mail's recipients and whether it came encrypted."""

    mails: list[tuple[list[str], bool]] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        encrypted = server.transport.get_extra_info("cipher") is not None
        self.mails.append((envelope.rcpt_tos, encrypted))
        return "250 taken"


def _check_password(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@contextmanager
def serve(certificate: Path, security: str) -> Iterator[tuple[Taken, int]]:
    """A mail server that takes nothing without the password, nor unencrypted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    taken = Taken()
    encryption = (
        {"tls_context": context, "require_starttls": True}
        if security == "starttls"
        else {"ssl_context": context, "auth_require_tls": False}
    )
    server = Controller(taken, "127.0.0.1", port, auth_required=True, authenticator=_check_password, **encryption)
    server.start()
    try:
        yield taken, port
    finally:
        server.stop()


def post(monkeypatch: pytest.MonkeyPatch, port: int, security: str, password: str, home: Path) -> str:
    """Queue the mail and say what came of sending it, with the connection that these settings make for Airflow."""
    import tollgate_alerts
    from include.mail.outbox import queue_mail

    given = {
        "TOLLGATE_SMTP_HOST": "127.0.0.1",
        "TOLLGATE_SMTP_PORT": str(port),
        "TOLLGATE_SMTP_SECURITY": security,
        "TOLLGATE_SMTP_USER": USER,
        "TOLLGATE_SMTP_PASSWORD": password,
    }
    monkeypatch.setenv("TOLLGATE_HOME", str(home))
    connection = build_smtp_connection(given, read_ports(given), "tollgate@example.com")
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection)
    queue_mail(load_settings(), MAIL)
    return tollgate_alerts.send_pending()


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_mail_goes_encrypted_to_who_has_the_password_and_waits_otherwise(
    dag_bag: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serve(certificate, security) as (taken, port):
        assert "SMTPAuthenticationError" in post(monkeypatch, port, security, "a wrong one", tmp_path)
        assert (taken.mails, count_pending(load_settings())) == ([], 1)
        assert post(monkeypatch, port, security, PASSWORD, tmp_path) == (
            "1 mails were sent, 0 wait for the mail server."
        )
    assert taken.mails == [(["owner@example.com"], True)]


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_server_whose_certificate_nobody_vouches_for_gets_no_mail_and_no_password(
    dag_bag: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, security: str
) -> None:
    with serve(certificate, security) as (taken, port):
        assert "CERTIFICATE_VERIFY_FAILED" in post(monkeypatch, port, security, PASSWORD, tmp_path)
    assert (taken.mails, count_pending(load_settings())) == ([], 1)
