"""When a search has to stop: by the limits that it was given and by what its trials took until now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.declaration.search import Search
from include.training.trials import TrialResult


@dataclass(frozen=True)
class Limit:
    """By when the candidate's fit, the search before it included, is to be over: ``until`` of ``time.monotonic()``."""

    name: str
    until: float


@dataclass(frozen=True)
class SearchPlan:
    """What a search is given from outside: configurations to begin with, the best known first; limits; and the seconds
    that the fit after it should take, 0 when nothing is known."""

    starts: tuple[Mapping[str, Any], ...] = ()
    limits: tuple[Limit, ...] = ()
    fit_seconds: float = 0.0


@dataclass
class Clock:
    """``ratio`` is all training rows to those that a trial is fitted on; ``side`` trials go side by side."""

    search: Search
    plan: SearchPlan
    ratio: float
    side: int
    began: float = field(default_factory=time.monotonic)
    longest: float = 0.0
    spent_before: float = 0.0

    def count(self, result: TrialResult, *, taken_over: bool) -> None:
        """Learn from a trial that is over, made now or by an earlier try."""
        self.longest = max(self.longest, result.seconds)
        self.spent_before += result.seconds / self.side if taken_over else 0.0

    def find_stop(self, trials: int) -> str:
        """What leaves no time for so many more trials; empty when there is time.

        A trial should take no longer than the longest one until now, the fit no longer than that on all rows, or than
        it was forecast. What the very first one takes is not known.
        """
        after = time.monotonic() + -(-trials // self.side) * self.longest
        most = self.search.max_minutes
        if most is not None and after - self.began + self.spent_before > 60 * most:
            return f"search.max_minutes ({most:g})"
        fit = max(self.plan.fit_seconds, self.ratio * self.longest)
        passed = [limit for limit in self.plan.limits if after + fit > limit.until]
        return min(passed, key=lambda limit: limit.until).name if passed else ""
