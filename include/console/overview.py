"""The state of every pipeline as plain values, for the page and for its JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from include.console.history import HistoryRow, read_history
from include.console.misses import list_newest_misses
from include.console.order import find_disagreement, list_mendings
from include.data.ledger import list_refused
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines
from include.deployment.door import read_status
from include.errors import TollgateError
from include.links import link_mlflow_run, link_mlflow_version, link_report, link_run
from include.mail.outbox import count_pending
from include.records import utc_now
from include.settings import Settings
from include.tracking.registry import get_challenger, get_champion


def _read_registry(settings: Settings, pipeline: str) -> dict[str, str]:
    """``champion`` and ``challenger`` with their pages, "" for none; ``problem`` when MLflow does not answer."""
    try:
        champion, challenger = get_champion(settings, pipeline), get_challenger(settings, pipeline)
    except TollgateError as error:
        return {"champion": "", "challenger": "", "problem": error.message}
    found = {"champion": champion.version if champion else "", "challenger": challenger.version if challenger else ""}
    pages = {f"{alias}_url": link_mlflow_version(settings, pipeline, version) for alias, version in found.items()}
    return {**found, **pages, "problem": ""}


def _link_named_run(settings: Settings, named: str) -> str:
    """Page of a run that a record names as "DAG/run"; empty for anything else that deploys or trains."""
    dag_id, _, run_id = named.partition("/")
    # A DAG is named pipeline.stage; who deploys by hand is named "by hand/…".
    return link_run(settings, dag_id, run_id) if run_id and "." in dag_id else ""


def _link_row(settings: Settings, row: HistoryRow) -> dict[str, str]:
    # Of a refusal the task with its log; of the others the whole run.
    refresh = row.run_url if row.outcome == "blocked" else row.run_url.partition("/tasks/")[0]
    links = {
        "refresh": refresh,
        "data docs": link_report(settings, row.docs_path),
        "report": link_report(settings, row.report_path),
        "training": _link_named_run(settings, row.training),
        "MLflow": link_mlflow_run(settings, row.model_run_id) if row.model_run_id else "",
        "deploy": _link_named_run(settings, row.deployment),
    }
    return {label: url for label, url in links.items() if url}


def _read_pipeline(settings: Settings, pipeline: Pipeline) -> dict[str, Any]:
    rows = read_history(settings, pipeline.name)
    status = read_status(settings, pipeline)
    served = next((row for row in reversed(rows) if row.version and row.version == status.served_version), None)
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "owner": list(pipeline.owner),
        "primary_metric": pipeline.blessing.primary_metric,
        "endpoint": {**msgspec.to_builtins(status), "by_url": _link_named_run(settings, status.by or "")},
        "registry": _read_registry(settings, pipeline.name),
        "mendings": list_mendings(settings, pipeline.name),
        "misses": list_newest_misses(settings, pipeline.name),
        "disagreement": find_disagreement(settings, pipeline.name),
        "served": msgspec.to_builtins(served) if served else None,
        "history": [{**msgspec.to_builtins(row), "links": _link_row(settings, row)} for row in rows],
        "turned_away": [
            {name: str(refused[name]) for name in ("name", "reason", "next_step", "recorded_at")}
            for refused in list_refused(settings, pipeline)
        ],
    }


def read_overview(settings: Settings) -> dict[str, Any]:
    """Pipelines with what they serve and what became of each refresh; broken declarations; mails that wait."""
    loaded = load_pipelines(settings)
    return {
        "at": utc_now(),
        "pipelines": [_read_pipeline(settings, pipeline) for pipeline in loaded.pipelines.values()],
        "broken": {name: str(error) for name, error in loaded.errors.items()},
        "pending_mails": count_pending(settings),
        "airflow_url": settings.airflow_public_url,
        "mlflow_url": settings.mlflow_public_url,
        "mails_url": settings.mails_public_url,
    }
