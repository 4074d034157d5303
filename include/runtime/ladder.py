"""Which rung a training is done on: the lowest that is in time, large enough and within the budget; and the next one
after a failure. Nothing here does anything: it judges figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from include.declaration.ladder import Ladder, Rung
from include.runtime.failures import CLIMBING, FailureKind

# A rung that is hardly quicker is not worth its price, and less than a forecast can tell.
_QUICKER = 0.9


@dataclass(frozen=True)
class Demand:
    """What one candidate's fit is expected to take on the lowest rung: seconds of wall clock and of processor time, and
    MB; the upper ends of their intervals are what is planned with. ``divisible`` says that it can use several workers,
    no more than ``parts`` where that is known; ``measured`` has the seconds that fits took on a rung, as forecast for
    these rows, by its name."""

    candidate: str
    seconds: float
    seconds_high: float
    cpu_seconds: float
    memory_high_mb: float
    divisible: bool = False
    parts: int | None = None
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outlook:
    """What a training would be on one rung: seconds of all fits (with the upper end), MB at once, cost."""

    rung: str
    seconds: float
    seconds_high: float
    memory_mb: float
    cost: float
    in_time: bool
    fits_memory: bool
    affordable: bool

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return self.in_time and self.fits_memory and self.affordable

    def describe(self) -> str:
        """Such as "big: 40 s (up to 52), 900 MB, cost 0.02; too slow"."""
        wrong = [
            text
            for text, holds in (
                ("too slow", self.in_time),
                ("too little memory", self.fits_memory),
                ("beyond the budget", self.affordable),
            )
            if not holds
        ]
        return (
            f"{self.rung}: {self.seconds:.0f} s (up to {self.seconds_high:.0f}), {self.memory_mb:.0f} MB, cost "
            f"{self.cost:.4f}" + (f"; {', '.join(wrong)}" if wrong else "")
        )


@dataclass(frozen=True)
class Choice:
    """The rung that was chosen and why. ``allowed`` is the seconds that the fits have, None without an SLA;
    ``forecast_from`` says what the figures are from: history, samples or nothing."""

    rung: str
    lowest: bool
    reason: str
    cost: float
    allowed: float | None
    outlooks: tuple[Outlook, ...] = ()
    forecast_from: str = "nothing"


def _split(rung: Rung, lowest: Rung, cores: int) -> int:
    """How many fits, or parts of one, go on side by side there."""
    own = rung.workers or rung.cores or cores
    return own if rung is lowest or "trials" in rung.speeds_up else min(own, cores)


def _time_fit(demand: Demand, rung: Rung, lowest: Rung, side: int) -> tuple[float, float]:
    """Expected and highest seconds of one fit on the rung: as measured there, or as declared."""
    ratio = demand.seconds_high / demand.seconds if demand.seconds else 1.0
    if rung.name in demand.measured:
        seconds = demand.measured[rung.name]
        return seconds, seconds * ratio
    seconds = demand.seconds
    if rung is not lowest:
        if "trials" in rung.speeds_up and demand.divisible:
            seconds = min(seconds, demand.cpu_seconds / min(side, demand.parts or side))
        if "rows" in rung.speeds_up:
            seconds /= rung.speed
    return seconds, seconds * ratio


def look_at(
    rung: Rung, ladder: Ladder, demands: Sequence[Demand], cores: int, allowed: float | None, spent: float
) -> Outlook:
    """What the training would be on the rung. ``cores`` are the worker's, ``spent`` is what the last 30 days cost."""
    lowest = ladder.rungs[0]
    side = _split(rung, lowest, cores)
    # A cluster takes one fit after the other, each with all of its workers.
    together = 1 if rung.kind == "dask" else min(side, len(demands))
    times = [_time_fit(demand, rung, lowest, side) for demand in demands]
    # Fits that share the places: no less than the longest, and than all of them divided by the places.
    seconds, high = (max(max(column), sum(column) / together) for column in zip(*times, strict=True))
    memory = sum(sorted((demand.memory_high_mb for demand in demands), reverse=True)[:together])
    cost = seconds / 3600 * rung.cost_per_hour
    over = ladder.budget_per_training is not None and cost > ladder.budget_per_training
    over |= ladder.budget_per_month is not None and cost > 0 and spent + cost > ladder.budget_per_month
    return Outlook(
        rung=rung.name,
        seconds=seconds,
        seconds_high=high,
        memory_mb=memory,
        cost=cost,
        in_time=allowed is None or high <= allowed,
        fits_memory=rung.memory_mb is None or memory <= rung.memory_mb,
        affordable=not over,
    )


