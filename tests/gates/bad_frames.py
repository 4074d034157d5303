"""For each rule of the suites of features and predictions: how to spoil a good frame so that only it stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def _change_one(column: str, value: Any) -> Spoil:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        changed.loc[changed.index[0], column] = value
        return changed

    return spoil


def _change_all(column: str, value: Any) -> Spoil:
    return lambda frame: frame.assign(**{column: value})


def _lose(column: str, share: float) -> Spoil:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        changed.loc[changed.index[: int(share * len(frame))], column] = None
        return changed

    return spoil


def _keep(rows: int) -> Spoil:
    return lambda frame: frame.head(rows)


def _freeze(column: str) -> Spoil:
    return lambda frame: frame.assign(**{column: frame[column].mean()})


BAD_FEATURES: dict[str, Spoil] = {
    "expect_table_row_count_to_be_between": _keep(500),
    "expect_column_values_to_not_be_null(hour)": _change_one("hour", None),
    "expect_column_values_to_not_be_null(day_of_week)": _change_one("day_of_week", None),
    "expect_column_values_to_not_be_null(distance)": _change_one("distance", None),
    "expect_column_values_to_not_be_null(carrier)": _change_one("carrier", None),
    "expect_column_values_to_be_between(hour)": _change_one("hour", 24.0),
    "expect_column_values_to_be_between(minute)": _change_one("minute", 60.0),
    "expect_column_values_to_be_between(arrival_minutes)": _change_one("arrival_minutes", 1500.0),
    "expect_column_values_to_be_between(day_of_week)": _change_one("day_of_week", 7.0),
    "expect_column_values_to_be_between(distance)": _change_one("distance", -1.0),
    "expect_column_values_to_be_between(temp)": _change_one("temp", 451.0),
    "expect_column_values_to_be_between(wind_speed)": _change_one("wind_speed", 1048.36058),
    "expect_column_values_to_be_between(visib)": _change_one("visib", 11.0),
    "expect_column_values_to_be_between(humid)": _change_one("humid", 140.0),
    "expect_column_values_to_be_between(plane_age)": _change_one("plane_age", 2013.0),
    "expect_column_values_to_be_between(recent_delay)": _change_one("recent_delay", float("inf")),
    "expect_column_proportion_of_non_null_values_to_be_between(temp)": _lose("temp", 0.5),
    "expect_column_proportion_of_non_null_values_to_be_between(wind_speed)": _lose("wind_speed", 0.5),
    "expect_column_proportion_of_non_null_values_to_be_between(dest_lat)": _lose("dest_lat", 0.5),
    "expect_column_proportion_of_non_null_values_to_be_between(plane_age)": _lose("plane_age", 0.6),
    "expect_column_proportion_of_non_null_values_to_be_between(recent_delay)": _lose("recent_delay", 0.6),
    "expect_column_stdev_to_be_between(temp)": _freeze("temp"),
}

BAD_PREDICTIONS: dict[str, Spoil] = {
    "expect_table_row_count_to_be_between": _keep(50),
    "expect_column_values_to_not_be_null(prediction)": _change_one("prediction", None),
    "expect_column_values_to_be_between(prediction)": _change_one("prediction", 1.5),
    "expect_column_stdev_to_be_between(prediction)": _change_all("prediction", 0.25),
    "expect_column_mean_to_be_between(prediction)": lambda frame: frame.assign(prediction=1 - frame["prediction"] / 10),
}
