"""Calendar arithmetic on whole columns: proleptic Gregorian dates, exact, and missing for what is no date."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_DAYS_BEFORE_MONTH = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], dtype=np.int64)
_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)


def count_day_of_year(year: Array, month: Array, day: Array) -> Array:
    """Day of the year, 1 January = 1, as float64; NaN where the three whole numbers are no date of years 1 to 9999."""
    years, of_year, valid = _resolve_dates(year, month, day)
    del years
    return np.where(valid, of_year.astype(np.float64), np.nan)


def count_day_of_week(year: Array, month: Array, day: Array) -> Array:
    """Day of the week, Monday = 0, as float64; NaN where the three whole numbers are no date of years 1 to 9999."""
    years, of_year, valid = _resolve_dates(year, month, day)
    before = years - 1
    # 1 January of year 1 was a Monday, and every year before this one moved the weekday by its days.
    days = 365 * before + before // 4 - before // 100 + before // 400 + of_year - 1
    return np.where(valid, (days % 7).astype(np.float64), np.nan)


def _resolve_dates(
    year: Array, month: Array, day: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Whole years, days of the year, and which rows are dates; the others hold a stand-in."""
    # NaN fails every comparison, so a missing part is caught by the ranges.
    ranges = (year >= 1) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    years = np.where(ranges, year, 1.0).astype(np.int64)
    months = np.where(ranges, month, 1.0).astype(np.int64)
    days = np.where(ranges, day, 1.0).astype(np.int64)
    whole = (years == year) & (months == month) & (days == day)
    leap = ((years % 4 == 0) & (years % 100 != 0)) | (years % 400 == 0)
    in_month = _DAYS_IN_MONTH[months] + (leap & (months == 2))
    of_year = _DAYS_BEFORE_MONTH[months] + (leap & (months > 2)) + days
    return years, of_year, whole & (days <= in_month)
