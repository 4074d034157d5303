"""The declaration of ``flight_delays``: what arrives, what a caller knows, what the model sees, what it must pass."""

from __future__ import annotations

from include.declaration import (
    BlessingRules,
    Calibration,
    Candidate,
    Change,
    Data,
    Deployment,
    Label,
    Leakage,
    LocalTarget,
    Pipeline,
    PredictionRule,
    Quarantine,
    Reference,
    Request,
    RequestColumn,
    Sla,
    Slice,
    Threshold,
    Training,
)
from include.scoring.expressions import (
    Arithmetic,
    Column,
    Cosine,
    DayOfWeek,
    DayOfYear,
    Feature,
    HourMinute,
    Lookup,
    Sine,
)


def _required(kind: str, description: str) -> RequestColumn:
    return RequestColumn(type=kind, required=True, description=description)


def _optional(kind: str, description: str) -> RequestColumn:
    return RequestColumn(type=kind, required=False, description=description)


_DATE = (Column("year"), Column("month"), Column("day"))
_DAY_OF_YEAR = DayOfYear(*_DATE)


def _plane(column: str) -> Lookup:
    # One flight in six is flown by a plane that the register does not hold: its facts are then missing, on purpose.
    return Lookup("planes", Column("tailnum"), column)


def _airport(column: str) -> Lookup:
    # Four destinations (BQN, PSE, SJU, STT) are not in the table of airports: missing likewise.
    return Lookup("airports", Column("dest"), column)


PIPELINE = Pipeline(
    name="flight_delays",
    owner=("ml-owner@example.com",),
    description="Will a flight leaving New York arrive more than 15 minutes late? Asked one hour before it leaves",
    data=Data(
        columns={
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
        },
        partition_format="%Y-%m",
        schedule="0 0 1 * *",
        first="2013-01",
        last="2013-12",
        suite="flight_delays_refresh",
        suite_parameters={"min_rows": 15_000, "max_rows": 60_000},
        quarantine=Quarantine(max_share=0.01),
    ),
    references={
        "planes": Reference(load="references:load_planes", key="tailnum"),
        "airports": Reference(load="references:load_airports", key="faa"),
        "weather": Reference(load="references:load_weather"),
    },
    label=Label(
        function="labels:mark_late",
        definition=(
            "1 when the flight arrived more than 15 minutes after its schedule (arr_delay > 15), else 0. Cancelled and "
            "diverted flights have no arrival delay and so no label: the model is about flights that arrive, and says "
            "nothing about the risk of a cancellation."
        ),
        # By month, 1 % to 5 % of flights have no label and 13 % to 33 % of the others are late.
        max_missing_share=0.10,
        base_rate=(0.05, 0.50),
    ),
    request=Request(
        columns={
            "year": _required("number", "scheduled departure, New York local date"),
            "month": _required("number", "scheduled departure, New York local date"),
            "day": _required("number", "scheduled departure, New York local date"),
            "hour": _required("number", "scheduled departure, New York local time"),
            "minute": _required("number", "scheduled departure, New York local time"),
            "sched_arr_time": _required("number", "scheduled arrival as HHMM, local time of the destination"),
            "carrier": _required("string", "two-letter carrier code"),
            "origin": _required("string", "EWR, JFK or LGA"),
            "dest": _required("string", "FAA code of the destination"),
            "distance": _required("number", "miles between the airports"),
            "flight": _optional("number", "flight number; identifies the request, no feature reads it"),
            "tailnum": _optional("string", "tail number of the plane, once it is assigned"),
            "temp": _optional("number", "°F at the origin, last observation at least 1 h before departure"),
            "dewp": _optional("number", "dew point in °F, same observation"),
            "humid": _optional("number", "relative humidity in %, same observation"),
            "wind_dir": _optional("number", "degrees, same observation"),
            "wind_speed": _optional("number", "mph, same observation"),
            "precip": _optional("number", "inches, same observation"),
            "pressure": _optional("number", "millibars at sea level, same observation"),
            "visib": _optional("number", "miles, same observation"),
            "recent_delay": _optional(
                "number", "mean departure delay in minutes of the flights that left the origin from 4 h to 1 h before"
            ),
            "recent_departures": _optional("number", "how many flights those were"),
        },
        assemble="features:assemble_requests",
    ),
    leakage=Leakage(known_after=("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"), probe_rows=20),
    features=(
        Feature("hour", Column("hour")),
        Feature("minute", Column("minute")),
        Feature("arrival_minutes", HourMinute(Column("sched_arr_time"))),
        Feature("day_of_week", DayOfWeek(*_DATE)),
        Feature("season_sine", Sine(_DAY_OF_YEAR, 365.0)),
        Feature("season_cosine", Cosine(_DAY_OF_YEAR, 365.0)),
        Feature("carrier", Column("carrier"), kind="category"),
        Feature("origin", Column("origin"), kind="category"),
        Feature("dest", Column("dest"), kind="category"),
        Feature("distance", Column("distance")),
        Feature("dest_lat", _airport("lat")),
        Feature("dest_lon", _airport("lon")),
        Feature("dest_alt", _airport("alt")),
        Feature("plane_age", Arithmetic("-", Column("year"), _plane("year"))),
        Feature("seats", _plane("seats")),
        Feature("engines", _plane("engines")),
        Feature("engine", _plane("engine"), kind="category"),
        Feature("manufacturer", _plane("manufacturer"), kind="category"),
        Feature("temp", Column("temp")),
        Feature("dewp", Column("dewp")),
        Feature("humid", Column("humid")),
        Feature("wind_dir", Column("wind_dir")),
        Feature("wind_speed", Column("wind_speed")),
        Feature("precip", Column("precip")),
        Feature("pressure", Column("pressure")),
        Feature("visib", Column("visib")),
        Feature("recent_delay", Column("recent_delay")),
        Feature("recent_departures", Column("recent_departures")),
    ),
    training=Training(
        candidates=(
            Candidate(name="boosted_trees", kind="boosted_trees", parameters={"max_iter": 100}),
            Candidate(name="linear", kind="linear"),
            Candidate(name="naive", kind="naive"),
        ),
        window=None,
        day_columns=("year", "month", "day"),
        features_suite="flight_delays_features",
    ),
    blessing=BlessingRules(
        primary_metric="roc_auc",
        # A coin has a Brier score of 0.25 and a log loss of 0.693: whatever does worse must not be served.
        value={
            "roc_auc": Threshold(minimum=0.60),
            "brier": Threshold(maximum=0.25),
            "log_loss": Threshold(maximum=0.69),
        },
        change=Change(metric="roc_auc", margin=0.005),
        slices=(
            Slice(column="origin", minimum=0.55, margin=0.05, required=("EWR", "JFK", "LGA")),
            Slice(column="carrier", minimum=0.50),
        ),
        predictions_suite="flight_delays_predictions",
        calibration=Calibration(max_gap=0.15),
    ),
    deployment=Deployment(
        target=LocalTarget(port_offset=0),
        # One hour before departure nothing is certain; a probability of 0 or 1 is a model that was fed nonsense, or is.
        prediction_rules=(PredictionRule(name="never_certain", minimum=1e-6, maximum=1 - 1e-6, action="champion"),),
    ),
    sla=Sla(train_model="30m", deploy_model="10m"),
)
