"""How long a task may take before it is stopped, and how often it is tried: said here for Airflow and for mails."""

from __future__ import annotations

from datetime import timedelta

from include.declaration.ladder import Rung
from include.declaration.models import Pipeline

# Three retries outlive a server that is restarted by its supervisor (seconds) and a task that was killed with its
# scheduler; a fault that lasts longer is a person's to see.
RETRIES = 3
# No task but a fit and a wait for a person takes minutes; one that does hangs.
TASK_LIMIT = timedelta(minutes=15)
# Tasks that may take as long as the declaration says a training may.
_TRAINING = ("prepare_training_set", "fit_candidate")
_ROLLOUT = ("shift_traffic", "await_rollout")


def limit_training(pipeline: Pipeline) -> timedelta:
    """A fit may take as long as its declaration says, and no longer."""
    return timedelta(minutes=pipeline.training.max_minutes)


def limit_fit(pipeline: Pipeline, rung: Rung) -> timedelta:
    """A fit on a rung may take as long as that says, or else as every training."""
    return limit_training(pipeline) if rung.max_minutes is None else timedelta(minutes=rung.max_minutes)


def limit_rollout(pipeline: Pipeline) -> timedelta:
    """A rollout takes itself back when its time is over; around it the candidate is started, and swapped in."""
    deployment = pipeline.deployment
    seconds = deployment.rollout.maximum_execution_timeout_in_seconds
    around = timedelta(seconds=deployment.sandbox_seconds + 4 * deployment.swap_seconds)
    return timedelta(minutes=5, seconds=seconds) + around


def limit_task(pipeline: Pipeline, task: str) -> timedelta:
    """When a try of ``task`` is stopped."""
    if task in _TRAINING:
        return limit_training(pipeline)
    return limit_rollout(pipeline) if task in _ROLLOUT else TASK_LIMIT
