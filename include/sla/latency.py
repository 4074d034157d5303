"""Prediction latency: what the endpoint itself counts, held against the declared objective.

Asked of the endpoint's own ``GET /metrics`` (``tollgate_request_seconds``, a histogram by model version), on a schedule
and soon after another version answers: each version is judged by its own answers since it was judged last, so a change
of data, features or kind of model shows in the figures of the version that it made.
"""

from __future__ import annotations

import math
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from include.mail.compose import Mail
from include.mail.letters import write_mail
from include.settings import Settings
from include.sla.clock import write_moment, write_time
from include.sla.memory import Memory
from include.sla.misses import record_miss
from include.sla.plan import PlannedLatency, PlannedPipeline

_BUCKET = re.compile(r"^tollgate_request_seconds_bucket\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
# An objective that is just kept is called missed by chance once in a million looks: once in two years of minutes.
_CHANCE = 1e-6
# After another version has begun to answer its figures are looked at this often, for that long.
_SOON_SECONDS, _FRESH_SECONDS = 5.0, 120.0
# One that goes back and forth around its objective is told about once in that time.
_QUIET_SECONDS = 3600.0
_PATIENCE = 3.0

Counts = dict[float, float]


@dataclass(frozen=True)
class Breach:
    """Of ``requests`` answers ``slow`` took surely longer than ``objective`` ms, where (1 − quantile) of them may;
    the quantile itself lies between ``low`` and ``high`` ms."""

    quantile: float
    objective: float
    requests: int
    slow: int
    low: float
    high: float


def read_counts(text: str) -> dict[str, Counts]:
    """Model version to upper bound in seconds to the answers that took no longer, from the text of /metrics."""
    found: dict[str, Counts] = {}
    for labels, value in _BUCKET.findall(text):
        named = dict(_LABEL.findall(labels))
        found.setdefault(named.get("model_version", ""), {})[float(named["le"])] = float(value)
    return found


def subtract_counts(now: Counts, before: Counts) -> Counts:
    """What was counted since ``before``; everything when the endpoint was started anew meanwhile."""
    if any(now.get(bound, 0.0) < count for bound, count in before.items()):
        return dict(now)
    return {bound: count - before.get(bound, 0.0) for bound, count in now.items()}


def chance_of_more(successes: int, trials: int, share: float) -> float:
    """P(X ≥ successes) of a binomial X; the tail is summed in logarithms, so no factorial overflows."""
    if successes <= 0:
        return 1.0
    total = 0.0
    for k in range(successes, trials + 1):
        log = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        term = math.exp(log + k * math.log(share) + (trials - k) * math.log1p(-share))
        total += term
        if k > trials * share and term < total * 1e-9:
            break
    return min(total, 1.0)


def judge_quantile(counts: Counts, quantile: float, objective: float) -> Breach | None:
    """The breach of one objective (ms), or None. What lies in the objective's own bucket counts as in time."""
    bounds = sorted(counts)
    total = round(counts[bounds[-1]])
    in_time = next(counts[bound] for bound in bounds if bound * 1000 >= objective)
    slow = total - round(in_time)
    if not total or chance_of_more(slow, total, 1 - quantile) >= _CHANCE:
        return None
    at = next(i for i, bound in enumerate(bounds) if counts[bound] >= quantile * total)
    low = bounds[at - 1] if at else 0.0
    return Breach(quantile, objective, total, slow, low * 1000, bounds[at] * 1000)


@dataclass
class _Endpoint:
    """What is remembered of one endpoint, for as long as the watcher lives."""

    before: dict[str, Counts] = field(default_factory=dict)
    next_look: float = 0.0
    fresh_until: float = 0.0
    known: bool = False


class LatencyWatch:
    """Judges endpoints when their time comes."""

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory
        self._endpoints: dict[str, _Endpoint] = {}

    def _fetch(self, planned: PlannedLatency) -> dict[str, Counts] | None:
        request = urllib.request.Request(planned.address)  # noqa: S310 - an address of ours
        if self._settings.endpoint_token is not None:
            request.add_header("Authorization", f"Bearer {self._settings.endpoint_token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_PATIENCE) as answer:
                return read_counts(answer.read().decode())
        except (OSError, urllib.error.URLError, ValueError):
            return None  # an endpoint that does not answer has other watchers

    def look(self, plan: PlannedPipeline, now: float) -> int:
        """Ask and judge, if it is time; returns the number of new misses."""
        planned = plan.latency
        if planned is None:
            self._endpoints.pop(plan.name, None)
            return 0
        state = self._endpoints.setdefault(plan.name, _Endpoint())
        if now < state.next_look:
            return 0
        counts = self._fetch(planned)
        state.next_look = now + min(planned.every, _SOON_SECONDS if counts is None else planned.every)
        if counts is None:
            return 0
        if not state.known:
            # What was answered before anybody watched is not judged.
            state.known, state.before = True, counts
        if set(counts) - set(state.before):
            state.fresh_until = now + _FRESH_SECONDS
        if now < state.fresh_until:
            state.next_look = now + min(_SOON_SECONDS, planned.every)
        new = 0
        for version, current in counts.items():
            since = subtract_counts(current, state.before.setdefault(version, {}))
            if round(max(since.values(), default=0)) >= planned.requests:
                state.before[version] = current
                new += self._judge(plan, planned, version, since, now)
        return new

    def _judge(self, plan: PlannedPipeline, planned: PlannedLatency, version: str, since: Counts, now: float) -> int:
        new = 0
        for quantile, objective in planned.objectives.items():
            breach = judge_quantile(since, float(quantile), objective)
            key = f"{plan.name}/{version}/{quantile}"
            if breach is None or now < self._memory.slow.get(key, 0.0) + _QUIET_SECONDS:
                continue
            self._memory.slow[key] = now
            mail = describe_slow_answers(self._settings, plan, version, breach, now)
            facts = {"kind": "latency", "version": version, "noticed": now, "limit": f"{objective:g} ms"}
            new += record_miss(self._settings, plan, mail, {**facts, "slow": breach.slow, "requests": breach.requests})
        return new


def describe_slow_answers(settings: Settings, plan: PlannedPipeline, version: str, breach: Breach, now: float) -> Mail:
    """The endpoint answers more slowly than declared."""
    name = f"p{breach.quantile * 100:g}"
    high = "more" if math.isinf(breach.high) else f"{breach.high:g} ms"
    return write_mail(
        plan.name,
        plan.owner,
        key=f"sla/latency/{version}/{name}/{write_time(now)}",
        tone="bad",
        subject=f"version {version} answers slowly: {name} above {breach.objective:g} ms",
        headline=f"Version {version} misses its latency objective: {name} is to be {breach.objective:g} ms",
        lines=(
            f"{breach.slow:,} of {breach.requests:,} answers took surely longer, "
            f"{breach.slow / breach.requests:.1%} where {1 - breach.quantile:.0%} may.",
            "What Tollgate does: the version goes on answering; if this lasts you are told again in an hour.",
        ),
        facts=(
            (name, f"between {breach.low:g} ms and {high}"),
            ("Objective", f"{breach.objective:g} ms"),
            ("Answers", f"{breach.requests:,}, up to {write_moment(now)}"),
        ),
        next_step="Compare with the version before (make rollback), or give the endpoint more workers or a machine.",
        links=[("What is served and why", f"{settings.airflow_public_url}/tollgate/")],
    )
