"""What a candidate's requests came to, counted since its rollout began, and whether that takes it back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import log
from typing import Any

from include.declaration.delivery import AutoRollback
from include.deployment.sequential import Evidence, bet_on_failures, bet_on_shift, find_strongest, mirror, mix_starts

# Customers and probes are judged apart: many good probes must not outweigh a few customers who get errors.
SOURCES = ("customer", "probe")
_GOOD = "answered"
# Neither good nor bad: what both versions refuse, and requests held up by a stall that was counted, or was everybody's.
_NEUTRAL = ("both_refused", "stall")
_BILLION = 1e9
# A new bet begins every second, later on rarer: a hundred of them reach over an hour.
_FIRST_PAUSE = 1.0
_PAUSE_SHARE = 0.05


@dataclass
class SourceTally:
    """Counts of one source; ``starts`` is what its evidence was when each bet began."""

    outcomes: Counter[str] = field(default_factory=Counter)
    evidence: Evidence = field(default_factory=Evidence)
    starts: list[Evidence] = field(default_factory=lambda: [Evidence()])


@dataclass(frozen=True)
class Finding:
    """Why a candidate is taken back: the criterion's name, and the figures in a sentence."""

    statistic: str
    sentence: str


class Tally:
    """The counts of one rollout, from what the endpoint says again and again. ``baseline`` is what it said before."""

    def __init__(self, criteria: AutoRollback, baseline: Mapping[str, Any], now: float) -> None:
        self._criteria = criteria
        self._seen = dict(baseline)
        self._began = now
        self._last_start = now
        self.sources = {source: SourceTally() for source in SOURCES}
        shift = criteria.max_mean_shift
        tests = len(SOURCES) * (1 if shift is None else 3)
        self._enough = log(tests / criteria.false_alarm)

    @property
    def requests(self) -> int:
        """How many requests have a verdict, whoever sent them."""
        return sum(tally.evidence.asked for tally in self.sources.values())

    @property
    def failed(self) -> int:
        """How many of them failed; the champion answered these."""
        return sum(tally.evidence.failed for tally in self.sources.values())

    def has_enough(self) -> bool:
        """Whether the candidate was asked as often as the declaration wants before anything is judged."""
        given = sum(sum(tally.outcomes.values()) for tally in self.sources.values())
        return given >= self._criteria.minimum_requests

    def has_enough_to_pass(self) -> bool:
        """Whether so many have a verdict: what both versions refuse, and a stall, proves nothing for the candidate."""
        return self.requests >= self._criteria.minimum_requests

    def add(self, counts: Mapping[str, Any], now: float) -> None:
        """Take in the endpoint's counts. Counts that went back are those of an endpoint that was started anew."""
        for source in SOURCES:
            tally = self.sources[source]
            new, old = counts.get(source, {}), self._seen.get(source, {})
            outcomes = _subtract(new.get("outcomes", {}), old.get("outcomes", {}))
            tally.outcomes.update(outcomes)
            asked = sum(count for outcome, count in outcomes.items() if outcome not in _NEUTRAL)
            pairs, difference, spread = _subtract_sums(new.get("differences"), old.get("differences"))
            tally.evidence += Evidence(
                asked, asked - outcomes.get(_GOOD, 0), pairs, difference / _BILLION, spread / _BILLION
            )
        self._seen = dict(counts)
        if now - self._last_start >= max(_FIRST_PAUSE, _PAUSE_SHARE * (now - self._began)):
            self._last_start = now
            for tally in self.sources.values():
                tally.starts.append(replace(tally.evidence))

    def find_problem(self) -> Finding | None:
        """The criterion that is met, if any; none before there are enough requests."""
        if not self.has_enough():
            return None
        for source, tally in self.sources.items():
            found = self._find_failures(source, tally) or self._find_shift(source, tally)
            if found is not None:
                return found
        return None

    def _find_failures(self, source: str, tally: SourceTally) -> Finding | None:
        allowed = self._criteria.max_failure_rate
        bet = partial(bet_on_failures, allowed=allowed)
        if mix_starts(tally.evidence, tally.starts, bet) < self._enough:
            return None
        found = find_strongest(tally.evidence, tally.starts, bet)
        return Finding(
            "max_failure_rate",
            f"{found.failed} of the last {found.asked} {source} requests failed, where {allowed:.3g} of them may "
            f"(in all: {self._list_reasons(tally)}); the champion answered these",
        )

    def _find_shift(self, source: str, tally: SourceTally) -> Finding | None:
        allowed = self._criteria.max_mean_shift
        if allowed is None:
            return None
        bet = partial(bet_on_shift, allowed=allowed)
        sides = [
            (tally.evidence, tally.starts, 1),
            (mirror(tally.evidence), [mirror(start) for start in tally.starts], -1),
        ]
        for evidence, starts, sign in sides:
            if mix_starts(evidence, starts, bet) >= self._enough:
                found = find_strongest(evidence, starts, bet)
                return Finding(
                    "max_mean_shift",
                    f"its mean prediction is {sign * found.difference / found.pairs:+.3g} from the champion's on the "
                    f"same last {found.pairs} {source} requests, where ±{allowed:.3g} is allowed",
                )
        return None

    def _list_reasons(self, tally: SourceTally) -> str:
        reasons = ((name, count) for name, count in tally.outcomes.items() if name not in (_GOOD, *_NEUTRAL))
        return ", ".join(f"{count} {name}" for name, count in sorted(reasons, key=lambda item: -item[1]))

    def describe(self) -> dict[str, dict[str, Any]]:
        """The counts as plain JSON, for the ledger."""
        return {
            source: {
                "outcomes": dict(tally.outcomes),
                "pairs": tally.evidence.pairs,
                "mean_difference": tally.evidence.difference / tally.evidence.pairs if tally.evidence.pairs else None,
            }
            for source, tally in self.sources.items()
        }


def _subtract(new: Mapping[str, int], old: Mapping[str, int]) -> dict[str, int]:
    anew = any(new.get(name, 0) < count for name, count in old.items())
    return {name: count - (0 if anew else old.get(name, 0)) for name, count in new.items()}


def _subtract_sums(new: list[int] | None, old: list[int] | None) -> tuple[int, int, int]:
    pairs, difference, spread = new or (0, 0, 0)
    if old is None or pairs < old[0]:
        return pairs, difference, spread
    return pairs - old[0], difference - old[1], spread - old[2]
