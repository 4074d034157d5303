"""The figure's arithmetic: only the past is known, and a candidate of milliseconds is left out."""

from __future__ import annotations

import dataclasses

import pytest

from bench.forecast.__main__ import foretell_year, make_rows
from include.runtime.history import FitRecord
from tests.unit.runtime.records import make_record


def make_year(last: float = 1.0) -> list[FitRecord]:
    """Twelve months of 10,000 rows more each, exactly in proportion; the last one takes ``last`` times as long."""
    year = [make_record(month, rows=10_000 * (month + 1), seconds=2.0 * (month + 1)) for month in range(12)]
    odd = make_record(11, rows=120_000, seconds=24.0 * last)
    tiny = [make_record(month, candidate="naive", rows=10_000 * (month + 1), seconds=0.001) for month in range(12)]
    return [*year[:11], odd, *tiny]


def test_nine_months_of_the_candidate_that_takes_time_are_foretold() -> None:
    told = foretell_year(make_year())
    assert [(each.candidate, each.inside) for each in told] == [("trees", True)] * 9
    assert max(each.error for each in told) < 1e-6
    assert [each.partition for each in told][:2] == ["p003", "p004"]


def test_a_forecast_does_not_know_what_it_foretells() -> None:
    calm, odd = foretell_year(make_year()), foretell_year(make_year(last=2.0))
    assert [each.value for each in odd] == [each.value for each in calm]
    median_row, worst_row, inside_row = make_rows(odd)
    assert median_row.value < 1e-6
    assert worst_row.value == pytest.approx(50)
    assert worst_row.ratio == pytest.approx(1.0)
    assert inside_row.value == pytest.approx(100 * 8 / 9)


def test_what_is_foretold_is_the_fit_alone() -> None:
    year = [dataclasses.replace(fit, cpu=dataclasses.replace(fit.cpu, evaluate=99.0)) for fit in make_year()]
    assert [each.actual for each in foretell_year(year)] == [each.actual for each in foretell_year(make_year())]
