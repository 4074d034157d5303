"""Addresses of the pages that a person opens from a mail, an asset event, an MLflow run or the Tollgate page."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from include.settings import Settings


def link_run(settings: Settings, dag_id: str, run_id: str) -> str:
    """Page of a DAG run in Airflow's UI."""
    return f"{settings.airflow_public_url}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def link_task(settings: Settings, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Page of a task instance, with its log, in Airflow's UI."""
    page = f"{link_run(settings, dag_id, run_id)}/tasks/{quote(task_id)}"
    return page if map_index < 0 else f"{page}/mapped/{map_index}"


def link_report(settings: Settings, path: str) -> str:
    """Address under which the Tollgate page serves a file of the reports folder; empty when it is none, or pruned."""
    if not path or not Path(path).is_relative_to(settings.reports_root) or not Path(path).is_file():
        return ""
    return f"{settings.airflow_public_url}/tollgate/reports/{quote(str(Path(path).relative_to(settings.reports_root)))}"


def link_mlflow_run(settings: Settings, run_id: str) -> str:
    """Page of a run in MLflow's UI, which finds the run's experiment itself."""
    return f"{settings.mlflow_public_url}/#/runs/{quote(run_id)}"


def link_mlflow_version(settings: Settings, model: str, version: str) -> str:
    """Page of a registered version in MLflow's UI."""
    return f"{settings.mlflow_public_url}/#/models/{quote(model)}/versions/{quote(version)}"
