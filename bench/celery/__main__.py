"""Tasks per second on CeleryExecutor: docker-compose.yaml's services with one and with two workers of one queue.

The services are started as ``tests/services`` start them: the commands and the environment of the file, without Docker,
on this machine's PostgreSQL and Redis. The second worker is what ``docker compose up --scale worker=2`` would add. A
run's time is from the start of its DAG run to its end, the scheduler's part included.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from bench.celery import tasks
from bench.results import Measured, find_versions, read_load, write_results
from tests.services.containers import Container
from tests.services.servers import ServerMissing, take_stores
from tests.services.stack import Stack

FIGURE = "celery_tasks_per_second"
NOTHING, LIBRARIES = "bench.nothing", "bench.libraries"
_START_SECONDS = 240.0
_RUN_SECONDS = 900.0


@dataclass(frozen=True)
class Rate:
    """One run of a DAG: tasks per second, the share of all cores that was busy meanwhile, and the memory then (MB)."""

    tasks_per_second: float
    busy: float
    memory: float


def _measure(stack: Stack, dag_id: str, workers: list[Container]) -> Rate:
    before, began = psutil.cpu_times(), time.monotonic()
    run = stack.api.wait_run(dag_id, stack.api.trigger(dag_id), _RUN_SECONDS)
    spent, after = time.monotonic() - began, psutil.cpu_times()
    if run["state"] != "success":
        raise SystemExit(f"{dag_id} ended {run['state']}: {stack.read_logs()}")
    seconds = (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])).total_seconds()
    busy = (spent - (after.idle - before.idle) / psutil.cpu_count()) / spent
    return Rate(tasks.COUNT / seconds, busy, sum(worker.measure_memory() for worker in workers))


def _start_worker(stack: Stack, replica: str, **environment: str) -> Container:
    """Another replica of the default queue's worker, well by its own healthcheck."""
    service: Mapping[str, Any] = stack.composition.containers["worker"].service
    changed = {**service, "environment": {**service["environment"], **environment}}
    worker = Container("worker", changed, stack.places, replica)
    worker.start()
    deadline = time.monotonic() + _START_SECONDS
    while not worker.is_well():
        if time.monotonic() > deadline:
            worker.stop()
            raise SystemExit(f"a worker was not well within {_START_SECONDS:.0f} s: {worker.read_log()}")
    return worker


def _median(rates: list[Rate]) -> Rate:
    return Rate(
        statistics.median(rate.tasks_per_second for rate in rates),
        statistics.median(rate.busy for rate in rates),
        statistics.median(rate.memory for rate in rates),
    )


def measure(rounds: int) -> list[Measured]:
    """Every row: two workers beside one, and warm workers beside stock ones."""
    one: list[Rate] = []
    two: list[Rate] = []
    warm: list[Rate] = []
    stock: list[Rate] = []
    with take_stores() as stores, tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        stack = Stack(Path(folder), stores)
        shutil.copy(str(tasks.__file__), stack.places.image.workdir / "dags" / "bench_tasks.py")
        try:
            stack.start()
            stack.wait_for(lambda: {NOTHING, LIBRARIES} <= set(stack.api.list_dags()) or None, 120, "the bench's DAGs")
            first = stack.composition.containers["worker"]
            # One worker's training neighbour takes nothing from this queue, but cores.
            stack.composition.containers["worker-training"].stop()
            _measure(stack, NOTHING, [first])  # the first run pays for what is loaded once
            for _ in range(rounds):
                one.append(_measure(stack, NOTHING, [first]))
                warm.append(_measure(stack, LIBRARIES, [first]))
                second = _start_worker(stack, "-2")
                two.append(_measure(stack, NOTHING, [first, second]))
                second.stop()
            first.stop()
            plain = _start_worker(stack, "-3", TOLLGATE_EXECUTOR="stock")
            _measure(stack, NOTHING, [plain])
            stock = [_measure(stack, LIBRARIES, [plain]) for _ in range(rounds)]
            plain.stop()
        finally:
            stack.stop()
    single, double, heated, cold = _median(one), _median(two), _median(warm), _median(stock)
    cores = psutil.cpu_count()
    return [
        Measured(
            f"tasks that do nothing, two Celery workers of 4 processes each, {cores} cores for everything",
            double.tasks_per_second,
            "tasks/s",
            "one Celery worker of 4 processes",
            single.tasks_per_second,
            "ours ÷ peer",
            double.memory,
            single.memory,
            parts={"busy_share_of_cores": double.busy, "busy_share_of_cores_one_worker": single.busy},
        ),
        Measured(
            "tasks that import what Tollgate's steps import, one warm Celery worker",
            heated.tasks_per_second,
            "tasks/s",
            "the same worker as it comes (TOLLGATE_EXECUTOR=stock)",
            cold.tasks_per_second,
            "ours ÷ peer",
            heated.memory,
            cold.memory,
            parts={"busy_share_of_cores": heated.busy, "busy_share_of_cores_stock": cold.busy},
        ),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/celery_tasks_per_second.json``; without the servers say so and write none."""
    parser = argparse.ArgumentParser(prog="python -m bench.celery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 11))
    options = parser.parse_args(argv)
    load = read_load()
    try:
        rows = measure(options.rounds)
    except ServerMissing as error:
        print(f"{FIGURE} was not measured: {error}", flush=True)
        return
    versions = find_versions("apache-airflow", "apache-airflow-providers-celery", "celery", "redis")
    write_results(FIGURE, rows, load, versions)


if __name__ == "__main__":
    main()
