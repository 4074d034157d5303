"""Evaluates CloudWatch's alarms, which moto only stores: each period of each alarm, from the metrics really there."""

from __future__ import annotations

import json
import operator
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends

from config.sagemaker_emulator.clock import Clock
from config.sagemaker_emulator.formulas import compute_formula
from config.sagemaker_emulator.metric_statistics import compute_statistic

_POLL_SECONDS = 0.05
# Metrics of a period may come this much later (real seconds) than it ends.
_LATE_SECONDS = 0.15
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def decide_state(values: Sequence[float | None], alarm: Alarm) -> str | None:
    """OK, ALARM or INSUFFICIENT_DATA from the values of the evaluated periods (None: missing), or None to keep what
    it is.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html, "Configuring how
    CloudWatch alarms treat missing data".
    """
    treatment = alarm.treat_missing_data or "missing"
    is_breaching = _COMPARISONS[alarm.comparison_operator]
    present = [value for value in values if value is not None]
    missing = len(values) - len(present)
    breaching = sum(is_breaching(value, float(alarm.threshold)) for value in present)
    if treatment == "breaching":
        breaching += missing
    wanted = int(alarm.datapoints_to_alarm or alarm.evaluation_periods)
    if breaching >= wanted:
        return "ALARM"
    if not present and treatment == "missing":
        return "INSUFFICIENT_DATA"
    if not present and treatment == "ignore":
        return None
    return "OK"


@dataclass(frozen=True)
class _Wanted:
    """A metric as an alarm names it."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str


@dataclass
class _Known:
    """An alarm as it was at the last look; ``evaluated`` is the number of the period that was evaluated last."""

    alarm: Alarm
    evaluated: int


class AlarmEvaluator:
    """Looks at every alarm when one of its periods ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str, str], _Known] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Evaluate until the emulator stops."""
        while not self._clock.is_stopped:
            self.evaluate(time.time())
            self._clock.wait_real(_POLL_SECONDS)

    def adopt_new(self) -> None:
        """A new alarm has INSUFFICIENT_DATA until its first evaluation, and a changed one what it had; moto begins
        with OK each time."""
        with self._lock:
            found: dict[tuple[str, str, str], _Known] = {}
            for backend in _list_backends():
                for name, alarm in list(backend.alarms.items()):
                    key = (backend.account_id, backend.region_name, name)
                    known = self._known.get(key)
                    if known is None or known.alarm is not alarm:
                        state = "INSUFFICIENT_DATA" if known is None else known.alarm.state_value
                        alarm.update_state("Unchecked: Initial alarm creation", "{}", state)
                        known = _Known(alarm, int(time.time() / self._read_period(alarm)))
                    found[key] = known
            self._known = found

    def evaluate(self, now: float) -> None:
        """Evaluate what is due at ``now`` (seconds since 1970)."""
        self.adopt_new()
        for (account, region, _), known in self._known.items():
            period = self._read_period(known.alarm)
            ended = int((now - _LATE_SECONDS) / period)
            if known.alarm.rule is None and ended > known.evaluated:
                known.evaluated = ended
                self._evaluate_alarm(cloudwatch_backends[account][region], known.alarm, ended * period, period)

    def _read_period(self, alarm: Alarm) -> float:
        """Its period in real seconds."""
        periods = [int(q.metric_stat.period) for q in alarm.metric_data_queries if q.metric_stat is not None]
        return (max([*periods, int(alarm.period or 0)]) or 60) * self._clock.scale

    def _evaluate_alarm(self, backend: CloudWatchBackend, alarm: Alarm, end: float, period: float) -> None:
        count = int(alarm.evaluation_periods)
        series = {
            name: _read_series(backend, wanted, end, period, count) for name, wanted in _list_wanted(alarm).items()
        }
        values = _combine(alarm, series, count)
        state = decide_state(values, alarm)
        if state is None or state == alarm.state_value:
            return
        shown = ", ".join("missing" if value is None else f"{value:g}" for value in values)
        reason = f"Threshold {alarm.comparison_operator} {float(alarm.threshold):g}; datapoints, oldest first: {shown}"
        alarm.update_state(reason, json.dumps({"recentDatapoints": values, "threshold": alarm.threshold}), state)


def _list_backends() -> list[CloudWatchBackend]:
    return [backend for account in list(cloudwatch_backends.values()) for backend in list(account.values())]


def _list_wanted(alarm: Alarm) -> dict[str, _Wanted]:
    if not alarm.metric_data_queries:
        dimensions = frozenset((each.name or "", each.value or "") for each in alarm.dimensions)
        statistic = alarm.statistic or alarm.extended_statistic or "Average"
        return {"": _Wanted(alarm.namespace, alarm.metric_name, dimensions, statistic)}
    wanted = {}
    for query in alarm.metric_data_queries:
        if (stat := query.metric_stat) is not None:
            dimensions = frozenset((each.name or "", each.value or "") for each in stat.metric.dimensions)
            wanted[query.id] = _Wanted(stat.metric.namespace, stat.metric.metric_name, dimensions, stat.stat)
    return wanted


def _combine(alarm: Alarm, series: dict[str, list[float | None]], count: int) -> list[float | None]:
    """The one series that is compared: the metric, or the expression that returns data."""
    if not alarm.metric_data_queries:
        return series[""]
    expressions = [query for query in alarm.metric_data_queries if query.expression]
    for query in expressions:
        series[query.id] = [
            compute_formula(str(query.expression), {name: values[position] for name, values in series.items()})
            for position in range(count)
        ]
    returned = [q for q in alarm.metric_data_queries if str(q.return_data).lower() not in {"false", "none"}]
    return series[(returned or alarm.metric_data_queries)[-1].id]


def _read_series(
    backend: CloudWatchBackend, wanted: _Wanted, end: float, period: float, count: int
) -> list[float | None]:
    """The statistic in each of the ``count`` periods before ``end``, oldest first."""
    start = end - count * period
    found: list[list[Any]] = [[] for _ in range(count)]
    for datum in reversed(backend.metric_data):
        moment = _read_timestamp(datum.timestamp)
        if moment < start - 60:  # they come nearly in order
            break
        if not start <= moment < end or datum.namespace != wanted.namespace or datum.name != wanted.name:
            continue
        if frozenset((each.name, each.value) for each in datum.dimensions) == wanted.dimensions:
            found[min(count - 1, int((moment - start) / period))].append(datum)
    return [compute_statistic(wanted.statistic, data) for data in found]


def _read_timestamp(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
