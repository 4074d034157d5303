"""Who a running task is, with the page on which a person sees it, and who triggered it."""

from __future__ import annotations

from typing import Any

from include.contracts import RunIdentity
from include.links import link_task
from include.settings import load_settings


def identify_run(context: Any) -> RunIdentity:
    """Who this task is, for MLflow's tags and the ledger."""
    instance = context["ti"]
    url = link_task(load_settings(), instance.dag_id, instance.run_id, instance.task_id, instance.map_index)
    return RunIdentity(instance.dag_id, instance.run_id, instance.task_id, instance.try_number, instance.map_index, url)


def name_person(context: Any) -> str:
    """Who triggered the run, as Airflow knows it."""
    return str(getattr(context["dag_run"], "triggering_user_name", None) or "somebody (Airflow does not say who)")
