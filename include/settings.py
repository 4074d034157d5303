"""Environment to one frozen ``Settings``; nothing is read or created at import."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from include.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Settings:
    """Where Tollgate keeps its state and finds its neighbours. All paths are absolute; all URLs lack a final slash.

    ``home`` holds every piece of state; ``mlflow_public_url``, ``airflow_public_url`` and ``mails_public_url`` are what
    a person's browser opens, while ``mlflow_uri`` is what the code calls. ``mails_public_url`` is empty when mails go
    to a server of somebody else's. ``training_queue`` is the executor's queue for fits, None for its default one.
    """

    home: Path
    project_root: Path
    pipelines_path: Path
    gx_root: Path
    mlflow_uri: str
    mlflow_public_url: str
    airflow_public_url: str
    mails_public_url: str
    endpoint_host: str
    endpoint_port: int
    endpoint_workers: int
    endpoint_body_mb: int
    endpoint_seconds: int
    endpoint_queue: int
    endpoint_connections: int
    endpoint_token: str | None = field(repr=False)
    c_compiler: str | None
    mail_from: str
    cores: int
    training_queue: str | None

    @property
    def landing_root(self) -> Path:
        """Folder below which refreshes arrive, one folder per pipeline."""
        return self.home / "landing"

    @property
    def data_root(self) -> Path:
        """Folder of snapshots and published partition versions."""
        return self.home / "data"

    @property
    def records_root(self) -> Path:
        """Folder of the ledger: what was seen, trained, blessed and deployed."""
        return self.home / "records"

    @property
    def work_root(self) -> Path:
        """Folder of rebuildable files (training sets); safe to delete when nothing runs."""
        return self.home / "work"

    @property
    def reports_root(self) -> Path:
        """Folder of gate reports, validation results and data docs."""
        return self.home / "reports"

    @property
    def serving_root(self) -> Path:
        """Folder of the models on this serving machine and of the pointers that endpoints follow."""
        return self.home / "serving"

    @property
    def captured_root(self) -> Path:
        """Folder of the requests and answers that endpoints captured."""
        return self.home / "captured"

    @property
    def native_root(self) -> Path:
        """Folder of what was compiled on this machine; safe to delete, it is made again."""
        return self.home / "native"

    @property
    def outbox_root(self) -> Path:
        """Folder of mails: ``pending`` until the mail server took them, then ``sent``."""
        return self.home / "outbox"


def read_number(
    env: Mapping[str, str], name: str, default: Number, low: Number, high: Number, kind: Callable[[str], Number]
) -> Number:
    """The number in ``name``, ``default`` where it is unset; ``kind`` is int or float. Raises SettingsError when it is
    no such number from ``low`` to ``high``."""
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SettingsError(
            f"{name} is {text!r}, which is not a {'whole ' if kind is int else ''}number from {low} to {high}.",
            next_step=f"Set {name} to such a number, or unset it to use {default}.",
            setting=name,
            value=text,
        )
    return value


def _read_int(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    return read_number(env, name, default, low, high, int)


def _find_mail_page(env: Mapping[str, str]) -> str:
    if env.get("TOLLGATE_SMTP_HOST"):
        return ""
    port = _read_int(env, "TOLLGATE_MAIL_PORT", 8025, 1, 65535)
    return (env.get("TOLLGATE_MAILS_PUBLIC_URL") or f"http://127.0.0.1:{port}").rstrip("/")


def _read_token(env: Mapping[str, str], name: str) -> str | None:
    token = env.get(name, "").strip()
    if not token:
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise SettingsError(
            f"{name} holds a character that cannot be sent in a header.",
            next_step="Use letters, digits and punctuation, without spaces: openssl rand -hex 32 makes a good one.",
            setting=name,
            value="(not shown)",
        )
    return token


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from ``env`` (default: the process environment).

    Raises SettingsError when a port or count is not a number in range, or a token cannot be sent.
    """
    env = os.environ if env is None else env
    home = Path(env.get("TOLLGATE_HOME") or PROJECT_ROOT / ".tollgate").expanduser().resolve()
    airflow_port = _read_int(env, "TOLLGATE_AIRFLOW_PORT", 8080, 1, 65535)
    mlflow_port = _read_int(env, "TOLLGATE_MLFLOW_PORT", 5000, 1, 65535)
    mlflow_uri = (env.get("MLFLOW_TRACKING_URI") or f"http://127.0.0.1:{mlflow_port}").rstrip("/")
    return Settings(
        home=home,
        project_root=PROJECT_ROOT,
        pipelines_path=Path(env.get("TOLLGATE_PIPELINES") or PROJECT_ROOT / "include" / "pipelines").resolve(),
        gx_root=Path(env.get("TOLLGATE_GX_ROOT") or PROJECT_ROOT / "great_expectations").resolve(),
        mlflow_uri=mlflow_uri,
        mlflow_public_url=(env.get("TOLLGATE_MLFLOW_PUBLIC_URL") or mlflow_uri).rstrip("/"),
        airflow_public_url=(env.get("TOLLGATE_AIRFLOW_PUBLIC_URL") or f"http://127.0.0.1:{airflow_port}").rstrip("/"),
        mails_public_url=_find_mail_page(env),
        endpoint_host=env.get("TOLLGATE_ENDPOINT_HOST") or "127.0.0.1",
        endpoint_port=_read_int(env, "TOLLGATE_ENDPOINT_PORT", 8090, 1, 65535),
        endpoint_workers=_read_int(env, "TOLLGATE_ENDPOINT_WORKERS", 1, 1, 64),
        endpoint_body_mb=_read_int(env, "TOLLGATE_ENDPOINT_BODY_MB", 6, 1, 1024),
        endpoint_seconds=_read_int(env, "TOLLGATE_ENDPOINT_SECONDS", 30, 1, 3600),
        endpoint_queue=_read_int(env, "TOLLGATE_ENDPOINT_QUEUE", 64, 0, 100_000),
        endpoint_connections=_read_int(env, "TOLLGATE_ENDPOINT_CONNECTIONS", 1024, 1, 1_000_000),
        endpoint_token=_read_token(env, "TOLLGATE_ENDPOINT_TOKEN"),
        c_compiler=env.get("TOLLGATE_C_COMPILER") or None,
        mail_from=env.get("TOLLGATE_MAIL_FROM") or "tollgate@localhost",
        cores=_read_int(env, "TOLLGATE_CORES", os.cpu_count() or 1, 1, 4096),
        training_queue=env.get("TOLLGATE_TRAINING_QUEUE") or None,
    )
