"""Declared SLAs of DAG runs as Airflow deadlines whose callback mails the owner."""

from __future__ import annotations

# The stub of airflow.sdk leaves out what its __init__ exports.
from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]

from include.declaration.models import Pipeline
from include.declaration.parts import parse_duration


def make_deadline(pipeline: Pipeline, stage: str) -> DeadlineAlert | None:
    """The deadline of one stage, counted from when the run was queued; None when the declaration has none.

    Queued-at is the only reference that every kind of run has: an asset-triggered run has no logical date, and a
    deadline on that would silently never fire.
    """
    sla = getattr(pipeline.sla, stage)
    if sla is None:
        return None
    return DeadlineAlert(
        name=f"{stage} within {sla}",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=parse_duration(sla),
        # Named, not passed: the triggerer imports it from the plugins folder.
        callback=AsyncCallback(
            "tollgate_alerts.mail_deadline",
            kwargs={"pipeline": pipeline.name, "owner": list(pipeline.owner), "stage": stage, "sla": sla},
        ),
    )
