"""Which programs make up the system, how each is started, and how it shows that it is well."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.environment import Site
from config.ports import LOOPBACK, write_origin
from include.declaration.loader import load_pipelines


@dataclass(frozen=True)
class Program:
    """One supervised program. ``rank`` orders stopping: the highest goes first. ``grace`` is how many seconds it gets.

    ``health`` is the address that answers once it is well (any status below 500 when ``any_answer``), ``part`` its
    name on Airflow's health page; ``ports`` lists (port, setting) it binds, on the address ``host``.
    """

    name: str
    command: tuple[str, ...]
    rank: int
    grace: int = 15
    health: str = ""
    part: str = ""
    any_answer: bool = False
    ports: tuple[tuple[int, str], ...] = ()
    host: str = LOOPBACK


def _list_airflow(site: Site, script: Callable[[str], str]) -> list[Program]:
    ports = site.ports
    health = f"http://{LOOPBACK}:{ports.airflow}/api/v2/monitor/health"
    airflow = script("airflow")
    # The components' own log servers listen on every address; a stub on loopback stands in for them.
    return [
        Program(
            "api-server",
            (airflow, "api-server", "--host", LOOPBACK, "--port", str(ports.airflow), "--workers", "1"),
            rank=10,
            health=health,
            part="metadatabase",
            ports=((ports.airflow, "TOLLGATE_AIRFLOW_PORT"),),
        ),
        Program(
            "scheduler",
            (airflow, "scheduler", "--skip-serve-logs"),
            rank=30,
            grace=25,
            # Its own page: the API server's would call a dead one healthy for another 15 s.
            health=f"http://{LOOPBACK}:{ports.health}/health",
            ports=((ports.health, "TOLLGATE_HEALTH_PORT"),),
        ),
        Program("dag-processor", (airflow, "dag-processor"), rank=30, health=health, part="dag_processor"),
        Program("triggerer", (airflow, "triggerer", "--skip-serve-logs"), rank=30, health=health, part="triggerer"),
        Program(
            "log-stub",
            (sys.executable, "-m", "config.log_stub", "--port", str(ports.log)),
            rank=10,
            health=f"http://{LOOPBACK}:{ports.log}/",
            ports=((ports.log, "TOLLGATE_LOG_PORT"),),
        ),
    ]


def _describe_mlflow(site: Site) -> Program:
    folder = site.settings.home / "mlflow"
    store = site.env.get("TOLLGATE_MLFLOW_DB") or f"sqlite:///{folder / 'mlflow.db'}"
    artifacts = site.env.get("TOLLGATE_MLFLOW_ARTIFACTS") or str(folder / "artifacts")
    return Program(
        "mlflow",
        (
            *(sys.executable, "-m", "config.mlflow_server", "server", "--workers", "1"),
            *("--host", LOOPBACK, "--port", str(site.ports.mlflow)),
            *("--backend-store-uri", store, "--artifacts-destination", artifacts),
        ),
        rank=10,
        health=f"http://{LOOPBACK}:{site.ports.mlflow}/health",
        ports=((site.ports.mlflow, "TOLLGATE_MLFLOW_PORT"),),
    )


def _describe_mail_catcher(site: Site) -> Program:
    ports = site.ports
    return Program(
        "mail-catcher",
        (
            *(sys.executable, "-m", "config.mail_catcher", "--folder", str(site.mail_folder)),
            *("--smtp-port", str(ports.smtp), "--page-port", str(ports.mail)),
        ),
        rank=10,
        health=f"http://{LOOPBACK}:{ports.mail}/health",
        ports=((ports.smtp, "TOLLGATE_SMTP_PORT"), (ports.mail, "TOLLGATE_MAIL_PORT")),
    )


def _describe_watcher(site: Site) -> Program:
    port = site.ports.watch
    return Program(
        "sla-watcher",
        (sys.executable, "-m", "config.sla_watcher", "--port", str(port)),
        # What ends with the system is no miss: it stops with the scheduler.
        rank=30,
        health=f"http://{LOOPBACK}:{port}/health",
        ports=((port, "TOLLGATE_WATCH_PORT"),),
    )


def list_endpoints(site: Site) -> list[Program]:
    """The endpoint of every pipeline that is served on this machine."""
    programs, host = [], site.settings.endpoint_host
    for name, pipeline in load_pipelines(site.settings).pipelines.items():
        if pipeline.deployment.port_offset is None:
            continue  # served elsewhere
        port = site.ports.endpoint + pipeline.deployment.port_offset
        programs.append(
            Program(
                f"endpoint-{name}",
                (sys.executable, "-m", "include.serving", "--pipeline", name, "--port", str(port)),
                rank=10,
                # Beyond what it gives the requests under way, and its parent their workers (23 s).
                grace=28,
                # Before the first deployment there is no model: any answer shows that the program is there.
                health=f"{write_origin(host, port)}/version",
                any_answer=True,
                ports=((port, "TOLLGATE_ENDPOINT_PORT"),),
                host=host,
            )
        )
    return programs


def list_programs(site: Site) -> list[Program]:
    """Every program of the system, in the order they are started.

    MLflow is left out when MLFLOW_TRACKING_URI names a server elsewhere, the mail catcher when TOLLGATE_SMTP_HOST does.
    """
    scripts = Path(sys.executable).parent

    def script(name: str) -> str:
        return str(scripts / name)

    programs = _list_airflow(site, script)
    if site.settings.mlflow_uri == f"http://{LOOPBACK}:{site.ports.mlflow}":
        programs.append(_describe_mlflow(site))
    if not site.env.get("TOLLGATE_SMTP_HOST"):
        programs.append(_describe_mail_catcher(site))
    programs.append(_describe_watcher(site))
    return programs + list_endpoints(site)
