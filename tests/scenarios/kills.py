"""SIGKILL at random moments: programs, and the processes in which Airflow's tasks run."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.scenarios.system import RunningSystem

ANY_TASK = "any task"
# Airflow names the process of a task after the id of its task instance.
_TITLE = re.compile(r"airflow worker -- (?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
# A refresh on its way to the endpoint takes at least ten seconds; the moment of a kill is drawn from the first eight.
_LATEST = 8.0
# A fit lasts a second at least; its own moment is drawn from the time it runs.
_LATEST_IN_TASK = 0.6


@dataclass(frozen=True)
class Kill:
    """What was killed and when (monotonic seconds); ``task`` is the task instance, for a task."""

    what: str
    at: float
    task: dict[str, Any] | None = None


class Killer:
    """Kills programs of a system and tasks of one of its pipelines.

    The same seed draws the same victims and moments; what they meet is the machine's.
    """

    def __init__(self, system: RunningSystem, pipeline: str, seed: int) -> None:
        self.kills: list[Kill] = []
        self._system = system
        self._pipeline = pipeline
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._killed: set[int] = set()
        self._one_at_a_time = threading.Lock()

    def spread(self, victims: Sequence[str], rounds: int) -> list[list[str]]:
        """``victims`` spread over ``rounds`` by chance."""
        drawn: list[list[str]] = [[] for _ in range(rounds)]
        for victim in victims:
            self._random.choice(drawn).append(victim)
        return drawn

    def draw(self, first: int, last: int) -> int:
        """A number from ``first`` to ``last``."""
        return self._random.randint(first, last)

    def strike(self, programs: Sequence[str], tasks: Sequence[str] = ()) -> None:
        """Kill each of ``programs``, and one running instance of each of ``tasks``, at a moment of its own.

        Returns when all are dead and the programs were started again.
        """
        moments = [self._random.uniform(0, _LATEST) for _ in programs]
        task_moments = [self._random.uniform(0, _LATEST if task == ANY_TASK else _LATEST_IN_TASK) for task in tasks]
        with ThreadPoolExecutor(len(programs) + len(tasks) + 1) as pool:  # a pool of nobody is refused
            struck = [
                *(pool.submit(self._kill_program, *pair) for pair in zip(programs, moments, strict=True)),
                *(pool.submit(self._kill_task, *pair) for pair in zip(tasks, task_moments, strict=True)),
            ]
        for each in struck:
            each.result()

    def _kill_program(self, program: str, moment: float) -> None:
        time.sleep(moment)
        old = self._system.kill(program)
        self._note(Kill(program, time.monotonic()))
        self._system.wait_until_restarted(program, old)

    def _kill_task(self, task_id: str, moment: float) -> None:
        if task_id == ANY_TASK:
            time.sleep(moment)
        while True:
            task = self._system.wait_for(lambda: next(self._find_running(task_id), None), 300, f"{task_id} to run")
            if task_id != ANY_TASK:
                time.sleep(moment)
            if self._kill_process(task):
                return

    def kill_every_try(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        """Kill a task whenever it runs, until it has failed for good."""

        def look() -> bool | None:
            for task in self._system.api.list_tasks(dag_id, run_id):
                if (task["task_id"], task["map_index"]) == (task_id, map_index):
                    self._kill_process(task)
                    return True if task["state"] == "failed" else None
            return None

        self._system.wait_for(look, 900, f"{task_id} to fail for good")

    def _find_running(self, task_id: str) -> Iterator[dict[str, Any]]:
        processes = find_task_processes(self._system)
        for run in self._system.list_busy_runs() if processes else ():
            if not run["dag_id"].startswith(f"{self._pipeline}."):
                continue
            for task in self._system.api.list_tasks(run["dag_id"], run["dag_run_id"]):
                if task["id"] in processes and task_id in (ANY_TASK, task["task_id"]):
                    yield task

    def _kill_process(self, task: dict[str, Any]) -> bool:
        """False when it ended before its moment came, or somebody else killed it."""
        with self._one_at_a_time:
            pid = find_task_processes(self._system).get(task["id"])
            if pid is None or pid in self._killed:
                return False
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
            self._killed.add(pid)
        index = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
        name = f"{task['dag_id']} {task['task_id']}{index} try {task['try_number']}"
        self._note(Kill(name, time.monotonic(), task))
        return True

    def _note(self, kill: Kill) -> None:
        self.kills.append(kill)
        print(f"  {kill.at - self._began:6.1f} s  killed {kill.what}", flush=True)


def find_task_processes(system: RunningSystem) -> dict[str, int]:
    """Task instance id to pid, of every task whose process runs now."""
    found = {}
    try:
        family = psutil.Process(system.find_pid("scheduler")).children(recursive=True)
    except (FileNotFoundError, psutil.NoSuchProcess):
        return {}  # the scheduler was killed, and its tasks with it
    for process in family:
        try:
            title = _TITLE.match(" ".join(process.cmdline()))
        except psutil.Error:
            continue
        if title:
            found[title["id"]] = process.pid
    return found
