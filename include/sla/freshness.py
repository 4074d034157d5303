"""Freshness: a partition's data is to be published some time after its period has ended.

One mail when it is not, one when it has come after all. A watcher that was away for long, or a schedule of minutes that
nobody delivers for, makes one mail of many partitions and not many mails.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.mail.compose import Mail
from include.mail.letters import write_mail
from include.settings import Settings
from include.sla.clock import write_moment, write_span
from include.sla.memory import Memory
from include.sla.misses import record_miss
from include.sla.plan import DuePartition, PlannedPipeline

# More partitions than this in one look are told in one mail.
_MOST_MAILS = 3
_LISTED = 20


@dataclass(frozen=True)
class Landed:
    """What the ledger says of a partition: when it was first published, and the reason of the newest block."""

    published: float | None
    blocked: str


def look_up(settings: Settings, pipeline: str, partition: str) -> Landed:
    """Read the verdicts on every content that came under the partition's name."""
    published, blocked = [], []
    for path in (settings.records_root / pipeline / "refresh").glob(f"{partition}@*.json"):
        record: dict[str, Any] = json.loads(path.read_bytes())
        # Judged again, it keeps when it was published first.
        for verdict in (record, *record.get("earlier", [])):
            at = datetime.fromisoformat(verdict["recorded_at"]).timestamp()
            if verdict["status"] == "published":
                published.append(at)
            else:
                blocked.append((at, str(verdict.get("reason", ""))))
    return Landed(min(published, default=None), max(blocked)[1] if blocked else "")


class FreshnessWatch:
    """Judges partitions as their time comes; what was judged is in ``memory``."""

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory

    def look(self, plan: PlannedPipeline, now: float) -> int:
        """Judge what became due, and see whether what was late has come; returns the number of new misses."""
        if not plan.freshness:
            self._memory.judged.pop(plan.name, None)
            self._memory.late.pop(plan.name, None)
            return 0
        # What was due before anybody watched is history, not late.
        until = self._memory.judged.setdefault(plan.name, now)
        late = self._memory.late.setdefault(plan.name, {})
        new: list[tuple[DuePartition, Landed]] = []
        for due in plan.due:
            if until < due.due <= now:
                landed = look_up(self._settings, plan.name, due.partition)
                if landed.published is None or landed.published > due.due:
                    new.append((due, landed))
        grouped = len(new) > _MOST_MAILS
        for group in [new] if grouped else [[each] for each in new]:
            self._tell_late(plan, group, now)
        late.update({due.partition: due.due for due, landed in new if landed.published is None})
        if plan.due:
            self._memory.judged[plan.name] = max(until, *(due.due for due in plan.due if due.due <= now), until)
        self._look_for_arrived(plan, now)
        return len(new)

    def _tell_late(self, plan: PlannedPipeline, group: list[tuple[DuePartition, Landed]], now: float) -> None:
        mail = describe_late_data(self._settings, plan, group, now)
        first, _ = group[0]
        facts = {
            "kind": "freshness",
            "partitions": [due.partition for due, _ in group],
            "due": first.due,
            "noticed": now,
            "limit": plan.freshness,
        }
        record_miss(self._settings, plan, mail, facts)

    def _look_for_arrived(self, plan: PlannedPipeline, now: float) -> None:
        late = self._memory.late[plan.name]
        arrived = []
        for partition, due in sorted(late.items()):
            landed = look_up(self._settings, plan.name, partition)
            if landed.published is not None:
                arrived.append((partition, due, landed.published))
        for group in [arrived] if len(arrived) > _MOST_MAILS else [[each] for each in arrived]:
            mail = describe_arrived_data(self._settings, plan, group)
            facts = {"kind": "arrived", "partitions": [partition for partition, _, _ in group], "noticed": now}
            record_miss(self._settings, plan, mail, facts)
            for partition, _, _ in group:
                del late[partition]


def _name(partitions: list[str]) -> str:
    return partitions[0] if len(partitions) == 1 else f"{len(partitions)} partitions"


def describe_late_data(
    settings: Settings, plan: PlannedPipeline, group: list[tuple[DuePartition, Landed]], now: float
) -> Mail:
    """Data is due and not published."""
    first, landed = group[0]
    names = [due.partition for due, _ in group]
    name, span = _name(names), f"{names[0]}..{names[-1]}" if len(names) > 1 else names[0]
    if landed.published is not None:
        stands = (
            f"It was published at {write_moment(landed.published)}, late by {write_span(landed.published - first.due)}."
        )
    elif landed.blocked:
        stands = f"A file came and was blocked: {landed.blocked}"
    else:
        stands = "No file of it was published, and none was blocked."
    listed = tuple(f"{due.partition}: due {write_moment(due.due)}" for due, _ in group[:_LISTED])
    return write_mail(
        plan.name,
        plan.owner,
        key=f"sla/freshness/{span}",
        tone="bad",
        subject=f"data of {name} is late",
        headline=f"The data of {name} was due {plan.freshness} after its period and is not published",
        lines=(
            *((stands,) if len(group) == 1 else listed),
            "What Tollgate does: it waits in the triggerer, which costs no worker; a file goes on by itself when it "
            "lands. Customers get what they got before. You are told once more: when it has arrived.",
        ),
        facts=(
            ("Period ended", write_moment(first.end)),
            ("Due", write_moment(first.due)),
            ("Noticed", write_moment(now)),
        ),
        next_step="Ask who delivers the data.",
        links=[("Every refresh", f"{settings.airflow_public_url}/tollgate/")],
    )


def describe_arrived_data(settings: Settings, plan: PlannedPipeline, group: list[tuple[str, float, float]]) -> Mail:
    """Data that was late is published: (partition, due, published) of each."""
    names = [partition for partition, _, _ in group]
    span = f"{names[0]}..{names[-1]}" if len(names) > 1 else names[0]
    return write_mail(
        plan.name,
        plan.owner,
        key=f"sla/arrived/{span}",
        tone="good",
        subject=f"late data of {_name(names)} has arrived",
        headline=f"The data of {_name(names)} has arrived after all",
        lines=tuple(
            f"{partition} was published at {write_moment(published)}, {write_span(published - due)} after it was due."
            for partition, due, published in group[:_LISTED]
        ),
        next_step="Nothing: training follows by itself.",
        links=[("Every refresh", f"{settings.airflow_public_url}/tollgate/")],
    )
