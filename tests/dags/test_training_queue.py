"""TOLLGATE_TRAINING_QUEUE: the tasks that prepare and fit a model have workers of their own, and no others have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.dags.conftest import make_airflow_environment

_LIST_QUEUES = """
import json
from airflow.dag_processing.dagbag import DagBag
dags = DagBag().dags.values()
print("RESULT" + json.dumps({f"{dag.dag_id}/{task.task_id}": task.queue for dag in dags for task in dag.tasks}))
"""


def list_queues(home: Path, **extra: str) -> dict[str, str]:
    """Every task of every DAG, and its queue."""
    environment = {**os.environ, **make_airflow_environment(home), **extra}
    command = [sys.executable, "-c", _LIST_QUEUES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    found: dict[str, str] = json.loads(line.removeprefix("RESULT"))
    return found


def test_the_tasks_that_prepare_and_fit_a_model_go_to_the_queue_that_is_set(tmp_path: Path) -> None:
    queues = list_queues(tmp_path, TOLLGATE_TRAINING_QUEUE="big")
    training = {task for task, queue in queues.items() if queue == "big"}
    assert training == {f"flight_delays.train_model/{task}" for task in ("prepare_training_set", "fit_candidate")}
    assert set(queues.values()) == {"big", "default"}


def test_unset_every_task_goes_to_airflows_own_queue(tmp_path: Path) -> None:
    assert set(list_queues(tmp_path, TOLLGATE_TRAINING_QUEUE="").values()) == {"default"}
