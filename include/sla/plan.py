"""What is to be watched: the declared SLAs as one small file, made by a process of its own.

``python -m include.sla.plan`` reads the declarations and writes ``sla/plan.json``. The watcher runs it whenever a
declaration has changed, so that no pipeline's code runs in the watcher: one that hangs, ends the process or takes a
gigabyte stops no alert. Of a declaration that is broken now the plan keeps what was there before.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from include.records import write_file_atomically
from include.settings import Settings, load_settings

SERVED = "refresh_to_served"
STAGES = ("data_refresh", "train_model", "deploy_model")
# Partitions whose time was up this long ago are still looked at by a watcher that was not there; the newest of them.
_BACK_SECONDS = 40 * 86400.0
_AHEAD_SECONDS = 7200.0
_MOST_PARTITIONS = 500


@dataclass(frozen=True)
class PlannedLimit:
    """A limit in seconds, or ``factor`` times the usual; ``text`` is how it was declared."""

    text: str
    seconds: float | None = None
    factor: float | None = None


@dataclass(frozen=True)
class DuePartition:
    """A partition whose period ended at ``end`` and whose data is due at ``due`` (seconds since the epoch)."""

    partition: str
    end: float
    due: float


@dataclass(frozen=True)
class PlannedNotifier:
    """A notifier of Airflow and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedLatency:
    """Quantile to milliseconds that the endpoint at ``address`` is to keep."""

    address: str
    objectives: dict[str, float]
    every: float
    requests: int


@dataclass(frozen=True)
class PlannedPipeline:
    """What is watched of one pipeline. ``limits`` by stage, by ``<stage>.<task>``, by ``<stage>.*``, and of
    ``refresh_to_served``; ``stops_after`` says after how many seconds a try of a task is stopped.
    """

    name: str
    owner: tuple[str, ...]
    limits: dict[str, tuple[PlannedLimit, ...]]
    usual_runs: int
    usual_margin: float
    stops_after: dict[str, float]
    notifiers: tuple[PlannedNotifier, ...] = ()
    freshness: str = ""
    due: tuple[DuePartition, ...] = ()
    latency: PlannedLatency | None = None

    def list_limits(self, stage: str, task: str) -> tuple[PlannedLimit, ...]:
        """Limits of a task: its own, or those of every task of its stage."""
        return self.limits.get(f"{stage}.{task}") or self.limits.get(f"{stage}.*", ())


@dataclass(frozen=True)
class Plan:
    """Every pipeline by name; ``errors`` of those whose declaration cannot be read now."""

    pipelines: dict[str, PlannedPipeline] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    made_at: float = 0.0


def name_plan(settings: Settings) -> Path:
    """Where the plan lies."""
    return settings.home / "sla" / "plan.json"


def read_plan(settings: Settings) -> Plan:
    """The plan as it was made last; an empty one before that, or when the file is of another version of Tollgate."""
    try:
        return msgspec.json.decode(name_plan(settings).read_bytes(), type=Plan)
    except (FileNotFoundError, msgspec.DecodeError):
        return Plan()


def list_sources(settings: Settings) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every declaration: another value says that a plan has to be made anew."""
    found = []
    for path in settings.pipelines_path.glob("*/*.py"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))


def list_due(data: Any, within: float, now: float) -> list[DuePartition]:
    """Partitions of a declared ``Data`` that are due between a while ago and the next hours, oldest first.

    A partition is named after the start of its period, which ends where the next one starts.
    """
    from croniter import croniter  # type: ignore[import-untyped]

    pattern = data.partition_format
    start = data.parse_partition(data.first).replace(tzinfo=UTC).timestamp()
    end_of_all = data.parse_partition(data.last).replace(tzinfo=UTC).timestamp() if data.last else float("inf")
    # From the newest backwards: so the many of a schedule of minutes cost no more than those that are kept.
    ticks = croniter(data.schedule, datetime.fromtimestamp(now + _AHEAD_SECONDS - within, UTC))
    found: list[DuePartition] = []
    end = ticks.get_prev(float)
    while len(found) < _MOST_PARTITIONS:
        begin = ticks.get_prev(float)
        if begin < start or end + within < now - _BACK_SECONDS:
            break
        if begin <= end_of_all:
            found.append(DuePartition(datetime.fromtimestamp(begin, UTC).strftime(pattern), end, end + within))
        end = begin
    return found[::-1]


def plan_pipeline(settings: Settings, pipeline: Any, now: float) -> PlannedPipeline:
    """What is watched of a declared pipeline (an ``include.declaration.Pipeline``)."""
    from include.declaration.limits import limit_task
    from include.declaration.parts import parse_duration
    from include.declaration.sla import STAGE_TASKS, parse_limits

    sla, data, gate = pipeline.sla, pipeline.data, pipeline.deployment.latency
    declared = {**{name: getattr(sla, name) for name in (*STAGES, SERVED)}, **sla.tasks}
    limits = {
        name: tuple(PlannedLimit(limit.text, limit.seconds, limit.factor) for limit in parse_limits(given))
        for name, given in declared.items()
        if given is not None
    }
    due: list[DuePartition] = []
    if sla.freshness is not None:
        due = list_due(data, parse_duration(sla.freshness).total_seconds(), now)
    objectives = {"0.5": gate.p50_ms, "0.95": gate.p95_ms, "0.99": gate.p99_ms}
    asked = {quantile: bound for quantile, bound in objectives.items() if bound is not None}
    offset = pipeline.deployment.port_offset
    latency: PlannedLatency | None = None
    # What a service serves is watched there: an alarm of the release holds ModelLatency against its bound.
    if asked and offset is not None:
        host = settings.endpoint_host if settings.endpoint_host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
        latency = PlannedLatency(
            address=f"http://{f'[{host}]' if ':' in host else host}:{settings.endpoint_port + offset}/metrics",
            objectives=asked,
            every=parse_duration(sla.latency.every).total_seconds(),
            requests=sla.latency.requests,
        )
    return PlannedPipeline(
        name=pipeline.name,
        owner=tuple(pipeline.owner),
        limits=limits,
        usual_runs=sla.usual_runs,
        usual_margin=parse_duration(sla.usual_margin).total_seconds(),
        stops_after={
            task: limit_task(pipeline, task).total_seconds() for tasks in STAGE_TASKS.values() for task in tasks
        },
        notifiers=tuple(PlannedNotifier(each.name, dict(each.arguments)) for each in sla.notifiers),
        freshness=sla.freshness or "",
        due=tuple(due),
        latency=latency,
    )


def make_plan(settings: Settings, now: float) -> Plan:
    """Read every declaration; what is broken stays as it was watched before."""
    from include.declaration.loader import load_pipelines

    before, loaded = read_plan(settings), load_pipelines(settings)
    planned = {name: plan_pipeline(settings, pipeline, now) for name, pipeline in loaded.pipelines.items()}
    kept = {name: before.pipelines[name] for name in loaded.errors if name in before.pipelines}
    return Plan({**kept, **planned}, {name: error.message for name, error in loaded.errors.items()}, now)


def main() -> None:
    """Write the plan."""
    settings = load_settings()
    plan = make_plan(settings, time.time())
    write_file_atomically(name_plan(settings), msgspec.json.encode(plan))
    for name, error in plan.errors.items():
        sys.stderr.write(f"{name}: {error}\n")


if __name__ == "__main__":
    main()
