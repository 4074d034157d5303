"""Where the seconds of one refresh through Airflow went, read from Airflow's own records of runs and tasks.

The critical path is the chain of tasks that the endpoint's answer waits for; what runs beside it (``open_run``, the
shorter fits, ``record_published``) costs no wall time of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# DAG by DAG. A mapped task's name stands for its slowest instance.
CHAIN = (
    ("data_refresh", ("find_arrivals", "take_in_arrival", "gate_refresh", "publish_partition")),
    (
        "train_model",
        ("choose_window", "prepare_training_set", "gate_features", "fit_candidate", "bless_best", "register_model"),
    ),
    ("deploy_model", ("choose_version", "try_in_sandbox", "measure_latency", "shift_traffic")),
)


@dataclass(frozen=True)
class Seconds:
    """Wall seconds of one refresh: ``parts`` sum up to ``wall``; ``tasks`` is the time in each task of the chain,
    ``waits`` the time before it, when all that it needs was there."""

    wall: float
    parts: Mapping[str, float]
    tasks: Mapping[str, float]
    waits: Mapping[str, float]


def _read_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def measure_chain(
    landed: float, served: float, runs: Mapping[str, tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]
) -> Seconds:
    """Split the time from ``landed`` to ``served``; ``runs`` holds each DAG's run and its task instances.

    notice: from the rename until the first DAG run exists. next_dag: from the end of a task that updates an asset until
    the next DAG's run exists. between_tasks: until a task's process begins, when all it waits for is there. in_tasks:
    the tasks themselves, as Airflow has them: the start of their process, imports, work and reporting back.
    """
    parts = dict.fromkeys(("notice", "next_dag", "between_tasks", "in_tasks"), 0.0)
    tasks: dict[str, float] = {}
    waits: dict[str, float] = {}
    now = landed
    for place, (dag, chain) in enumerate(CHAIN):
        run, instances = runs[dag]
        queued = _read_time(run["queued_at"])
        parts["next_dag" if place else "notice"] += max(0.0, queued - now)
        now = max(now, queued)
        for name in chain:
            same = [task for task in instances if task["task_id"].rpartition(".")[2] == name]
            last = max(same, key=lambda task: _read_time(task["end_date"] or task["start_date"]))
            # The last task has served the new version before it ends: it goes on to replay stored rows. Naming it
            # champion comes after that.
            end = served if name == CHAIN[-1][1][-1] else _read_time(last["end_date"])
            begin = max(now, min(_read_time(last["start_date"]), end))
            parts["between_tasks"] += begin - now
            parts["in_tasks"] += end - begin
            tasks[name] = end - begin
            waits[name] = begin - now
            now = end
    return Seconds(served - landed, parts, tasks, waits)


def measure_work(steps: Sequence[tuple[str, float, float]], served: float) -> dict[str, float]:
    """Seconds of each step of the chain in plain Python; of the last one what came before the new version answered."""
    chain = {name for _, names in CHAIN for name in names}
    return {
        name: served - began if name == CHAIN[-1][1][-1] else seconds for name, began, seconds in steps if name in chain
    }
