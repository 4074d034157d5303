"""Historical flights to the requests that a caller would have sent one hour before each scheduled departure.

Time is compared in UTC (``time_hour`` plus ``minute``), where no hour is missing or doubled when clocks change; the
request's own date and hour are New York's local ones, since timetables and people follow those.

Rows are assembled together, as one table in time: the congestion of one flight is made of the others. So only the
first hours of a window's oldest partition lack their past, and there it is missing. Flights set aside by the gate, or
of a partition that was blocked, are not there to be counted either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NOTICE_MINUTES = 60
WEATHER_MAX_AGE_MINUTES = 180
CONGESTION_MINUTES = 180

_NUMBERS = ("year", "month", "day", "hour", "minute", "sched_arr_time", "distance", "flight")
_TEXTS = ("carrier", "origin", "dest", "tailnum")
_WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")


def assemble_requests(rows: pd.DataFrame, references: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the request of each flight in ``rows``, aligned with it: everything known an hour before it leaves.

    ``references`` holds ``weather``. Weather is the last observation at the origin at least one hour and at most four
    hours before the scheduled departure; congestion is of the other flights that had really left the origin in the
    three hours ending one hour before.
    """
    origins = rows["origin"].to_numpy(dtype=object)
    scheduled = read_minutes(rows["time_hour"]) + rows["minute"].to_numpy(dtype=np.float64)
    known = scheduled - NOTICE_MINUTES
    columns: dict[str, Any] = {name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in _NUMBERS}
    columns |= {name: rows[name].astype(object).where(rows[name].notna(), None) for name in _TEXTS}
    columns |= find_weather(origins, known, references["weather"])
    delays = rows["dep_delay"].to_numpy(dtype=np.float64, na_value=np.nan)
    columns["recent_delay"], columns["recent_departures"] = measure_congestion(origins, scheduled, known, delays)
    return pd.DataFrame(columns, index=rows.index)


def read_minutes(moments: pd.Series[Any]) -> NDArray[np.float64]:
    """Minutes since 1970 in UTC, NaN for missing; a timestamp without a zone is taken as UTC."""
    stamps = pd.to_datetime(moments, utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[m]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64).astype(np.float64))


def find_weather(
    origins: NDArray[Any], known: NDArray[np.float64], weather: pd.DataFrame
) -> dict[str, NDArray[np.float64]]:
    """The last observation at each origin at or before ``known`` (minutes since 1970), if it is at most 3 h old."""
    found = {name: np.full(len(known), np.nan) for name in _WEATHER}
    times = read_minutes(weather["time_hour"])
    places = weather["origin"].to_numpy(dtype=object)
    for origin in set(origins.tolist()):
        flights = np.flatnonzero((origins == origin) & ~np.isnan(known))
        observations = np.flatnonzero(places == origin)
        observations = observations[np.argsort(times[observations], kind="stable")]
        last = np.searchsorted(times[observations], known[flights], side="right") - 1
        flights, last = flights[last >= 0], last[last >= 0]
        fresh = known[flights] - times[observations][last] <= WEATHER_MAX_AGE_MINUTES
        flights, chosen = flights[fresh], observations[last[fresh]]
        for name, values in found.items():
            values[flights] = weather[name].to_numpy(dtype=np.float64, na_value=np.nan)[chosen]
    return found


def measure_congestion(
    origins: NDArray[Any], scheduled: NDArray[np.float64], known: NDArray[np.float64], delays: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean departure delay (minutes) and number of the other flights that left each origin in the 3 h before ``known``.

    Both are missing where the three hours begin before the first flight of all rows; the mean also where none left.
    """
    means, counts = np.full(len(known), np.nan), np.full(len(known), np.nan)
    left = scheduled + delays
    begin = np.nanmin(scheduled) if np.isfinite(scheduled).any() else np.inf
    for origin in set(origins.tolist()):
        here = origins == origin
        flights = np.flatnonzero(here & (known - CONGESTION_MINUTES >= begin))
        gone = np.flatnonzero(here & ~np.isnan(left))
        gone = gone[np.argsort(left[gone], kind="stable")]
        departures = left[gone]
        totals = np.concatenate([[0.0], np.cumsum(delays[gone])])
        until = known[flights]
        low = np.searchsorted(departures, until - CONGESTION_MINUTES, side="left")
        high = np.searchsorted(departures, until, side="left")
        # A flight that left more than an hour early would count itself: its own departure is not known beforehand.
        own = (left[flights] >= until - CONGESTION_MINUTES) & (left[flights] < until)
        number = (high - low - own).astype(np.float64)
        total = totals[high] - totals[low] - np.where(own, delays[flights], 0.0)
        counts[flights] = number
        means[flights] = np.divide(total, number, out=np.full(len(flights), np.nan), where=number > 0)
    return means, counts
