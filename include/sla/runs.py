"""Judging DAG runs and tasks: what Airflow says of them, held against the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from include.mail.compose import Mail
from include.settings import Settings
from include.sla.airflow_state import AirflowState, Run, Task
from include.sla.clock import Deadline, find_deadline, is_relative
from include.sla.misses import record_miss
from include.sla.plan import Plan, PlannedPipeline
from include.sla.rows import count_rows
from include.sla.usual import RUN, Durations
from include.sla.words import describe_late_run, describe_late_task

# What waits for data is not late: its data is, which freshness is about.
WAITING_TASK = "find_arrivals"
# Of these the time says nothing about work: a person's, or that of a file to come.
_UNTIMED = (WAITING_TASK, "ask_approval")
_ROWS_SECONDS = 10.0
_NOT_STARTED = ("", "scheduled", "queued", "deferred", "restarting", "up_for_reschedule")


@dataclass
class Followed:
    """What the watcher remembers of an open run, and of its tasks by their key, while it lives."""

    run: Run
    told: set[tuple[str, ...]] = field(default_factory=set)
    deadlines: dict[tuple[str, ...], float] = field(default_factory=dict)
    arrived: float | None = None
    rows: int = 0
    rows_at: float = 0.0


def split_dag_id(dag_id: str) -> tuple[str, str]:
    """Pipeline and stage of a DAG of ours; of another one, what has no plan."""
    pipeline, _, stage = dag_id.rpartition(".")
    return pipeline, stage


def name_try(task: Task, waits: bool) -> tuple[str, ...]:
    """What a try, or its wait, is remembered by."""
    return (*map(str, task.key), "waits" if waits else "runs")


class RunJudge:
    """Says of runs and tasks whether they are late, and keeps what they took. ``judge_*`` return the new misses."""

    def __init__(self, settings: Settings, state: AirflowState, durations: Durations) -> None:
        self._settings = settings
        self._state = state
        self._durations = durations

    def count_rows(self, followed: Followed, now: float) -> int:
        """Rows that a run works on; asked again until they are known."""
        if not followed.rows and now >= followed.rows_at + _ROWS_SECONDS:
            followed.rows_at = now
            pipeline, stage = split_dag_id(followed.run.dag_id)
            followed.rows = count_rows(self._settings, pipeline, stage, followed.run.run_id)
        return followed.rows

    def _find(
        self, plan: PlannedPipeline, key: str, name: str, followed: Followed, since: float, now: float
    ) -> Deadline | None:
        """The deadline of a stage (``name`` is RUN) or of one of its tasks."""
        _, stage = split_dag_id(followed.run.dag_id)
        limits = plan.limits.get(stage, ()) if name == RUN else plan.list_limits(stage, key)
        if not limits:
            return None
        rows = self.count_rows(followed, now) if is_relative(limits) else 0
        return find_deadline(plan, limits, since, self._durations.find_usual(followed.run.dag_id, name, rows))

    # --- runs

    def find_start(self, followed: Followed, tasks: Iterable[Task], now: float) -> float | None:
        """When a run's time began; None while it waits for data, or was not queued yet.

        It is when the run was queued; a refresh's begins anew when what it waited for has come.
        """
        run = followed.run
        if run.queued is None:
            return run.started
        if split_dag_id(run.dag_id)[1] != "data_refresh" or run.state == "queued":
            return run.queued
        waiting = [task for task in tasks if task.name == WAITING_TASK]
        if waiting:
            return None if any(task.deferred for task in waiting) else run.queued
        if followed.arrived is None:
            ended = [task.ended for task in self._state.list_tasks(run.dag_id, run.run_id) if task.name == WAITING_TASK]
            followed.arrived = max((end for end in ended if end is not None), default=None)
        return run.queued if followed.arrived is None else max(run.queued, followed.arrived)

    def judge_run(self, plan: PlannedPipeline, followed: Followed, tasks: list[Task], now: float) -> int:
        """Judge an open run with its ``tasks`` that are under way."""
        run = followed.run
        if ("run", run.run_id) in followed.told or not plan.limits.get(split_dag_id(run.dag_id)[1]):
            return 0
        since = run.queued
        deadline = None if since is None else self._find(plan, RUN, RUN, followed, since, now)
        if deadline is None or now <= deadline.at:
            return 0
        # Late, if all of its time was its own: only now it is worth asking since when it has its data.
        since = self.find_start(followed, tasks, now)
        deadline = None if since is None else self._find(plan, RUN, RUN, followed, since, now)
        if deadline is None or now <= deadline.at:
            return 0
        followed.told.add(("run", run.run_id))
        return self._tell_run(plan, followed, deadline, tasks, now)

    def _tell_run(
        self, plan: PlannedPipeline, followed: Followed, deadline: Deadline, tasks: list[Task], now: float
    ) -> int:
        run, rows = followed.run, self.count_rows(followed, now)
        mail = describe_late_run(self._settings, plan, run, deadline, now, tasks, rows)
        facts: dict[str, object] = {"kind": "run", "dag_id": run.dag_id, "run_id": run.run_id, "state": run.state}
        return self._record(plan, mail, facts, deadline, now)

    def _record(
        self, plan: PlannedPipeline, mail: Mail, facts: dict[str, object], deadline: Deadline, now: float
    ) -> int:
        times = {"since": deadline.since, "due": deadline.at, "noticed": now, "limit": deadline.limit.text}
        return int(record_miss(self._settings, plan, mail, {**facts, **times}))

    def close_run(self, plan: PlannedPipeline, followed: Followed, now: float) -> int:
        """Judge a run that is over, and all of its tasks, by the times that they have; then keep those."""
        run = followed.run
        tasks = self._state.list_tasks(run.dag_id, run.run_id)
        new = sum(self.judge_ended(plan, followed, task, now) for task in tasks)
        ended = [task.ended for task in tasks if task.name == WAITING_TASK and task.ended is not None]
        begins = [moment for moment in (run.queued, *ended) if moment is not None] or [run.started or run.ended or now]
        since = max(begins)
        if run.ended is not None and run.started is not None and ("run", run.run_id) not in followed.told:
            deadline = self._find(plan, RUN, RUN, followed, since, now)
            if deadline is not None and run.ended > deadline.at:
                new += self._tell_run(plan, followed, deadline, [], now)
        self._keep(followed, tasks, since, now)
        return new

    def _keep(self, followed: Followed, tasks: list[Task], since: float, now: float) -> None:
        run = followed.run
        rows = self.count_rows(followed, now + _ROWS_SECONDS)
        taken: dict[str, list[tuple[int, float]]] = {}
        for task in tasks:
            if task.state == "success" and task.name not in _UNTIMED and task.started and task.ended:
                taken.setdefault(task.name, []).append((rows, task.ended - task.started))
        states = Counter(task.state for task in tasks)
        # A run that found nothing to do says nothing about one that works.
        if run.state == "success" and run.ended is not None and states["success"] > states["skipped"]:
            taken[RUN] = [(rows, run.ended - since)]
        if taken:
            self._durations.add(run.dag_id, taken)

    # --- tasks

    def find_task_deadline(
        self, plan: PlannedPipeline, followed: Followed, task: Task, now: float
    ) -> tuple[Deadline, bool] | None:
        """The deadline of a task that is under way, and whether it is one of its wait for a worker."""
        if task.name in _UNTIMED:
            return None
        if task.state == "running" and task.started is not None:
            running = self._find(plan, task.name, task.name, followed, task.started, now)
            return None if running is None else (running, False)
        if task.state in ("scheduled", "queued") and task.waiting is not None and not task.deferred:
            waiting = self._find_wait(plan, task)
            return None if waiting is None else (waiting, True)
        return None

    def _find_wait(self, plan: PlannedPipeline, task: Task) -> Deadline | None:
        """The deadline of a wait for a worker: what is usual says nothing about it."""
        _, stage = split_dag_id(task.dag_id)
        limits = tuple(limit for limit in plan.list_limits(stage, task.name) if limit.seconds is not None)
        return find_deadline(plan, limits, task.waiting, None) if task.waiting is not None else None

    def judge_task(
        self, plan: PlannedPipeline, followed: Followed, task: Task, found: tuple[Deadline, bool], now: float
    ) -> int:
        """Judge a task that is under way by its deadline."""
        deadline, waits = found
        told = name_try(task, waits)
        if now <= deadline.at or told in followed.told:
            return 0
        followed.told.add(told)
        return self._tell_task(plan, followed, task, deadline, waits, now)

    def judge_ended(self, plan: PlannedPipeline, followed: Followed, task: Task, now: float) -> int:
        """Judge a try by the times that it has: its wait if it has started, itself if it has ended."""
        new = 0
        # One that waits for its next try has the times of the one before.
        if task.started is None or task.name in _UNTIMED or task.state in _NOT_STARTED:
            return 0
        if task.waiting is not None:
            wait = self._find_wait(plan, task)
            told = name_try(task, waits=True)
            if wait is not None and task.started > wait.at and told not in followed.told:
                followed.told.add(told)
                new += self._tell_task(plan, followed, task, wait, True, now)
        if task.state == "running":
            return new
        told = name_try(task, waits=False)
        if task.ended is not None and task.ended >= task.started and told not in followed.told:
            deadline = self._find(plan, task.name, task.name, followed, task.started, now)
            if deadline is not None and task.ended > deadline.at:
                followed.told.add(told)
                new += self._tell_task(plan, followed, task, deadline, False, now)
        return new

    def _tell_task(
        self, plan: PlannedPipeline, followed: Followed, task: Task, deadline: Deadline, waits: bool, now: float
    ) -> int:
        rows = self.count_rows(followed, now)
        mail = describe_late_task(self._settings, plan, task, deadline, now, waits, rows)
        facts: dict[str, object] = {
            "kind": "waiting" if waits else "task",
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
            "try_number": task.try_number,
            "state": task.state,
        }
        return self._record(plan, mail, facts, deadline, now)


def find_plan(plan: Plan, dag_id: str) -> PlannedPipeline | None:
    """The plan of a DAG's pipeline, if it is one of ours that is watched."""
    pipeline, stage = split_dag_id(dag_id)
    return plan.pipelines.get(pipeline) if stage in ("data_refresh", "train_model", "deploy_model") else None
