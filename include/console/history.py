"""What happened to each refresh and why: the ledger's entries joined, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.console.outcome import describe_training, find_training, read_ledger
from include.records import list_records
from include.settings import Settings


@dataclass(frozen=True)
class HistoryRow:
    """One content of one partition: its refresh, the training that used it, and what came of it.

    ``outcome`` is one of blocked, published, training, stopped, refused, blessed, too slow, rolled back, not deployed,
    deployed, put back; ``why`` a sentence for a person and ``reasons`` what the blessing found. ``training`` and
    ``deployment`` are runs as "DAG/run", ``run_url`` is the page of the task that gave the refresh its verdict,
    ``model_run_id`` the candidate's run in MLflow.
    """

    partition: str
    fingerprint: str
    at: str
    rows: int | None
    quarantined: int | None
    outcome: str
    why: str
    candidate: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    version: str = ""
    report_path: str = ""
    docs_path: str = ""
    run_url: str = ""
    reasons: tuple[str, ...] = ()
    training: str = ""
    deployment: str = ""
    model_run_id: str = ""


def read_history(settings: Settings, pipeline: str) -> list[HistoryRow]:
    """One row for each content that got a verdict, in the order of the verdicts."""
    ledger = read_ledger(settings, pipeline)
    rows = []
    for _, verdict in list_records(settings, pipeline, "refresh"):
        facts: dict[str, Any] = {"outcome": str(verdict["status"]), "why": str(verdict.get("reason", ""))}
        if verdict["status"] == "published":
            training = find_training(ledger, str(verdict["partition"]), str(verdict.get("version")))
            facts = facts if training is None else describe_training(ledger, training, str(verdict["partition"]))
        rows.append(
            HistoryRow(
                partition=str(verdict["partition"]),
                fingerprint=str(verdict["fingerprint"]),
                at=str(verdict["recorded_at"]),
                rows=verdict.get("rows"),
                quarantined=verdict.get("quarantined"),
                report_path=str(verdict.get("report_path", "")),
                docs_path=str(verdict.get("docs_path", "")),
                run_url=str(verdict.get("run_url", "")),
                **facts,
            )
        )
    return rows
