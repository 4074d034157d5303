"""What the mails about misses say: what, since when, the usual, the forecast, what Tollgate does, where to look."""

from __future__ import annotations

from include.links import link_run, link_task
from include.mail.compose import Mail
from include.mail.letters import write_mail
from include.runtime.usual import Usual
from include.settings import Settings
from include.sla.airflow_state import Run, Task
from include.sla.clock import Deadline, write_moment, write_span
from include.sla.plan import PlannedPipeline

_HOW = {
    "scheduled": "by its schedule",
    "asset_triggered": "by an asset",
    "asset_materialization": "by an asset",
    "manual": "by hand",
    "backfill": "by a backfill",
}


def describe_usual(usual: Usual | None) -> str:
    """Median and spread of how many runs, at how many rows; or that nothing is usual yet."""
    return usual.describe() if usual is not None else "not known: this is the first"


def forecast_end(deadline: Deadline, now: float) -> str:
    """When it would end if it took what is usual; said to be past when it is."""
    usual = deadline.usual
    if usual is None:
        return "none: nothing like it has ended yet"
    end = deadline.since + usual.seconds
    if end >= now:
        return f"{write_moment(end)} ± {write_span(usual.spread)}, if it takes what is usual"
    times = (now - deadline.since) / usual.seconds if usual.seconds > 0 else 0.0
    longer = f", already {times:.1f} × as long as usual" if times else ""
    return f"none: it should have ended at {write_moment(end)}{longer}"


def _list_facts(deadline: Deadline, now: float, ended: float | None, rows: int) -> list[tuple[str, str]]:
    facts = [
        ("Since", write_moment(deadline.since)),
        ("Limit", f"{deadline.limit.text} ({write_span(deadline.allowed)})"),
        ("Deadline", write_moment(deadline.at)),
        ("Noticed", write_moment(now)),
        ("Usual", describe_usual(deadline.usual)),
    ]
    if rows:
        facts.append(("Rows this time", f"{rows:,}"))
    facts.append(("Ended", write_moment(ended)) if ended is not None else ("Forecast end", forecast_end(deadline, now)))
    return facts


def _tell_end(state: str, deadline: Deadline, ended: float) -> str:
    how = {"success": "It has succeeded since", "failed": "It has failed since"}.get(state, f"It has ended ({state})")
    return f"{how}, at {write_moment(ended)}, {write_span(ended - deadline.at)} after its deadline."


def describe_late_run(
    settings: Settings, plan: PlannedPipeline, run: Run, deadline: Deadline, now: float, tasks: list[Task], rows: int
) -> Mail:
    """A DAG run is late; ``tasks`` are those of it that are under way."""
    stage = run.dag_id.rpartition(".")[2]
    ended = None if run.is_open else run.ended
    if ended is not None:
        lines = [_tell_end(run.state, deadline, ended)]
        does = "Nothing more: the run is over, and what is being served is what its mails and the Tollgate page say."
    else:
        busy = ", ".join(sorted({f"{task.name} ({task.state})" for task in tasks})) or "none of its tasks"
        what = f"The run has been {run.state} for {write_span(now - deadline.since)}. Under way: {busy}."
        lines = [what]
        does = "The run goes on; each try of a task is stopped at its own limit. What is being served is untouched."
    return write_mail(
        plan.name,
        plan.owner,
        key=f"sla/run/{run.dag_id}/{run.run_id}/{write_moment(deadline.since)}",
        tone="bad",
        subject=f"{stage} missed its SLA of {deadline.limit.text}",
        headline=f"{stage} is late: its SLA of {deadline.limit.text} has passed"
        if ended is None
        else f"{stage} was late: it took {write_span(ended - deadline.since)}, its SLA is {deadline.limit.text}",
        lines=(*lines, f"What Tollgate does: {does}"),
        facts=(
            ("Run", run.run_id),
            ("Started", _HOW.get(run.run_type, run.run_type)),
            *_list_facts(deadline, now, ended, rows),
        ),
        next_step="Look at the run; stop it there if it hangs." if ended is None else "Look at what took so long.",
        links=[("DAG run", link_run(settings, run.dag_id, run.run_id))],
    )


