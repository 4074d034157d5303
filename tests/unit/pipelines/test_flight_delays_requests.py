"""Requests of flight_delays: what was known an hour before, by UTC, with the data's own defects treated on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.declaration import Pipeline
from include.errors import LeakageFound
from include.pipelines.flight_delays.features import assemble_requests
from include.pipelines.flight_delays.references import load_airports, load_planes
from include.scoring.row_features import RowFeatures
from include.training.assembly import assemble
from include.training.dataset import dump_features
from include.training.leakage import probe_leakage
from include.training.references import write_tables


def _flight(time_hour: str, minute: int = 0, dep_delay: float | None = 0.0, origin: str = "JFK") -> dict[str, Any]:
    local = pd.Timestamp(time_hour).tz_convert("America/New_York")
    return {
        "year": local.year, "month": local.month, "day": local.day, "hour": local.hour, "minute": minute,
        "time_hour": time_hour, "sched_arr_time": 1200, "distance": 500, "flight": 1, "carrier": "UA",
        "origin": origin, "dest": "IAH", "tailnum": "N1", "dep_delay": dep_delay,
    }  # fmt: skip


def _observed(moments: Mapping[str, float], origin: str = "JFK") -> pd.DataFrame:
    frame = pd.DataFrame({"origin": origin, "time_hour": pd.to_datetime(list(moments), utc=True)})
    for name in ("dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"):
        frame[name] = 1.0
    return frame.assign(temp=list(moments.values()))


_NO_WEATHER = _observed({})


def _assemble(flights: list[dict[str, Any]], weather: pd.DataFrame = _NO_WEATHER) -> pd.DataFrame:
    return assemble_requests(pd.DataFrame(flights), {"weather": weather})


def test_weather_is_the_last_observation_at_least_an_hour_before() -> None:
    """The hour of the departure itself is not known yet, nor is what was seen 59 minutes before."""
    weather = _observed({"2013-05-01T10:00Z": 50.0, "2013-05-01T11:00Z": 51.0, "2013-05-01T12:00Z": 52.0})
    flights = [_flight("2013-05-01T12:00Z", minute) for minute in (0, 59)] + [_flight("2013-05-01T11:00Z", 59)]
    assert _assemble(flights, weather)["temp"].tolist() == [51.0, 51.0, 50.0]


def test_weather_older_than_three_hours_or_of_another_airport_is_missing() -> None:
    weather = _observed({"2013-05-01T10:00Z": 50.0})
    flights = [
        _flight("2013-05-01T14:00Z"),
        _flight("2013-05-01T14:00Z", 1),
        _flight("2013-05-01T12:00Z", origin="LGA"),
    ]
    found = _assemble(flights, weather)["temp"].tolist()
    assert found[0] == 50.0
    assert np.isnan(found[1:]).all()


def test_hours_are_compared_in_utc_while_the_request_keeps_local_time() -> None:
    """When clocks are set back, 01:00 happens twice: two observations, each for its own flight."""
    weather = _observed({"2013-11-03T05:00Z": 53.0, "2013-11-03T06:00Z": 51.0})
    found = _assemble([_flight("2013-11-03T06:00Z", 10), _flight("2013-11-03T07:00Z", 10)], weather)
    assert found["temp"].tolist() == [53.0, 51.0]
    assert found["hour"].tolist() == [1.0, 2.0]


def test_every_way_to_write_the_hour_gives_the_same_requests(flights: pd.DataFrame, weather: pd.DataFrame) -> None:
    """Text, a UTC timestamp, one in another zone, and one without a zone (which is UTC) mean the same hour."""
    rows = flights.iloc[:3000]
    expected = assemble_requests(rows, {"weather": weather})
    stamps = rows["time_hour"]
    for other in (
        stamps.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        stamps.dt.tz_convert("Asia/Tokyo"),
        stamps.dt.tz_localize(None).dt.as_unit("ns"),
    ):
        pd.testing.assert_frame_equal(assemble_requests(rows.assign(time_hour=other), {"weather": weather}), expected)


def test_congestion_counts_other_flights_that_had_really_left() -> None:
    flights = [
        _flight("2013-05-01T06:00Z"),  # the first of all rows: before it nothing is known
        _flight("2013-05-01T08:00Z", dep_delay=-1.0),  # left a minute too early to count
        _flight("2013-05-01T08:00Z", dep_delay=0.0),  # left as the three hours begin
        _flight("2013-05-01T09:00Z", dep_delay=30.0),  # left within them
        _flight("2013-05-01T10:00Z", dep_delay=60.0),  # left as they end: not yet known
        _flight("2013-05-01T10:00Z", dep_delay=None),  # cancelled
        _flight("2013-05-01T10:00Z", dep_delay=500.0, origin="EWR"),
        _flight("2013-05-01T12:00Z", dep_delay=5.0),
    ]
    found = _assemble(flights).iloc[-1]
    assert found["recent_departures"] == 2.0
    assert found["recent_delay"] == 15.0


def test_a_flight_never_counts_its_own_departure() -> None:
    """Not even one that left more than an hour before its schedule."""
    flights = [_flight("2013-05-01T02:00Z"), _flight("2013-05-01T12:00Z", dep_delay=-90.0)]
    found = _assemble(flights).iloc[-1]
    assert found["recent_departures"] == 0.0
    assert np.isnan(found["recent_delay"])
    found = _assemble([*flights, _flight("2013-05-01T10:00Z", dep_delay=20.0)]).iloc[1]
    assert (found["recent_departures"], found["recent_delay"]) == (1.0, 20.0)


def test_congestion_is_missing_where_the_rows_do_not_reach_back() -> None:
    found = _assemble([_flight("2013-05-01T08:00Z"), _flight("2013-05-01T11:59Z"), _flight("2013-05-01T12:00Z")])
    assert found["recent_departures"].isna().tolist() == [True, True, False]


def test_a_month_sees_the_last_flights_of_the_month_before(flights: pd.DataFrame, weather: pd.DataFrame) -> None:
    """Why a window is assembled as one table: alone, February's first hours would have no past."""
    february = flights["month"] == 2
    together = assemble_requests(flights, {"weather": weather})[february]["recent_departures"]
    alone = assemble_requests(flights[february], {"weather": weather})["recent_departures"]
    assert together.notna().all()
    assert 0 < alone.isna().sum() < 300
    same = alone.notna() & (together.index > february.idxmax() + 1000)
    assert (alone[same] == together[same]).all()


