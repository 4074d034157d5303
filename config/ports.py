"""The ports of the embedded system: read from the environment, checked before anything starts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from include.errors import PortTaken, SettingsError

LOOPBACK = "127.0.0.1"

# Who listens on every address is asked on this one.
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

# Setting -> (default, offset from TOLLGATE_PORT_BASE). The endpoints come last: each pipeline adds its own offset.
_SETTINGS = {
    "TOLLGATE_AIRFLOW_PORT": (8080, 0),
    "TOLLGATE_MLFLOW_PORT": (5000, 1),
    "TOLLGATE_SMTP_PORT": (1025, 2),
    "TOLLGATE_MAIL_PORT": (8025, 3),
    "TOLLGATE_HEALTH_PORT": (8974, 4),
    "TOLLGATE_LOG_PORT": (8793, 5),
    "TOLLGATE_WATCH_PORT": (8975, 6),
    "TOLLGATE_ENDPOINT_PORT": (8090, 10),
}


@dataclass(frozen=True)
class Ports:
    """Every port of one system. ``endpoint`` is the first of the endpoints; ``mail`` shows the caught mails."""

    airflow: int
    mlflow: int
    smtp: int
    mail: int
    health: int
    log: int
    watch: int
    endpoint: int

    def to_environment(self) -> dict[str, str]:
        """The same ports as TOLLGATE_*_PORT variables."""
        return {setting: str(getattr(self, _attribute(setting))) for setting in _SETTINGS}

    def to_dict(self) -> dict[str, int]:
        """Name to port, for the note of a running system."""
        return {_attribute(setting): getattr(self, _attribute(setting)) for setting in _SETTINGS}


def _attribute(setting: str) -> str:
    return setting.removeprefix("TOLLGATE_").removesuffix("_PORT").lower()


def name_setting(attribute: str) -> str:
    """The environment variable that sets ``Ports.<attribute>``."""
    return f"TOLLGATE_{attribute.upper()}_PORT"


def _parse_port(setting: str, text: str) -> int:
    if text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise SettingsError(
        f"{setting} is {text!r}, which is not a port.",
        next_step=f"Set {setting} to a number from 1 to 65535, or unset it.",
        setting=setting,
        value=text,
    )


def read_ports(env: Mapping[str, str]) -> Ports:
    """Ports from ``env``: each setting of its own, else TOLLGATE_PORT_BASE plus an offset, else the default.

    Raises SettingsError when a value is no port.
    """
    base_text = env.get("TOLLGATE_PORT_BASE", "").strip()
    base = _parse_port("TOLLGATE_PORT_BASE", base_text) if base_text else None
    values = {}
    for setting, (default, offset) in _SETTINGS.items():
        text = env.get(setting, "").strip() or str(default if base is None else base + offset)
        values[_attribute(setting)] = _parse_port(setting, text)
    return Ports(**values)


def write_origin(host: str, port: int) -> str:
    """The URL at which somebody on this machine asks a server that listens on ``host``:``port``."""
    asked = LOOPBACK if host in _EVERYWHERE else host
    return f"http://[{asked}]:{port}" if ":" in asked else f"http://{asked}:{port}"


def _name_holder(port: int) -> str:
    """Who listens on ``port``, as far as this user may see."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return "another process"
    return "another process"


def check_port(port: int, setting: str, program: str, host: str = LOOPBACK) -> None:
    """Raise PortTaken when ``port`` cannot be bound on the address ``host``."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # Servers set it too; without it a connection still in TIME_WAIT would count as a listener.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        problem = f"is in use by {_name_holder(port)}" if taken else f"cannot be bound on {host} ({error.strerror})"
    correct = "Stop that process" if taken else "Correct the address, if it is a setting of yours"
    raise PortTaken(
        f"Port {port}, which {program} needs, {problem}.",
        next_step=f"{correct}, or choose another port: {setting}=<port> make run.",
        port=port,
        setting=setting,
        program=program,
    )


def iterate_free_bases(span: int, low: int = 20000, high: int = 32000) -> Iterator[int]:
    """Port bases from which ``span`` consecutive ports can be bound now; for tests that run systems of their own."""
    for base in range(low, high, span):
        try:
            for port in range(base, base + span):
                check_port(port, "TOLLGATE_PORT_BASE", "a test")
        except PortTaken:
            continue
        yield base
