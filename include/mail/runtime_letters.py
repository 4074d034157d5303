"""What the mails about run times say: growth of the data, a slowdown at equal rows, and a bigger machine."""

from __future__ import annotations

from collections.abc import Mapping

from include.contracts import TrainingSet
from include.declaration.models import Pipeline
from include.links import link_mlflow_run
from include.mail.compose import Mail
from include.mail.letters import write_mail
from include.runtime.attempts import Attempt
from include.runtime.expectation import Forecast
from include.runtime.forecast import Growth, Slowdown
from include.runtime.history import FitRecord
from include.runtime.ladder import Choice
from include.settings import Settings


def describe_growth(
    pipeline: Pipeline, candidate: str, partition: str, growth: Growth, forecast: Forecast, allowed: float, key: str
) -> Mail:
    """A refresh has so many rows that a fit alone will take most of the time that the training has."""
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"growth/{key}/{candidate}",
        tone="warn",
        subject=f"training for {partition} will be slow: the data grew",
        headline=f"The data grew: fitting {candidate} for {partition} is expected to take {forecast.value:.0f} s",
        lines=(
            growth.describe(),
            f"The training has {allowed:.0f} s in all (sla.train_model). It goes on; nothing was stopped.",
        ),
        facts=(
            ("Forecast", forecast.describe()),
            ("Rows", f"{growth.rows:,} (last training {growth.rows_before:,})"),
            ("At the last training's rows", f"{growth.before:.1f} s"),
        ),
        next_step="Declare a bigger rung in training.ladder, a shorter training.window, or a longer SLA.",
        links=[],
    )


def describe_slowdown(settings: Settings, pipeline: Pipeline, record: FitRecord, slowdown: Slowdown, why: str) -> Mail:
    """A fit took longer than its rows explain."""
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"slowdown/{record.mlflow_run_id}",
        tone="warn",
        subject=f"training for {record.partition} was slower than its rows explain",
        headline=f"Fitting {record.candidate} for {record.partition} took {slowdown.factor:.1f} times as long as usual "
        "at this size",
        lines=(slowdown.describe(), why),
        facts=(
            ("Rows", f"{record.rows:,}"),
            ("Took", f"{record.wall_seconds:.1f} s, {record.cpu_seconds:.1f} CPU s, {record.peak_mb:.0f} MB"),
            *((name.replace("_", " "), forecast.describe()) for name, forecast in record.forecasts.items()),
            ("Rung", record.rung),
        ),
        next_step="Compare this run with the one before in MLflow: parameters, libraries, machine, the code.",
        links=[("Run in MLflow", link_mlflow_run(settings, record.mlflow_run_id))],
    )


def describe_rung(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, choice: Choice, parent_run_id: str, key: str
) -> Mail:
    """A training begins on a rung that is not the lowest: why, and what it costs."""
    currency = pipeline.training.ladder.currency
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"rung/{key}/{choice.rung}",
        tone="warn",
        subject=f"training for {training_set.partition} begins on {choice.rung}",
        headline=f"The training for {training_set.partition} begins on {choice.rung}, at about {choice.cost:.4f} "
        f"{currency}",
        lines=(choice.reason, "The model is the same whatever the rung; the next training chooses anew."),
        facts=(
            ("Rows", f"{training_set.train_rows:,}"),
            ("The fits have", "no limit" if choice.allowed is None else f"{choice.allowed:.0f} s"),
            ("Forecast from", choice.forecast_from),
            ("Expected cost", f"{choice.cost:.4f} {currency}"),
            *((outlook.rung, outlook.describe().partition(": ")[2]) for outlook in choice.outlooks),
        ),
        next_step="Nothing, if the cost is fine; otherwise lower the budget in training.ladder, or lengthen the SLA.",
        links=[("Training in MLflow", link_mlflow_run(settings, parent_run_id))],
    )


def describe_climb(
    settings: Settings,
    pipeline: Pipeline,
    rung: str,
    problems: Mapping[str, Attempt],
    parent_run_id: str,
    key: str,
) -> Mail:
    """Fits failed on their rung in a way that the next one may mend, and go on there."""
    ladder = pipeline.training.ladder
    names = ", ".join(problems)
    price = ladder.find(rung).cost_per_hour
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"climb/{key}/{rung}/{names}",
        tone="warn",
        subject=f"training goes on on {rung}",
        headline=f"The fit of {names} failed and goes on on {rung}, at {price:.2f} {ladder.currency} an hour",
        lines=tuple(
            f"{name} on {each.rung}: {each.failure or 'lost'}. {each.problem}" for name, each in problems.items()
        ),
        facts=(("Rung", rung), ("Price", f"{price:.2f} {ladder.currency} an hour")),
        next_step="Nothing now. If it happens again, declare the lower rung's true memory_mb: it is passed over then.",
        links=[("Training in MLflow", link_mlflow_run(settings, parent_run_id))],
    )