def test_real_requests_are_as_declared(declared: Pipeline, flights: pd.DataFrame, weather: pd.DataFrame) -> None:
    made = assemble(declared, flights, {"weather": weather})
    assert list(made.columns) == list(declared.request.columns)
    assert made["temp"].isna().mean() < 0.01
    assert made["recent_delay"].isna().mean() < 0.10
    assert made["recent_departures"].isna().mean() < 0.01


def test_the_impossible_wind_is_missing_and_the_rest_of_its_hour_is_kept(weather: pd.DataFrame) -> None:
    gust = (weather["origin"] == "EWR") & (weather["time_hour"] == pd.Timestamp("2013-02-12T08:00Z"))
    assert weather.loc[gust, "wind_speed"].isna().all()
    assert weather.loc[gust, "temp"].notna().all()
    assert weather["wind_speed"].max() < 60


def test_weather_hours_are_unique_in_utc_and_the_doubled_local_hour_is_two(weather: pd.DataFrame) -> None:
    assert not weather.duplicated(["origin", "time_hour"]).any()
    november = weather[weather["time_hour"].between("2013-11-03T05:00Z", "2013-11-03T06:00Z")]
    assert november.groupby("origin").size().to_dict() == {"EWR": 2, "JFK": 2, "LGA": 2}


def test_local_dates_of_the_request_are_not_the_utc_ones(flights: pd.DataFrame, requests: pd.DataFrame) -> None:
    """An evening flight belongs to its New York day, though in UTC the next one has begun."""
    other_day = flights["time_hour"].dt.day != flights["day"]
    assert other_day.sum() > 1000
    assert (requests["day"] == flights["day"]).all()
    assert (requests["hour"] == flights["time_hour"].dt.tz_convert("America/New_York").dt.hour).all()


@pytest.fixture(scope="module")
def row_features(declared: Pipeline) -> RowFeatures:
    tables = write_tables(declared, {"planes": load_planes(), "airports": load_airports()})
    return RowFeatures(dump_features(declared), tables.decode())


def test_a_flight_has_the_same_features_alone_as_among_others(
    row_features: RowFeatures, requests: pd.DataFrame
) -> None:
    """Parity on real flights: what the model was trained on is what a caller gets, to the last bit."""
    chosen = requests.sample(200, random_state=1)
    batch = row_features.transform(requests).loc[chosen.index]
    alone = pd.concat([row_features.transform(chosen.loc[[row]]) for row in chosen.index])
    pd.testing.assert_frame_equal(alone, batch, check_exact=True)


def test_unknown_planes_and_airports_are_missing_and_nothing_else_is(
    row_features: RowFeatures, requests: pd.DataFrame
) -> None:
    features = row_features.transform(requests)
    known = requests["tailnum"].isin(load_planes()["tailnum"])
    assert 0.75 < known.mean() < 0.95
    assert (features["seats"].notna() == known).all()
    assert (features["manufacturer"].notna() == known).all()
    assert set(requests.loc[features["dest_lat"].isna(), "dest"]) == {"BQN", "PSE", "SJU", "STT"}
    assert features[["hour", "arrival_minutes", "day_of_week", "season_sine", "distance"]].notna().all().all()


def test_features_of_one_flight_by_hand(row_features: RowFeatures, requests: pd.DataFrame) -> None:
    """UA 1545, EWR to IAH, Tuesday 1 January 2013, 05:15, arrival due 08:19, on a plane of 1999."""
    first = row_features.transform(requests.iloc[[0]]).iloc[0]
    assert (first["hour"], first["minute"], first["arrival_minutes"]) == (5.0, 15.0, 499.0)
    assert (first["day_of_week"], first["plane_age"], first["carrier"], first["dest"]) == (1.0, 14.0, "UA", "IAH")
    assert first["season_sine"] == pytest.approx(np.sin(2 * np.pi / 365))


def test_the_honest_assembly_passes_the_probe_and_one_that_knows_the_delay_does_not(
    declared: Pipeline, flights: pd.DataFrame, weather: pd.DataFrame, requests: pd.DataFrame
) -> None:
    rows, references = flights.iloc[:8000], {"weather": weather}

    def honest(changed: pd.DataFrame) -> pd.DataFrame:
        return assemble(declared, changed, references)

    def leaking(changed: pd.DataFrame) -> pd.DataFrame:
        return honest(changed).assign(recent_delay=changed["dep_delay"])

    probe_leakage(declared, rows, honest(rows), honest)
    with pytest.raises(LeakageFound, match="recent_delay"):
        probe_leakage(declared, rows, leaking(rows), leaking)
