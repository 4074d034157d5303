"""What a training's run time says to the owner: before a fit that its data grew, after it that it was slow."""

from __future__ import annotations

from datetime import datetime
from statistics import median

from include.contracts import RunIdentity, TrainedModel, TrainingSet
from include.declaration.models import Pipeline
from include.declaration.parts import parse_duration
from include.mail.compose import Mail
from include.mail.runtime_letters import describe_growth, describe_slowdown
from include.records import list_records
from include.runtime.expectation import Forecast
from include.runtime.forecast import QUANTITIES, Slowdown, forecast_from, judge_growth, judge_slowdown, list_past_fits
from include.runtime.history import FitRecord, list_fits, read_fit
from include.settings import Settings

# What a fit alone may be expected to take of the time that the whole training has, before the owner hears of it.
GROWTH_SHARE = 0.8
# Nobody's deployment is late by less, however many times as long a quick fit took.
LEAST_SECONDS = 5.0


def read_allowance(pipeline: Pipeline) -> float | None:
    """Seconds that a training may take by ``sla.train_model``, the shortest where several are declared; None without.

    A multiple of what is usual is no such time: it grows with what it should bound.
    """
    declared = pipeline.sla.train_model
    limits = [declared] if isinstance(declared, str) else list(declared or ())
    seconds = []
    for limit in limits:
        try:
            seconds.append(parse_duration(limit).total_seconds())
        except ValueError:
            continue
    return min(seconds, default=None)


def measure_rest(settings: Settings, pipeline: Pipeline) -> float:
    """Seconds that usually pass from the last fit's end to the verdict: the fits must leave them."""
    ends: dict[str, datetime] = {}
    for fit in list_fits(settings, pipeline.name):
        end = datetime.fromisoformat(fit.finished_at)
        ends[fit.dag_run.partition("/")[2]] = max(end, ends.get(fit.dag_run.partition("/")[2], end))
    rests = []
    for _, blessing in list_records(settings, pipeline.name, "blessing"):
        if blessing["run_id"] in ends:
            rests.append((datetime.fromisoformat(blessing["recorded_at"]) - ends[blessing["run_id"]]).total_seconds())
    return max(0.0, median(rests[-20:])) if rests else 0.0


def foresee_growth(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, candidate: str, identity: RunIdentity
) -> Mail | None:
    """The mail to send before a fit that will be long because its data grew; None where it will not be."""
    allowed = read_allowance(pipeline)
    past = list_past_fits(settings, pipeline, candidate, rung=pipeline.training.ladder.rungs[0].name)
    forecast = forecast_from(past, training_set.train_rows).get("wall_seconds")
    if allowed is None or forecast is None or not forecast.trusted or forecast.value <= GROWTH_SHARE * allowed:
        return None
    growth = judge_growth(past, training_set.train_rows)
    if growth is None or not growth.grows:
        return None
    key = f"{identity.dag_id}/{identity.run_id}"
    return describe_growth(pipeline, candidate, training_set.partition, growth, forecast, allowed, key)


def find_slowdown(settings: Settings, pipeline: Pipeline, record: FitRecord) -> tuple[Slowdown, str] | None:
    """By how much the fit was slower than its rows explain, and why as far as that can be told; None when it was not.

    Processor time is looked at first: it says that the work grew. Wall time alone says that the machine was busy.
    Where too few fits were made of what is declared now, it is held against those of before, which is then why.
    """
    forecasts, changed = dict(record.forecasts), False
    if all(forecast.runs == 0 or not judge_slowdown(forecast, 0.0).enough for forecast in forecasts.values()):
        before = list_fits(settings, pipeline.name, candidate=record.candidate, rung=record.rung)
        earlier = [fit for fit in before if fit.finished_at < record.finished_at]
        forecasts, changed = forecast_from(earlier, record.rows), True
    reasons = {
        "cpu_seconds": "The work itself grew: its code, a library, or what the data is like.",
        "wall_seconds": "Its processor time was as expected: the machine was busy with something else, or waited.",
    }
    for quantity, why in reasons.items():
        forecast: Forecast | None = forecasts.get(quantity)
        if forecast is None:
            continue
        verdict = judge_slowdown(forecast, QUANTITIES[quantity](record))
        if verdict.slower and verdict.actual - verdict.expected >= LEAST_SECONDS:
            return verdict, "The candidate's declaration was changed since those fits." if changed else why
    return None


def report_slowdown(settings: Settings, pipeline: Pipeline, trained: TrainedModel) -> Mail | None:
    """The mail to send after a fit that was slower than its rows explain."""
    record = read_fit(settings, pipeline.name, trained.run_id)
    found = None if record is None else find_slowdown(settings, pipeline, record)
    if record is None or found is None:
        return None
    slowdown, why = found
    return describe_slowdown(settings, pipeline, record, slowdown, why)