def choose_rung(
    ladder: Ladder,
    demands: Sequence[Demand],
    *,
    cores: int,
    allowed: float | None,
    spent: float = 0.0,
    forecast_from: str = "history",
) -> Choice:
    """The lowest rung that is in time, large enough and affordable; where none is, the best that helps.

    Without demands (nothing is known) it is the lowest.
    """
    lowest = ladder.rungs[0].name
    if not demands:
        reason = "Nothing is known yet about how long the fits take, so the lowest rung is tried."
        return Choice(lowest, True, reason, 0.0, allowed)
    outlooks = tuple(look_at(rung, ladder, demands, cores, allowed, spent) for rung in ladder.rungs)
    first = outlooks[0]
    best = next((outlook for outlook in outlooks if outlook.good), None) or _choose_least_bad(outlooks)
    return Choice(
        rung=best.rung,
        lowest=best.rung == lowest,
        reason=_explain(first, best, outlooks, allowed),
        cost=best.cost,
        allowed=allowed,
        outlooks=outlooks,
        forecast_from=forecast_from,
    )


def _choose_least_bad(outlooks: Sequence[Outlook]) -> Outlook:
    """No rung is good: of those that can be paid and are large enough the lowest, unless another is clearly quicker."""
    affordable = [outlook for outlook in outlooks if outlook.affordable] or [outlooks[0]]
    # Where none is large enough the lowest is tried: the forecast may be wrong, and if not, the failure climbs.
    fitting = [outlook for outlook in affordable if outlook.fits_memory] or affordable[:1]
    best = fitting[0]
    for outlook in fitting[1:]:
        if outlook.seconds < _QUICKER * best.seconds:
            best = outlook
    return best


def _explain(first: Outlook, best: Outlook, outlooks: Sequence[Outlook], allowed: float | None) -> str:
    within = f" of the {allowed:.0f} s that the fits have" if allowed is not None else ""
    if best.good and best is first:
        return f"The lowest rung suffices: at most {best.seconds_high:.0f} s{within}, {best.memory_mb:.0f} MB."
    passed = "; ".join(outlook.describe() for outlook in outlooks if outlook is not best)
    if best.good:
        return (
            f"{best.rung} is the lowest rung that suffices: at most {best.seconds_high:.0f} s{within}, "
            f"{best.memory_mb:.0f} MB. Passed over: {passed}."
        )
    return f"No rung suffices{within}; {best.describe()} helps most. Passed over: {passed or 'none'}."


def find_next_rung(
    ladder: Ladder, rung: str, failure: FailureKind, *, divisible: bool, spent: float = 0.0
) -> tuple[str | None, str]:
    """The next rung that can mend the failure, and why it is that one; None, and why, where there is none."""
    if failure not in CLIMBING:
        return None, "A bigger machine does not mend this failure."
    now = ladder.find(rung)
    over = []
    for higher in ladder.above(rung):
        if ladder.budget_per_month is not None and higher.cost_per_hour > 0 and spent >= ladder.budget_per_month:
            over.append(higher.name)
            continue
        if _can_mend(now, higher, failure, divisible):
            return higher.name, f"{higher.name} is the next rung that helps ({', '.join(higher.speeds_up)})."
    told = f" The budget of the month is used up for {', '.join(over)}." if over else ""
    return None, f"No higher rung helps.{told}"


def _can_mend(now: Rung, higher: Rung, failure: FailureKind, divisible: bool) -> bool:
    if failure == "memory":
        larger = higher.memory_mb is not None and now.memory_mb is not None and higher.memory_mb > now.memory_mb
        return "memory" in higher.speeds_up or larger
    if failure == "time":
        return "rows" in higher.speeds_up or ("trials" in higher.speeds_up and divisible)
    # A lost worker may have been anything; whatever the machine is, it is another one.
    return True
