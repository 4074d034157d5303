"""The environment of every program of the embedded system: its own addresses, paths and keys beside what is shared."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from config.credentials import Credentials
from config.environment import Site
from config.ports import LOOPBACK, Ports
from config.shared_env import SHARED
from include.errors import SettingsError

_SQLITE = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "config.sqlite.CONNECT_ARGS"}
_EXECUTORS = {
    "stock": "LocalExecutor",
    "warm": "config.warm_executor.WarmLocalExecutor",
}


def _choose_executor(env: Mapping[str, str]) -> str:
    choice = env.get("TOLLGATE_EXECUTOR") or "warm"
    if choice not in _EXECUTORS:
        raise SettingsError(
            f"TOLLGATE_EXECUTOR is {choice!r}, which is no executor of the embedded system.",
            next_step="Set it to warm or stock, or unset it.",
            setting="TOLLGATE_EXECUTOR",
            value=choice,
        )
    return _EXECUTORS[choice]


def build_smtp_connection(env: Mapping[str, str], ports: Ports, mail_from: str, catcher: str = LOOPBACK) -> str:
    """Airflow's connection ``smtp_default`` as JSON: the server of TOLLGATE_SMTP_*, or else the mail ``catcher``."""
    security = env.get("TOLLGATE_SMTP_SECURITY") or "none"
    if security not in ("none", "starttls", "ssl"):
        raise SettingsError(
            f"TOLLGATE_SMTP_SECURITY is {security!r}.",
            next_step="Set it to none, starttls or ssl.",
            setting="TOLLGATE_SMTP_SECURITY",
            value=security,
        )
    connection = {
        "conn_type": "smtp",
        "host": env.get("TOLLGATE_SMTP_HOST") or catcher,
        "port": ports.smtp,
        "extra": {
            "from_email": mail_from,
            "disable_ssl": security != "ssl",
            "disable_tls": security != "starttls",
            "timeout": 10,
            "retry_limit": 0,
        },
    }
    if env.get("TOLLGATE_SMTP_USER"):
        connection["login"] = env["TOLLGATE_SMTP_USER"]
        connection["password"] = env.get("TOLLGATE_SMTP_PASSWORD", "")
    return json.dumps(connection)


def _build_airflow(site: Site, credentials: Credentials) -> dict[str, str]:
    settings, ports = site.settings, site.ports
    home = settings.home / "airflow"
    database = site.env.get("TOLLGATE_AIRFLOW_DB") or f"sqlite:///{home / 'airflow.db'}"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.project_root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.project_root / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        **(_SQLITE if database.startswith("sqlite:") else {}),
        # --- who runs tasks: the default of 32 would fork 32 workers
        "AIRFLOW__CORE__EXECUTOR": _choose_executor(site.env),
        "AIRFLOW__CORE__PARALLELISM": site.env.get("TOLLGATE_PARALLELISM") or "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{LOOPBACK}:{ports.airflow}/execution/",
        # --- the password, and keys that every component shares
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(credentials.passwords_file),
        "AIRFLOW__CORE__FERNET_KEY": credentials.fernet_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": credentials.jwt_secret,
        "AIRFLOW__API__SECRET_KEY": credentials.secret_key,
        # --- everything on the loopback address only; tasks and logs name it instead of the machine
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(ports.airflow),
        "AIRFLOW__API__BASE_URL": settings.airflow_public_url,
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "config.loopback.get_hostname",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.log),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.log),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(site.logs_folder / "tasks"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(site.logs_folder / "dag_processor"),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(ports.health),
        # --- a task that no worker takes up is found in seconds; the default takes ten minutes
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        "AIRFLOW_CONN_SMTP_DEFAULT": build_smtp_connection(site.env, ports, settings.mail_from),
    }


def build_environment(site: Site, credentials: Credentials) -> dict[str, str]:
    """The complete environment of every program: what this process has, and ours on top of it.

    Raises SettingsError for a value that cannot be used.
    """
    scripts = Path(sys.executable).parent
    settings = site.settings
    inherited = {name: value for name, value in site.env.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    return {
        **inherited,
        **SHARED,
        **_build_airflow(site, credentials),
        # The mark by which `make stop` knows what belongs to this system.
        "TOLLGATE_SYSTEM": str(settings.home),
        "TOLLGATE_HOME": str(settings.home),
        "TOLLGATE_PIPELINES": str(settings.pipelines_path),
        "TOLLGATE_GX_ROOT": str(settings.gx_root),
        "PATH": f"{scripts}:{site.env.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(settings.project_root),
        # Each task reads its DAG file and the plugins anew; without bytecode they would be compiled each time, 50 ms.
        "PYTHONDONTWRITEBYTECODE": "",
        # A proxy for the outside world must not get calls between our own programs.
        "NO_PROXY": f"{LOOPBACK},localhost",
        "no_proxy": f"{LOOPBACK},localhost",
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
    }
