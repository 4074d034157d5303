"""A tiny declared pipeline and its data, for unit tests that must not lean on the demo pipeline."""

from __future__ import annotations

import calendar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.declaration import (
    BlessingRules,
    Calibration,
    Candidate,
    Change,
    Data,
    Label,
    Leakage,
    Pipeline,
    Reference,
    Request,
    RequestColumn,
    Slice,
    Threshold,
    Training,
)
from include.scoring.expressions import Column, Feature, Lookup
from include.settings import Settings

COLUMNS = {
    "parcel_id": "int",
    "year": "int",
    "month": "int",
    "day": "int",
    "hour": "int",
    "carrier": "string",
    "depot": "string",
    "distance": "float",
    "weight": "float",
    "delay": "float",
}


def make_data(**changes: Any) -> Data:
    """The toy's ``data`` part: monthly from 2013-01, 0.2 s to settle; ``changes`` replace single fields."""
    fields: dict[str, Any] = {
        "columns": COLUMNS,
        "first": "2013-01",
        "settle_seconds": 0.2,
        "suite": "parcels_refresh",
    }
    return Data(**{**fields, **changes})


def make_pipeline(name: str = "parcels", *, data: dict[str, Any] | None = None, **changes: Any) -> Pipeline:
    """A valid declaration whose functions live in ``tests.unit.toy``.

    ``data`` replaces single fields of the data part; ``changes`` replace whole parts (``training=Training(...)``).
    """
    parts: dict[str, Any] = {
        "name": name,
        "owner": ("owner@example.com",),
        "description": "Parcels that arrive more than 15 minutes late",
        "data": make_data(**(data or {})),
        "references": {"carriers": Reference(load="features:load_carriers", key="carrier")},
        "label": Label(
            function="features:mark_late",
            definition="delay above 15 minutes",
            max_missing_share=0.1,
            base_rate=(0.05, 0.9),
        ),
        "request": Request(
            columns={
                "year": RequestColumn(type="number", required=True),
                "month": RequestColumn(type="number", required=True),
                "day": RequestColumn(type="number", required=True),
                "hour": RequestColumn(type="number", required=True),
                "carrier": RequestColumn(type="string", required=True),
                "depot": RequestColumn(type="string"),
                "distance": RequestColumn(type="number", required=True),
                "weight": RequestColumn(type="number"),
            },
            assemble="features:assemble_requests",
        ),
        "leakage": Leakage(known_after=("delay",)),
        "features": (
            Feature("hour", Column("hour")),
            Feature("distance", Column("distance")),
            Feature("weight", Column("weight")),
            Feature("carrier", Column("carrier"), kind="category"),
            Feature("fleet_age", Lookup("carriers", Column("carrier"), "fleet_age")),
        ),
        "training": Training(
            candidates=(
                Candidate(name="trees", kind="boosted_trees", parameters={"max_iter": 20}),
                Candidate(name="linear", kind="linear"),
                Candidate(name="naive", kind="naive"),
            ),
            day_columns=("year", "month", "day"),
            features_suite="parcels_features",
        ),
        "blessing": BlessingRules(
            value={"roc_auc": Threshold(minimum=0.6)},
            change=Change(resamples=100),
            slices=(Slice(column="depot", min_rows=50, min_per_class=5),),
            predictions_suite="parcels_predictions",
            calibration=Calibration(max_gap=0.2),
        ),
        "package": "tests.unit.toy",
        "folder": str(Path(__file__).parent / "toy"),
    }
    return Pipeline(**{**parts, **changes})


def make_rows(partition: str = "2013-01", rows: int = 400, seed: int = 1) -> pd.DataFrame:
    """Parcels of one month, in the declared columns and types; lateness follows hour, distance and carrier."""
    year, month = (int(piece) for piece in partition.split("-"))
    random = np.random.default_rng([seed, year, month])
    carrier = random.choice(["AA", "BB", "CC"], rows)
    hour = random.integers(5, 23, rows)
    distance = random.uniform(20, 2000, rows)
    late = 3.0 * (hour - 12) + 0.01 * distance + np.where(carrier == "CC", 20, -5)
    return pd.DataFrame(
        {
            "parcel_id": np.arange(rows, dtype="int64") + (year * 100 + month) * 1_000_000,
            "year": np.full(rows, year, dtype="int64"),
            "month": np.full(rows, month, dtype="int64"),
            "day": np.sort(random.integers(1, calendar.monthrange(year, month)[1] + 1, rows)).astype("int64"),
            "hour": hour.astype("int64"),
            "carrier": carrier.astype("object"),
            "depot": random.choice(["north", "south"], rows).astype("object"),
            "distance": distance,
            "weight": random.uniform(0.1, 30, rows),
            "delay": late + random.normal(0, 15, rows),
        }
    )


def land_rows(settings: Settings, pipeline: Pipeline, partition: str, frame: pd.DataFrame) -> Path:
    """Put ``frame`` in the landing folder as a complete file, as a careful writer does, and return its path."""
    folder = settings.landing_root / pipeline.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{partition}.parquet"
    part = path.with_name(path.name + ".part")
    frame.to_parquet(part, index=False)
    part.rename(path)
    path.with_name(path.name + ".done").touch()
    return path
