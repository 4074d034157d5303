"""The run-time history: one record for each fit that was finished, in the ledger, readable without any server.

``records/<pipeline>/fit/<MLflow run id>.json``: a fit that is made again in the same MLflow run replaces its record,
one that is resumed writes none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from include.contracts import pack, unpack
from include.declaration.models import Candidate, Pipeline
from include.records import list_records, read_record, write_record
from include.runtime.expectation import Forecast
from include.settings import Settings

_KIND = "fit"


@dataclass(frozen=True)
class Phases:
    """Seconds of each phase: rows read, features computed, estimator fitted, holdout scored and explained; and, where
    there is one, of the search for parameters before the fit, with what was read and computed for it."""

    load: float
    features: float
    fit: float
    evaluate: float
    search: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.load + self.features + self.fit + self.evaluate + self.search


@dataclass(frozen=True)
class FitRecord:
    """What one fit took. ``seconds`` are of wall clock, ``cpu`` of processor time, worker processes included.

    ``peak_mb`` is the most resident memory that the fit's processes had from its beginning to its end, of which
    ``base_mb`` was there before it. ``recipe`` names what was fitted (candidate, parameters, features); ``cost`` is in
    the currency of the declared ladder; ``cores`` are the machine's; ``finished_at`` is ISO 8601 in UTC.
    ``forecasts`` is what had been expected, by quantity, from the fits before. ``trials`` of the search's
    ``trials_declared`` were made; a search may be stopped.
    """

    pipeline: str
    candidate: str
    recipe: str
    partition: str
    training_set: str
    rows: int
    holdout_rows: int
    columns: int
    partitions: int
    rung: str
    threads: int
    cores: int
    seconds: Phases
    cpu: Phases
    base_mb: float
    peak_mb: float
    cost: float
    finished_at: str
    mlflow_run_id: str
    dag_run: str = ""
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    trials: int = 0
    trials_declared: int = 0

    @property
    def fit_cpu_seconds(self) -> float:
        """Processor time of the estimator's fit alone."""
        return self.cpu.fit

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all phases."""
        return self.cpu.total

    @property
    def wall_seconds(self) -> float:
        """Wall clock of all phases."""
        return self.seconds.total

    def complete(self, of: Phases) -> float:
        """All phases of ``of`` (its wall clock or its processor time), the search as if all declared trials had been
        made: what another such fit should be given."""
        left = self.trials_declared - self.trials
        # Of a search that had no time at all only the fit itself is known, and a trial is hardly longer.
        trial = of.search / self.trials if self.trials else of.fit
        return of.total + left * trial


def name_recipe(pipeline: Pipeline, candidate: Candidate) -> str:
    """A digest of what is declared about the candidate's fit; the times of another recipe say little about it."""
    declared = {
        "kind": candidate.kind,
        "function": candidate.function,
        "parameters": candidate.parameters,
        "features": [repr(feature) for feature in pipeline.features],
    }
    if candidate.search is not None:
        declared["search"] = repr(candidate.search)
    return hashlib.sha256(json.dumps(declared, sort_keys=True, default=str).encode()).hexdigest()[:16]


def write_fit(settings: Settings, record: FitRecord) -> None:
    """Keep the record, in place of one of an earlier try of the same MLflow run."""
    write_record(settings, record.pipeline, _KIND, record.mlflow_run_id, pack(record))


def _parse(stored: dict[str, object]) -> FitRecord:
    return unpack(FitRecord, {name: value for name, value in stored.items() if name != "recorded_at"})


def read_fit(settings: Settings, pipeline_name: str, mlflow_run_id: str) -> FitRecord | None:
    """The record of one MLflow run, or None."""
    stored = read_record(settings, pipeline_name, _KIND, mlflow_run_id)
    return None if stored is None else _parse(stored)


def list_fits(
    settings: Settings,
    pipeline_name: str,
    *,
    candidate: str | None = None,
    rung: str | None = None,
    recipe: str | None = None,
) -> list[FitRecord]:
    """Finished fits, oldest first by ``finished_at``; a name that is given chooses."""
    fits = (_parse(stored) for _, stored in list_records(settings, pipeline_name, _KIND))
    wanted = {"candidate": candidate, "rung": rung, "recipe": recipe}
    chosen = {name: value for name, value in wanted.items() if value is not None}
    kept = [fit for fit in fits if all(getattr(fit, name) == value for name, value in chosen.items())]
    return sorted(kept, key=lambda fit: fit.finished_at)
