"""Which try of a fit is under way on which rung, so that the next one knows that it was killed and did not just fail.

``records/<pipeline>/attempt/<MLflow run>@<rung>.json``, one for a candidate's run and rung, rewritten by each try.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from include.contracts import pack, unpack
from include.records import list_records, read_record, utc_now, write_record
from include.runtime.failures import FailureKind
from include.settings import Settings

_KIND = "attempt"


@dataclass(frozen=True)
class Attempt:
    """A try of a candidate's fit. ``state`` is running until the try says otherwise, also when it was killed;
    ``failure`` and ``problem`` are of one that failed."""

    pipeline: str
    candidate: str
    mlflow_run_id: str
    rung: str
    dag_run: str
    try_number: int
    began_at: str
    state: Literal["running", "done", "failed"] = "running"
    failure: FailureKind | None = None
    problem: str = ""


def _name(mlflow_run_id: str, rung: str) -> str:
    return f"{mlflow_run_id}@{rung}"


def begin_attempt(
    settings: Settings,
    pipeline: str,
    candidate: str,
    mlflow_run_id: str,
    rung: str,
    *,
    dag_run: str,
    try_number: int,
) -> Attempt:
    """Note that a try begins."""
    attempt = Attempt(pipeline, candidate, mlflow_run_id, rung, dag_run, try_number, utc_now())
    write_record(settings, pipeline, _KIND, _name(mlflow_run_id, rung), pack(attempt))
    return attempt


def end_attempt(settings: Settings, attempt: Attempt, failure: FailureKind | None = None, problem: str = "") -> None:
    """Note that it is over: done, or failed with a kind of ``failure``."""
    over = replace(attempt, state="failed" if failure else "done", failure=failure, problem=problem)
    write_record(settings, attempt.pipeline, _KIND, _name(attempt.mlflow_run_id, attempt.rung), pack(over))


def _parse(stored: dict[str, object]) -> Attempt:
    return unpack(Attempt, {name: value for name, value in stored.items() if name != "recorded_at"})


def read_attempt(settings: Settings, pipeline: str, mlflow_run_id: str, rung: str) -> Attempt | None:
    """The last try of the candidate's run on the rung, or None."""
    stored = read_record(settings, pipeline, _KIND, _name(mlflow_run_id, rung))
    return None if stored is None else _parse(stored)


def list_attempts(settings: Settings, pipeline: str, dag_run: str) -> list[Attempt]:
    """The last try of each candidate on each rung in a DAG run ("DAG/run"), the oldest first."""
    attempts = [_parse(stored) for _, stored in list_records(settings, pipeline, _KIND)]
    return [attempt for attempt in attempts if attempt.dag_run == dag_run]
