"""The links of mails from Airflow to a task's pages, beside the shape of every mail."""

from __future__ import annotations

from typing import Any

from include.links import link_run, link_task
from include.mail.letters import write_mail
from include.settings import load_settings

__all__ = ["point_at_log", "point_at_run", "write_mail"]


def point_at_run(context: Any) -> tuple[str, str]:
    """The link to the run of a task's context."""
    return "DAG run", link_run(load_settings(), context["ti"].dag_id, context["ti"].run_id)


def point_at_log(context: Any) -> tuple[str, str]:
    """The link to the log of a task's context."""
    task = context["ti"]
    return "Log of the task", link_task(load_settings(), task.dag_id, task.run_id, task.task_id, task.map_index)
