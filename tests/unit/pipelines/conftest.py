"""The real flights of January and February, read once."""

from __future__ import annotations

import pandas as pd
import pytest

from include.declaration import Pipeline
from include.declaration.loader import get_pipeline
from include.pipelines.flight_delays import landing, references
from include.pipelines.flight_delays.features import assemble_requests
from include.settings import load_settings


@pytest.fixture(scope="session")
def flights() -> pd.DataFrame:
    everything = landing.read_flights()
    return everything[everything["month"] <= 2].reset_index(drop=True)


@pytest.fixture(scope="session")
def weather() -> pd.DataFrame:
    return references.load_weather()


@pytest.fixture(scope="session")
def requests(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    return assemble_requests(flights, {"weather": weather})


@pytest.fixture(scope="session")
def declared() -> Pipeline:
    return get_pipeline(load_settings({}), "flight_delays")