def _tell_limit(plan: PlannedPipeline, task: Task) -> str:
    left = max(task.max_tries - task.try_number + 1, 0)
    again = f"and tried again, {left} more time{'s' if left != 1 else ''} at most" if left else "and was its last try"
    stop = plan.stops_after.get(task.name)
    if stop is None or task.started is None:
        return f"This is try {task.try_number}; when it fails it is tried again {left} times at most."
    at = write_moment(task.started + stop)
    return f"This try ({task.try_number}) is stopped at {at}, after {write_span(stop)}, {again}."


def describe_late_task(
    settings: Settings, plan: PlannedPipeline, task: Task, deadline: Deadline, now: float, waits: bool, rows: int
) -> Mail:
    """A try of a task is late; ``waits``: it is its wait for a worker that is."""
    stage = task.dag_id.rpartition(".")[2]
    name = task.name if task.map_index < 0 else f"{task.name}[{task.map_index}]"
    ended = task.started if waits else task.ended
    over = ended is not None and (waits or task.state != "running")
    kind = "waiting" if waits else "task"
    if waits:
        said = f"started at {write_moment(ended)}" if over and ended else f"is {task.state}"
        lines = [f"It has been ready for {write_span((ended or now) - deadline.since)} and {said}."]
        does = "It starts as soon as a worker is free (TOLLGATE_PARALLELISM says how many tasks run at once)."
        verb = "waits for a worker"
    elif over and ended is not None:
        lines = [_tell_end(task.state, deadline, ended)]
        does = "What follows a failure is in its own mail." if task.state == "failed" else "The run goes on."
        verb = "was late"
    else:
        lines = [f"It has been running for {write_span(now - deadline.since)}."]
        does, verb = _tell_limit(plan, task), "is late"
    return write_mail(
        plan.name,
        plan.owner,
        key=f"sla/{kind}/{task.dag_id}/{task.run_id}/{task.task_id}/{task.map_index}/{task.try_number}",
        tone="bad",
        subject=f"{stage}: {name} missed its SLA of {deadline.limit.text}",
        headline=f"{stage}: {name} {verb}, its SLA is {deadline.limit.text}",
        lines=(*lines, f"What Tollgate does: {does}"),
        facts=(
            ("Run", task.run_id),
            ("Task", f"{name}, try {task.try_number}"),
            *_list_facts(deadline, now, ended if over else None, rows),
        ),
        next_step="Read the log of the task.",
        links=[
            ("Log of the task", link_task(settings, task.dag_id, task.run_id, task.task_id, task.map_index)),
            ("DAG run", link_run(settings, task.dag_id, task.run_id)),
        ],
    )


def describe_late_delivery(
    settings: Settings,
    plan: PlannedPipeline,
    run_id: str,
    deadline: Deadline,
    now: float,
    stands: str,
    served: float | None,
) -> Mail:
    """A refresh is not served in time; ``stands`` says where it is, ``served`` when it was after all."""
    dag_id = f"{plan.name}.data_refresh"
    late = f"It is served since {write_moment(served)}." if served is not None else f"It is not served yet: {stands}."
    return write_mail(
        plan.name,
        plan.owner,
        key=f"sla/served/{run_id}",
        tone="bad",
        subject=f"a refresh is not served within {deadline.limit.text}"
        if served is None
        else f"a refresh was served late, after {write_span(served - deadline.since)}",
        headline=f"From refresh to served takes longer than its SLA of {deadline.limit.text}",
        lines=(late, "What Tollgate does: it goes on; customers get the version before until the new one has passed."),
        facts=(("Run", run_id), *_list_facts(deadline, now, served, 0)),
        next_step="Look on the Tollgate page where it is.",
        links=[
            ("Every refresh", f"{settings.airflow_public_url}/tollgate/"),
            ("DAG run", link_run(settings, dag_id, run_id)),
        ],
    )
