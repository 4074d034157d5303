"""Why a run stopped, for the task that closes it: of an exception Airflow keeps the log and the mail, and no value.

A task leaves its reason as an XCom, which Airflow removes when the task is tried again.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from include.errors import TollgateError

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("tollgate.reasons")
_KEY = "stopped_because"


def leave_reason(reason: str) -> None:
    """Leave a sentence for whoever closes the run. That Airflow does not take it never hides what it is about."""
    try:
        get_current_context()["ti"].xcom_push(_KEY, reason)
    except (AirflowRuntimeError, OSError, EOFError) as error:
        _log.warning("The reason was not kept: %s", error)


def leave_reasons(work: Callable[P, R]) -> Callable[P, R]:
    """Let a task's function leave the words of what it raises."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except AirflowException:
            raise  # such as a skip: no failure
        except Exception as error:
            leave_reason(error.message if isinstance(error, TollgateError) else f"{type(error).__name__}: {error}")
            raise

    return run


def read_states(context: Any) -> dict[str, str]:
    """The states of the run's tasks; a mapped one has its number behind an underscore."""
    run = context["dag_run"]
    states: dict[str, str] = context["ti"].get_task_states(run.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    return states


def read_reason(context: Any, but: Collection[str] = ()) -> str:
    """What the first task that stopped the run left; else which tasks failed; "" when nothing stopped it.

    ``but`` names tasks whose failure is another task's to judge.
    """
    states, silent = read_states(context), []
    for task_id in context["dag"].task_ids:
        if task_id in but:
            continue
        instances = {task_id, *(name for name in states if name.rpartition("_")[0] == task_id and name[-1].isdigit())}
        ended = {states.get(name) for name in instances}
        if not ended & {"failed", "skipped"}:
            continue
        left = context["ti"].xcom_pull(task_ids=task_id, key=_KEY)
        reasons = [str(reason) for reason in (left if isinstance(left, list) else [left]) if reason]
        if reasons:
            return reasons[0]
        silent += [task_id] if "failed" in ended else []
    return f"{', '.join(silent)} failed without a word: killed, or out of time." if silent else ""
