"""What the mails about run times say: growth of the data, a slowdown at equal rows, and a bigger machine."""

from __future__ import annotations

from include.declaration.models import Pipeline
from include.links import link_mlflow_run
from include.mail.compose import Mail
from include.mail.letters import write_mail
from include.runtime.expectation import Forecast
from include.runtime.forecast import Growth, Slowdown
from include.runtime.history import FitRecord
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
