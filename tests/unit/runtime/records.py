"""Records of fits that never happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from include.runtime.history import FitRecord, Phases

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def make_record(number: int = 0, *, rows: int = 100_000, seconds: float = 10.0, **changes: Any) -> FitRecord:
    """The ``number``th fit, one a day: ``seconds`` of wall clock and of processor time, nine tenths of it the fit."""
    phases = Phases(load=0.02 * seconds, features=0.05 * seconds, fit=0.9 * seconds, evaluate=0.03 * seconds)
    fields: dict[str, Any] = {
        "pipeline": "parcels",
        "candidate": "trees",
        "recipe": "recipe",
        "partition": f"p{number:03d}",
        "training_set": f"{number:032x}",
        "rows": rows,
        "holdout_rows": 400,
        "columns": 5,
        "partitions": number + 1,
        "rung": "worker",
        "threads": 1,
        "cores": 2,
        "seconds": phases,
        "cpu": phases,
        "base_mb": 400.0,
        "peak_mb": 400.0 + rows / 1000,
        "cost": 0.0,
        "finished_at": (BEGAN + timedelta(days=number)).isoformat(timespec="milliseconds"),
        "mlflow_run_id": f"{number:032x}",
        "dag_run": f"parcels.train_model/run-{number}",
    }
    return FitRecord(**{**fields, **changes})
