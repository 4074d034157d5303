"""What a candidate's fit took, as a record of the run-time history and as metrics of its MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from include.contracts import TrainingSet
from include.declaration.models import Pipeline
from include.records import utc_now
from include.runtime.expectation import Forecast
from include.runtime.history import FitRecord, name_recipe
from include.runtime.measure import Meter
from include.settings import Settings
from include.training.estimators import find_candidate
from include.training.storage import SET_FILE, parse_partition_versions


def describe_fit(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate_name: str,
    run_id: str,
    threads: int,
    meter: Meter,
    *,
    rung: str,
    dag_run: str,
    forecasts: Mapping[str, Forecast] | None = None,
    trials: int = 0,
) -> FitRecord:
    """The record of a fit that has just ended; ``meter`` has measured it, ``forecasts`` were made before, ``trials``
    were made of the declared search."""
    candidate = find_candidate(pipeline, candidate_name)
    return FitRecord(
        pipeline=pipeline.name,
        candidate=candidate_name,
        recipe=name_recipe(pipeline, candidate),
        partition=training_set.partition,
        training_set=training_set.digest,
        rows=training_set.train_rows,
        holdout_rows=training_set.holdout_rows,
        columns=len(pipeline.features),
        partitions=len(parse_partition_versions((Path(training_set.folder) / SET_FILE).read_bytes())),
        rung=rung,
        threads=threads,
        cores=settings.cores,
        seconds=meter.seconds,
        cpu=meter.cpu,
        base_mb=meter.base_mb,
        peak_mb=meter.peak_mb,
        cost=round(meter.seconds.total / 3600 * pipeline.training.ladder.find(rung).cost_per_hour, 6),
        finished_at=utc_now(),
        mlflow_run_id=run_id,
        dag_run=dag_run,
        forecasts=forecasts or {},
        trials=trials,
        trials_declared=candidate.search.trials if candidate.search else 0,
    )


def list_metrics(record: FitRecord) -> dict[str, float]:
    """The record's figures under MLflow's names of them, and what had been expected beside what came."""
    seconds = {f"{name}_seconds": getattr(record.seconds, name) for name in ("load", "features", "fit", "evaluate")}
    if record.trials_declared:
        seconds |= {"search_seconds": record.seconds.search, "search_trials": float(record.trials)}
    expected = {}
    for quantity, forecast in record.forecasts.items():
        expected[f"forecast_{quantity}"] = forecast.value
        expected[f"forecast_{quantity}_low"] = forecast.low
        expected[f"forecast_{quantity}_high"] = forecast.high
    return {
        **seconds,
        **expected,
        "fit_cpu_seconds": record.fit_cpu_seconds,
        "cpu_seconds": record.cpu_seconds,
        "wall_seconds": record.wall_seconds,
        "base_memory_mb": record.base_mb,
        "peak_memory_mb": record.peak_mb,
        "cost": record.cost,
    }
