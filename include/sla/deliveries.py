"""Refresh to served: whether what came of a refresh's run answers customers in time, by the records of its pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from include.console.history import read_history
from include.records import list_records
from include.settings import Settings
from include.sla.clock import find_deadline
from include.sla.memory import Delivery, Memory
from include.sla.misses import record_miss
from include.sla.plan import SERVED as LIMIT
from include.sla.plan import PlannedPipeline
from include.sla.usual import SERVED, Durations
from include.sla.words import describe_late_delivery

# The records of a pipeline are read as a whole; a delivery takes minutes.
_LOOK_SECONDS = 5.0
_ON_ITS_WAY = ("published", "training", "blessed")


@dataclass(frozen=True)
class Standing:
    """Where a refresh is: ``stands`` in words while it is ``on_its_way``; ``served`` is when it reached customers."""

    on_its_way: bool
    stands: str = ""
    served: float | None = None
    rows: int = 0


def find_standing(settings: Settings, delivery: Delivery, run_is_open: bool) -> Standing:
    """Where what a run of data_refresh took in is now; what was stopped on the way is no longer on it."""
    name = delivery.pipeline
    taken = {
        (record["partition"], record["fingerprint"])
        for _, record in list_records(settings, name, "refresh")
        if record.get("run_id") == delivery.run_id
    }
    if run_is_open:
        return Standing(True, "its data_refresh is under way")
    rows = [row for row in read_history(settings, name) if (row.partition, row.fingerprint) in taken]
    for row in rows:
        if row.outcome in _ON_ITS_WAY:
            return Standing(True, f"{row.partition} is {row.outcome} ({row.why})", rows=row.rows or 0)
    deployed = {row.version: row for row in rows if row.outcome == "deployed"}
    for _, record in list_records(settings, name, "deployment"):
        if record["version"] in deployed:
            at = datetime.fromisoformat(record["recorded_at"]).timestamp()
            return Standing(False, served=at, rows=deployed[record["version"]].rows or 0)
    return Standing(False)


class DeliveryWatch:
    """Judges the deliveries that are on their way; they are kept in ``memory``."""

    def __init__(self, settings: Settings, memory: Memory, durations: Durations) -> None:
        self._settings = settings
        self._memory = memory
        self._durations = durations

    def follow(self, plan: PlannedPipeline, run_id: str, since: float) -> None:
        """Watch what a run of data_refresh takes in; ``since`` moves while it waits for its data."""
        if LIMIT in plan.limits:
            found = self._memory.deliveries.setdefault(f"{plan.name}/{run_id}", Delivery(plan.name, run_id, since))
            found.since = since

    def look(self, plan: PlannedPipeline, now: float, is_open: Callable[[str, str], bool]) -> int:
        """Judge what is on its way; returns the number of new misses."""
        new = 0
        for key, delivery in list(self._memory.deliveries.items()):
            if delivery.pipeline != plan.name or now < delivery.looked_at + _LOOK_SECONDS:
                continue
            delivery.looked_at = now
            dag_id = f"{plan.name}.data_refresh"
            standing = find_standing(self._settings, delivery, is_open(dag_id, delivery.run_id))
            usual = self._durations.find_usual(dag_id, SERVED, standing.rows)
            deadline = find_deadline(plan, plan.limits.get(LIMIT, ()), delivery.since, usual)
            reached = standing.served if standing.served is not None else now if standing.on_its_way else None
            if deadline is not None and reached is not None and reached > deadline.at:
                mail = describe_late_delivery(
                    self._settings, plan, delivery.run_id, deadline, now, standing.stands, standing.served
                )
                facts = {
                    "kind": "served",
                    "dag_id": dag_id,
                    "run_id": delivery.run_id,
                    "due": deadline.at,
                    "noticed": now,
                    "limit": deadline.limit.text,
                }
                new += record_miss(self._settings, plan, mail, facts)
            if standing.served is not None:
                taken = standing.served - delivery.since
                self._durations.add(dag_id, {SERVED: [(standing.rows, taken)]})
            if not standing.on_its_way:
                del self._memory.deliveries[key]
        return new
