"""What the next fit will take, by what the fits before took; and whether it then took what was to be expected.

Growth of the data and a slowdown at equal rows are two things: the first is in the forecast before the fit begins, the
second shows when the fit took longer than the forecast for the very rows that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from include.declaration.models import Pipeline
from include.runtime.expectation import ENOUGH_FOR_ALARM, Forecast, Point
from include.runtime.history import FitRecord, list_fits, name_recipe
from include.settings import Settings

# Data that grew by less makes no run significantly longer.
_GROWN = 1.1

# A search that was stopped early says nothing about how long the next one would take that is not: both are looked at as
# if every declared trial had been made.
QUANTITIES: Mapping[str, Callable[[FitRecord], float]] = {
    "cpu_seconds": lambda fit: fit.complete(fit.cpu),
    "wall_seconds": lambda fit: fit.complete(fit.seconds),
    "peak_memory_mb": lambda fit: fit.peak_mb,
}


def list_points(fits: Sequence[FitRecord], quantity: str) -> list[Point]:
    """What the fits took, oldest first."""
    return [Point(fit.rows, QUANTITIES[quantity](fit)) for fit in fits]


def forecast_from(fits: Sequence[FitRecord], rows: int, source: str = "history") -> dict[str, Forecast]:
    """Each quantity at so many rows by the fits, oldest first; empty without any."""
    from include.runtime.scaling import foretell

    made = {quantity: foretell(list_points(fits, quantity), rows, quantity) for quantity in QUANTITIES}
    return {quantity: replace(one, source=source) for quantity, one in made.items() if one is not None}


def forecast_fit(
    settings: Settings, pipeline: Pipeline, candidate: str, rows: int, *, rung: str, but: str = ""
) -> dict[str, Forecast]:
    """What a fit of the candidate should take on the rung, by the fits there of what is declared today.

    ``but`` is an MLflow run that does not count: the one that is about to be made (again). Empty without any fit.
    """
    return forecast_from(list_past_fits(settings, pipeline, candidate, rung=rung, but=but), rows)


def list_past_fits(
    settings: Settings, pipeline: Pipeline, candidate: str, *, rung: str, but: str = ""
) -> list[FitRecord]:
    """Finished fits of the candidate as it is declared today, oldest first, without the MLflow run ``but``."""
    declared = next(each for each in pipeline.training.candidates if each.name == candidate)
    fits = list_fits(settings, pipeline.name, candidate=candidate, rung=rung, recipe=name_recipe(pipeline, declared))
    return [fit for fit in fits if fit.mlflow_run_id != but]


@dataclass(frozen=True)
class Growth:
    """Whether the data makes a run longer: what is expected at the rows of the last run and at those of this one, by
    the same curve, so that nothing but the rows differs."""

    rows_before: int
    rows: int
    before: float
    expected: float
    grows: bool

    @property
    def factor(self) -> float:
        """How many times as long."""
        return self.expected / self.before

    def describe(self) -> str:
        """One sentence."""
        rows = f"{self.rows_before:,} rows at the last training, {self.rows:,} now"
        return f"Expected to take {self.factor:.2f} times as long because the data grew ({rows})."


def judge_growth(fits: Sequence[FitRecord], rows: int, quantity: str = "wall_seconds") -> Growth | None:
    """Whether ``rows`` make the run longer than the last of the fits (oldest first); None without any fit."""
    if not fits:
        return None
    from include.runtime.scaling import learn_scaling

    scaling = learn_scaling(list_points(fits, quantity), rows)
    if scaling is None:
        return None
    now, before = scaling.at(rows, quantity), scaling.at(fits[-1].rows, quantity)
    grows = rows > fits[-1].rows and now.value > _GROWN * before.value
    return Growth(fits[-1].rows, rows, before.value, now.value, grows)


@dataclass(frozen=True)
class Slowdown:
    """Whether a run took longer than its rows explain. ``enough`` says whether past runs allow a verdict at all;
    without enough of them ``slower`` is False."""

    quantity: str
    rows: int
    expected: float
    low: float
    high: float
    alarm: float
    actual: float
    enough: bool
    slower: bool

    @property
    def factor(self) -> float:
        """How many times as long as expected."""
        return self.actual / self.expected

    def describe(self) -> str:
        """One sentence."""
        unit = "CPU seconds" if "cpu" in self.quantity else "seconds"
        return (
            f"It took {self.actual:.1f} {unit}, {self.factor:.2f} times what is expected of {self.rows:,} rows "
            f"({self.expected:.1f}, nine of ten {self.low:.1f} to {self.high:.1f}): not the data made it slower."
        )


def judge_slowdown(forecast: Forecast, actual: float) -> Slowdown:
    """Compare an outcome with the forecast for the same rows."""
    enough = forecast.runs >= ENOUGH_FOR_ALARM and forecast.source == "history"
    slower = enough and actual > forecast.alarm and actual > forecast.high
    return Slowdown(
        forecast.quantity,
        forecast.rows,
        forecast.value,
        forecast.low,
        forecast.high,
        forecast.alarm,
        actual,
        enough,
        slower,
    )
