"""From limits and what is usual to the moment at which something is late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from include.runtime.usual import Usual
from include.sla.plan import PlannedLimit, PlannedPipeline


@dataclass(frozen=True)
class Deadline:
    """The first of several limits to pass. ``at`` and ``since`` are seconds since the epoch."""

    since: float
    at: float
    limit: PlannedLimit
    usual: Usual | None

    @property
    def allowed(self) -> float:
        """Seconds that there were."""
        return self.at - self.since


def find_deadline(
    plan: PlannedPipeline, limits: tuple[PlannedLimit, ...], since: float, usual: Usual | None
) -> Deadline | None:
    """The earliest deadline of ``limits``; None when none says anything, as a relative one before anything is usual."""
    found = []
    for limit in limits:
        if limit.seconds is not None:
            found.append((since + limit.seconds, limit))
        elif limit.factor is not None and usual is not None and usual.runs >= plan.usual_runs:
            found.append((since + max(limit.factor * usual.seconds, usual.seconds + plan.usual_margin), limit))
    if not found:
        return None
    at, limit = min(found, key=lambda pair: pair[0])
    return Deadline(since, at, limit, usual)


def is_relative(limits: tuple[PlannedLimit, ...]) -> bool:
    """Whether one of them asks what is usual."""
    return any(limit.factor is not None for limit in limits)


def write_time(moment: float) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def write_moment(moment: float) -> str:
    """A time as a person reads it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def write_span(seconds: float) -> str:
    """A duration as a person reads it: 8.4 s, 12 min 5 s, 3 h 20 min, 2 days 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} day{'s' if days > 1 else ''} {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"
