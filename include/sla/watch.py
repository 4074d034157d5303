"""The watcher: looks every two seconds, and after every look knows what it has to know when it is killed.

Nothing is called late by a look that began before its deadline, and nothing that Airflow says has ended by then: the
time is taken before Airflow is asked, so what is under way in the answer was under way at that time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from include.errors import TollgateError, TransientError
from include.settings import Settings
from include.sla.airflow_state import AirflowState, AirflowUnreadable, Run, Task
from include.sla.deliveries import DeliveryWatch
from include.sla.freshness import FreshnessWatch
from include.sla.latency import LatencyWatch
from include.sla.memory import Keeper
from include.sla.misses import queue_left
from include.sla.plan import SERVED, Plan, PlannedPipeline, list_sources, read_plan
from include.sla.runs import Followed, RunJudge, find_plan, name_try, split_dag_id
from include.sla.usual import Durations

LOOK_SECONDS = 2.0
# The plan holds the partitions of the next two hours.
_PLAN_SECONDS = 1800.0
_CLOSED_KEPT = 400

# Writes the plan file; returns what went wrong, or "".
Planner = Callable[[], str]


@dataclass
class Report:
    """What the watcher says of itself: seconds since the epoch, counts, and what went wrong last."""

    looked_at: float = 0.0
    runs: int = 0
    tasks: int = 0
    misses: int = 0
    problem: str = ""
    declarations: str = ""


class WatchFailed(TransientError):
    """A part of a look failed; facts: ``new``, the misses that the others found."""


class Watcher:
    """Watches every declared pipeline of one home. ``make_plan`` writes the plan file; ``state`` is Airflow's."""

    def __init__(self, settings: Settings, state: AirflowState, make_plan: Planner) -> None:
        self._settings = settings
        self._state = state
        self._make_plan = make_plan
        self._keeper = Keeper(settings)
        self._memory = self._keeper.read()
        self._durations = Durations(settings)
        self._judge = RunJudge(settings, state, self._durations)
        self._freshness = FreshnessWatch(settings, self._memory)
        self._deliveries = DeliveryWatch(settings, self._memory, self._durations)
        self._latency = LatencyWatch(settings, self._memory)
        self._followed: dict[int, Followed] = {}
        self._caught_up = False
        self._plan = Plan()
        self._sources: object = None
        self._planned_at = -_PLAN_SECONDS
        self.report = Report()

    # --- the plan

    def _follow_plan(self) -> None:
        sources = list_sources(self._settings)
        if sources != self._sources or time.monotonic() > self._planned_at + _PLAN_SECONDS:
            self.report.declarations = self._make_plan()
            self._plan = read_plan(self._settings)
            self._sources, self._planned_at = sources, time.monotonic()
            if not self._caught_up:
                queue_left(self._settings, self._plan.pipelines)

    # --- looking

    def look(self, now: float | None = None) -> int:
        """One look; returns the number of new misses.

        Raises WatchFailed when a part of it failed, after the others were done.
        """
        began = time.time() if now is None else now
        self._follow_plan()
        problems: list[str] = []

        def do(part: Callable[..., int], *arguments: object) -> int:
            # What breaks one part, such as a record that is no JSON, takes no alert of another with it.
            try:
                return part(*arguments)
            except Exception as error:  # noqa: BLE001
                problems.append(error.message if isinstance(error, TollgateError) else f"{part}: {error!r}")
                return 0

        new = do(self._look_at_airflow, began)
        airflow_answered = not problems
        for plan in self._plan.pipelines.values():
            new += do(self._freshness.look, plan, began) + do(self._latency.look, plan, began)
            if airflow_answered:
                new += do(self._deliveries.look, plan, began, self._is_open)
        self._keeper.write(self._memory)
        self.report.misses += new
        self.report.problem = " ".join(problems)
        if problems:
            raise WatchFailed(self.report.problem, next_step="It is looked again in two seconds.", new=new)
        self.report.looked_at = time.time()
        return new

    def _is_open(self, dag_id: str, run_id: str) -> bool:
        return any((each.run.dag_id, each.run.run_id) == (dag_id, run_id) for each in self._followed.values())

    def _list_runs(self) -> list[Run]:
        memory = self._memory
        if memory.highest_id < 0:
            # What was over before anybody watched is history.
            memory.highest_id = self._state.read_highest_id()
            memory.closed = [run.id for run in self._state.list_runs(memory.highest_id) if not run.is_open]
        return self._state.list_runs(memory.highest_id, memory.open)

    def _look_at_airflow(self, now: float) -> int:
        memory, new = self._memory, 0
        runs = self._list_runs()
        tasks: dict[tuple[str, str], list[Task]] = {}
        for task in self._state.list_tasks_under_way():
            tasks.setdefault((task.dag_id, task.run_id), []).append(task)
        closed = set(memory.closed)
        broken: list[str] = []
        for run in runs:
            plan = find_plan(self._plan, run.dag_id)
            if plan is None or (not run.is_open and run.id in closed):
                continue
            closed.discard(run.id)
            try:
                new += self._look_at_run(plan, run, tasks.get((run.dag_id, run.run_id), []), now)
            except AirflowUnreadable:
                raise
            except Exception as error:  # noqa: BLE001 - what breaks one run takes no alert of another with it
                broken.append(f"{run.dag_id} {run.run_id}: {error!r}")
                continue
            if not run.is_open:
                closed.add(run.id)
                # At once: a run that is closed twice would count twice in what is usual.
                memory.closed = sorted(closed)
        seen = {run.id for run in runs}
        # One that was deleted is not there to be judged.
        self._followed = {number: each for number, each in self._followed.items() if number in seen}
        memory.open = sorted(self._followed)
        memory.highest_id = max(memory.highest_id, *seen, 0)
        memory.closed = sorted(number for number in closed if number > memory.highest_id - _CLOSED_KEPT)
        self._caught_up = True
        self.report.runs, self.report.tasks = len(self._followed), sum(map(len, tasks.values()))
        if broken:
            raise WatchFailed("; ".join(broken), next_step="Look at the records of these runs.", new=new)
        return new

    def _look_at_run(self, plan: PlannedPipeline, run: Run, tasks: list[Task], now: float) -> int:
        followed = self._followed.setdefault(run.id, Followed(run))
        if followed.run.queued != run.queued:
            followed = self._followed[run.id] = Followed(run)  # it was cleared: its time begins anew
        followed.run = run
        self._follow_delivery(plan, followed, tasks, now)
        if run.is_open:
            return self._look_at_open(plan, followed, tasks, now)
        new = self._judge.close_run(plan, followed, now)
        del self._followed[run.id]
        return new

    def _follow_delivery(self, plan: PlannedPipeline, followed: Followed, tasks: list[Task], now: float) -> None:
        if split_dag_id(followed.run.dag_id)[1] != "data_refresh" or SERVED not in plan.limits:
            return
        since = self._judge.find_start(followed, tasks, now)
        if since is None:
            # It waits for its data: its time has not begun.
            self._memory.deliveries.pop(f"{plan.name}/{followed.run.run_id}", None)
        else:
            self._deliveries.follow(plan, followed.run.run_id, since)

    def _look_at_open(self, plan: PlannedPipeline, followed: Followed, tasks: list[Task], now: float) -> int:
        run, new = followed.run, 0
        new += self._judge.judge_run(plan, followed, tasks, now)
        deadlines: dict[tuple[str, ...], float] = {}
        for task in tasks:
            found = self._judge.find_task_deadline(plan, followed, task, now)
            if found is not None:
                deadlines[name_try(task, found[1])] = found[0].at
                new += self._judge.judge_task(plan, followed, task, found, now)
        # What was under way at the last look and is no more ended in between; a first look knows of no last one.
        gone = followed.deadlines.keys() - deadlines.keys()
        if not self._caught_up or any(followed.deadlines[key] <= now for key in gone):
            new += sum(
                self._judge.judge_ended(plan, followed, task, now)
                for task in self._state.list_tasks(run.dag_id, run.run_id)
            )
        followed.deadlines = deadlines
        return new
