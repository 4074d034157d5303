"""The owner hears before a fit that the data grew, after it that it was slow at equal rows, and of nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from include.contracts import RunIdentity, TrainedModel, TrainingSet
from include.declaration import Pipeline, Sla
from include.runtime.forecast import forecast_from
from include.runtime.history import FitRecord, Phases, list_fits, name_recipe, write_fit
from include.settings import Settings
from include.steps.runtime import foresee_growth, read_allowance, report_slowdown
from tests.unit.factory import make_pipeline
from tests.unit.runtime.records import make_record

WHO = RunIdentity("parcels.train_model", "run-9", "fit_candidate", 1, 0, "http://airflow.test/task")


def make_late(limit: Any = "100s") -> Pipeline:
    return make_pipeline(sla=Sla(train_model=limit))


def fill(settings: Settings, pipeline: Pipeline, runs: int = 9, **changes: Any) -> list[FitRecord]:
    """A fit a month, 10,000 rows more each and 1 s for each 10,000."""
    recipe = name_recipe(pipeline, pipeline.training.candidates[0])
    made = []
    for number in range(runs):
        told = {"rows": 10_000 * (number + 1), "seconds": float(number + 1), "recipe": recipe, **changes}
        made.append(make_record(number, **told))
        write_fit(settings, made[-1])
    return made


def make_set(rows: int) -> TrainingSet:
    return TrainingSet("parcels", "2013-10", "/nowhere", "d" * 32, "w", rows, 400, 0.2, 0.2, 0, "2013-10", 0.1)


def note_fit(settings: Settings, past: list[FitRecord], rows: int, wall: float, cpu: float) -> TrainedModel:
    """The next fit's record as training writes it."""
    phases = [Phases(0.0, 0.0, seconds, 0.0) for seconds in (wall, cpu)]
    forecasts = forecast_from([fit for fit in past if fit.recipe == past[-1].recipe], rows)
    record = make_record(len(past), rows=rows, recipe=past[-1].recipe)
    record = dataclasses.replace(record, seconds=phases[0], cpu=phases[1], forecasts=forecasts)
    write_fit(settings, record)
    return TrainedModel("trees", record.mlflow_run_id, "models:/m", {}, wall, cpu, "")


def test_growth_is_said_before_the_fit_and_is_no_slowdown_after_it(settings: Settings) -> None:
    pipeline = make_late()
    past = fill(settings, pipeline)
    mail = foresee_growth(settings, pipeline, make_set(900_000), "trees", WHO)
    assert mail is not None
    assert "the data grew" in mail.subject
    assert "90,000 rows at the last training, 900,000 now" in mail.lines[0]
    assert "10.00 times as long" in mail.lines[0]
    assert report_slowdown(settings, pipeline, note_fit(settings, past, 900_000, 92.0, 91.0)) is None


def test_a_slowdown_at_equal_rows_is_said_after_the_fit_and_is_no_growth_before_it(settings: Settings) -> None:
    pipeline = make_late()
    past = fill(settings, pipeline)
    assert foresee_growth(settings, pipeline, make_set(90_000), "trees", WHO) is None
    mail = report_slowdown(settings, pipeline, note_fit(settings, past, 90_000, 95.0, 94.0))
    assert mail is not None
    assert "slower than its rows explain" in mail.subject
    assert "not the data made it slower" in mail.lines[0]
    assert "The work itself grew" in mail.lines[1]


def test_a_busy_machine_is_told_from_more_work(settings: Settings) -> None:
    pipeline = make_late()
    mail = report_slowdown(settings, pipeline, note_fit(settings, fill(settings, pipeline), 90_000, 60.0, 9.0))
    assert mail is not None
    assert "the machine was busy" in mail.lines[1]


def test_a_changed_declaration_is_named_as_the_reason(settings: Settings) -> None:
    pipeline = make_late()
    past = fill(settings, pipeline, recipe="as it was")
    trained = note_fit(settings, past, 90_000, 95.0, 94.0)
    (changed,) = [fit for fit in list_fits(settings, "parcels") if fit.mlflow_run_id == trained.run_id]
    write_fit(settings, dataclasses.replace(changed, recipe="as it is", forecasts={}))
    mail = report_slowdown(settings, pipeline, trained)
    assert mail is not None
    assert "declaration was changed" in mail.lines[1]


@pytest.mark.parametrize(("wall", "cpu"), [(9.0, 9.0), (11.0, 10.5)])
def test_what_is_usual_is_not_mailed(settings: Settings, wall: float, cpu: float) -> None:
    pipeline = make_late()
    trained = note_fit(settings, fill(settings, pipeline), 90_000, wall, cpu)
    assert report_slowdown(settings, pipeline, trained) is None


def test_a_quick_fit_that_took_three_times_as_long_makes_nobody_late(settings: Settings) -> None:
    pipeline = make_late()
    past = [
        dataclasses.replace(fit, seconds=Phases(0, 0, 0.5, 0), cpu=Phases(0, 0, 0.5, 0))
        for fit in fill(settings, pipeline)
    ]
    for fit in past:
        write_fit(settings, fit)
    assert report_slowdown(settings, pipeline, note_fit(settings, past, 90_000, 1.5, 1.5)) is None


def test_growth_that_stays_well_within_the_sla_or_is_of_too_few_runs_is_not_mailed(settings: Settings) -> None:
    pipeline = make_late("1h")
    fill(settings, pipeline)
    assert foresee_growth(settings, pipeline, make_set(900_000), "trees", WHO) is None
    assert foresee_growth(settings, make_late(None), make_set(900_000), "trees", WHO) is None
    few = make_late().model_copy(update={"name": "few"})
    for number in range(2):
        recipe = name_recipe(few, few.training.candidates[0])
        write_fit(settings, make_record(number, pipeline="few", rows=1000, recipe=recipe))
    assert foresee_growth(settings, few, make_set(900_000), "trees", WHO) is None


def test_the_time_that_a_training_has_is_the_shortest_that_is_declared() -> None:
    assert read_allowance(make_late("30m")) == 1800
    assert read_allowance(make_late(None)) is None
    several = make_late().sla.model_copy(update={"train_model": ("2 × usual", "1h", "20m")})
    assert read_allowance(make_late().model_copy(update={"sla": several})) == 1200
