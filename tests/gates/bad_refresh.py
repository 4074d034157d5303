"""For each rule of ``flight_delays_refresh``: how to spoil a good month so that only this rule stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

Spoil = Callable[[pd.DataFrame], pd.DataFrame]
# Two rows in a hundred: more than a rule with mostly = 0.99 tolerates.
_SHARE = 0.02


def _flown(frame: pd.DataFrame) -> int:
    """Position of a flight that arrived."""
    return int(frame["arr_delay"].notna().to_numpy().argmax())


def _change_one(column: str, value: Any) -> Spoil:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        if value is None and pd.api.types.is_integer_dtype(changed[column]):
            changed[column] = changed[column].astype("Int64")
        changed.loc[_flown(frame), column] = value
        return changed

    return spoil


def _change_some(column: str, value: Any) -> Spoil:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        flown = changed.index[changed["arr_delay"].notna()][: int(_SHARE * len(frame))]
        changed.loc[flown, column] = value
        return changed

    return spoil


def _thin_out(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(len(frame) // 2, random_state=2)


def _move_year(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[0, "year"] = 2012
    changed.loc[0, "time_hour"] -= pd.DateOffset(years=1)
    return changed


def _move_month(frame: pd.DataFrame) -> pd.DataFrame:
    # The first of March is still on winter time, so local and UTC hours keep agreeing.
    changed = frame.copy()
    changed.loc[0, "month"] = 3
    changed.loc[0, "time_hour"] += pd.DateOffset(months=1)
    return changed


def _lose_day(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["day"] != 28]


def _spoil_minute(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[0, "minute"] = 75
    changed.loc[0, "sched_dep_time"] = changed.loc[0, "hour"] * 100 + 75
    return changed


def _spoil_clock(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[0, "minute"] = (changed.loc[0, "minute"] + 1) % 60
    return changed


def _shift_utc(frame: pd.DataFrame) -> pd.DataFrame:
    # Local time written as if it were UTC.
    changed = frame.copy()
    changed["time_hour"] -= pd.Timedelta(hours=5)
    return changed


def _repeat_row(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.head(1)], ignore_index=True)


def _lose_arrivals(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[changed.index[: len(frame) // 8], "arr_delay"] = None
    return changed


def _delay_all(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    changed["arr_delay"] = (changed["arr_delay"] + 60).clip(upper=1440)
    return changed


BAD_REFRESHES: dict[str, Spoil] = {
    "expect_table_row_count_to_be_between": _thin_out,
    "expect_column_values_to_be_between(year)": _move_year,
    "expect_column_values_to_be_between(month)": _move_month,
    "expect_column_unique_value_count_to_be_between(day)": _lose_day,
    "expect_column_values_to_not_be_null(carrier)": _change_one("carrier", None),
    "expect_column_values_to_not_be_null(sched_dep_time)": _change_one("sched_dep_time", None),
    "expect_column_values_to_not_be_null(dest)": _change_one("dest", None),
    "expect_column_values_to_match_regex(carrier)": _change_one("carrier", "<b>"),
    "expect_column_values_to_match_regex(dest)": _change_one("dest", "SEAT"),
    "expect_column_values_to_match_regex(tailnum)": _change_one("tailnum", "N 14228"),
    "expect_column_values_to_be_in_set(origin)": _change_one("origin", "PHL"),
    "expect_column_values_to_be_between(minute)": _spoil_minute,
    "unexpected_rows_expectation(hour and minute are those of the scheduled departure)": _spoil_clock,
    "unexpected_rows_expectation(local date and hour agree with the UTC hour)": _shift_utc,
    "unexpected_rows_expectation(one row per hour, carrier, flight and origin)": _repeat_row,
    "expect_column_values_to_be_between(dep_delay)": _change_some("dep_delay", 9999.0),
    "expect_column_values_to_be_between(arr_delay)": _change_some("arr_delay", -500.0),
    "expect_column_values_to_be_between(distance)": _change_some("distance", 99999),
    "expect_column_values_to_be_between(air_time)": _change_one("air_time", 5000.0),
    "expect_column_proportion_of_non_null_values_to_be_between(arr_delay)": _lose_arrivals,
    "unexpected_rows_expectation(a flight that never departed has no arrival delay and no air time)": _change_one(
        "dep_time", None
    ),
    "expect_column_mean_to_be_between(arr_delay)": _delay_all,
}
