"""The same rules for every variant, as the suite that Tollgate's gate reads."""

from __future__ import annotations

from typing import Any

SUITE = "flights_bench"
COLUMNS = {
    "year": "int",
    "month": "int",
    "day": "int",
    "dep_time": "float",
    "sched_dep_time": "int",
    "dep_delay": "float",
    "arr_time": "float",
    "sched_arr_time": "int",
    "arr_delay": "float",
    "carrier": "string",
    "flight": "int",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "air_time": "float",
    "distance": "int",
    "hour": "int",
    "minute": "int",
    "time_hour": "timestamp",
}
KEY = ("time_hour", "carrier", "flight", "origin")
CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]
ORIGINS = ["EWR", "JFK", "LGA"]


def _rule(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


SHARED = [
    _rule("expect_table_row_count_to_be_between", min_value=1, max_value=100_000_000),
    _rule("expect_column_values_to_be_in_set", column="origin", value_set=ORIGINS),
    _rule("expect_column_values_to_be_in_set", column="carrier", value_set=CARRIERS),
    _rule("expect_column_values_to_not_be_null", column="dest"),
    _rule("expect_column_values_to_be_between", column="month", min_value=1, max_value=12),
    _rule("expect_column_values_to_be_between", column="hour", min_value=0, max_value=23),
    _rule("expect_column_values_to_be_between", column="distance", min_value=10, max_value=6000),
    _rule("expect_column_values_to_be_between", column="dep_delay", min_value=-60, max_value=1440),
    _rule("expect_column_proportion_of_non_null_values_to_be_between", column="arr_delay", min_value=0.9, max_value=1),
    _rule("expect_column_mean_to_be_between", column="arr_delay", min_value=-15, max_value=40),
    _rule("expect_column_stdev_to_be_between", column="arr_delay", min_value=1, max_value=200),
    _rule("expect_column_max_to_be_between", column="air_time", min_value=100, max_value=900),
    _rule("expect_column_value_lengths_to_equal", column="dest", value=3),
    _rule("expect_column_values_to_match_regex", column="tailnum", regex="^[A-Z0-9]{4,7}$"),
]
UNIQUE_STOCK = _rule("expect_compound_columns_to_be_unique", column_list=list(KEY))
UNIQUE_OURS = _rule(
    "unexpected_rows_expectation",
    unexpected_rows_query=f"SELECT {', '.join(KEY)}, count(*) AS n FROM {{batch}} GROUP BY ALL HAVING count(*) > 1",
)
RULES = len(SHARED) + 1
