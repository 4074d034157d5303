"""Task arguments by kind of work: how often to retry, how long to wait, and what is never retried."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, cast

import airflow.sdk
from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.definitions.decorators import TaskDecoratorCollection

import tollgate_alerts
from include.declaration.limits import RETRIES, TASK_LIMIT, limit_fit, limit_rollout, limit_training
from include.declaration.models import Pipeline
from include.errors import TerminalError
from include.settings import load_settings

# What a task returns is one XCom. Of a function that returns a dictionary Airflow would store each key once more, by a
# request for each: a tenth of a second in most tasks, for values that nobody reads.
task = cast(TaskDecoratorCollection, partial(airflow.sdk.task, multiple_outputs=False))

# include/ says in the error itself whether a retry can help; this is where Airflow learns it.
_RETRY_POLICY = ExceptionRetryPolicy(
    rules=[RetryRule(exception=TerminalError, action=RetryAction.FAIL, reason="the same input fails again")]
)


def make_default_arguments(pipeline: Pipeline) -> dict[str, Any]:
    """Arguments of every task of a pipeline's DAGs."""
    return {
        "owner": pipeline.owner[0],
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=2),
        "retry_policy": _RETRY_POLICY,
        "execution_timeout": TASK_LIMIT,
        "on_failure_callback": tollgate_alerts.mail_task_failure,
    }


def make_training_arguments(pipeline: Pipeline) -> dict[str, Any]:
    """It may take as long as the declaration says, and no longer; with TOLLGATE_TRAINING_QUEUE it has workers of its
    own, which only an executor with queues looks at."""
    arguments: dict[str, Any] = {"execution_timeout": limit_training(pipeline)}
    queue = load_settings().training_queue
    return {**arguments, "queue": queue} if queue else arguments


def make_rung_arguments(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """A fit on a rung: where Airflow is to run it, how long it may take there, how many of them at once. What the rung
    leaves open is as for every training."""
    rung = pipeline.training.ladder.find(name)
    places = {"queue": rung.queue, "pool": rung.pool, "executor": rung.executor}
    told: dict[str, Any] = {place: value for place, value in places.items() if value is not None}
    if rung.kind == "dask" and rung.address is None:
        # An embedded cluster has all cores: two of them at once would take them from each other.
        told["max_active_tis_per_dagrun"] = 1
    return {**make_training_arguments(pipeline), "execution_timeout": limit_fit(pipeline, rung), **told}


def make_rollout_arguments(pipeline: Pipeline) -> dict[str, Any]:
    """A rollout, and what is around it."""
    return {"execution_timeout": limit_rollout(pipeline)}
