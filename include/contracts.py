"""What crosses from one task to the next: small frozen values, never data.

Airflow carries plain JSON, so a task returns ``pack(value)`` and the next one calls ``unpack(Type, packed)``; unknown
or mistyped fields fail there instead of three tasks later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import msgspec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

Verdict = Literal["pass", "warn", "block"]
Severity = Literal["critical", "warning", "info"]
FindingStatus = Literal["passed", "failed", "errored"]
CheckKind = Literal["value", "change", "slice", "rule", "calibration"]
CheckStatus = Literal["pass", "fail", "not_evaluated", "error"]

# Columns of a training set's and a predictions file beside the request columns, none of which may have these names:
# the label (0.0 or 1.0), the row's day (ISO date; "day" alone is a request column of many) and the probability.
LABEL_COLUMN = "label"
DAY_COLUMN = "event_day"
PREDICTION_COLUMN = "prediction"


# JSON has no NaN and no infinity, and Airflow refuses them; a metric that is one must still reach its verdict.
_NOT_FINITE = "not_finite"


def _replace_floats(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_NOT_FINITE: str(value)}
    if isinstance(value, dict):
        return {name: _replace_floats(item) for name, item in value.items()}
    return [_replace_floats(item) for item in value] if isinstance(value, list | tuple) else value


def _restore_floats(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_NOT_FINITE}:
            return float(value[_NOT_FINITE])
        return {name: _restore_floats(item) for name, item in value.items()}
    return [_restore_floats(item) for item in value] if isinstance(value, list | tuple) else value


@overload
def pack(value: DataclassInstance) -> dict[str, Any]: ...
@overload
def pack(value: Sequence[DataclassInstance]) -> list[Any]: ...
def pack(value: Any) -> Any:
    """Return ``value`` (a contract, or a list of them) as plain JSON types; NaN and infinities survive."""
    return _replace_floats(msgspec.to_builtins(value))


def unpack(kind: type[T], packed: Any) -> T:
    """Rebuild a contract from ``pack``'s output. Raises msgspec.ValidationError naming the field that does not fit."""
    return msgspec.convert(_restore_floats(packed), kind)


@dataclass(frozen=True)
class Arrival:
    """A complete file in the landing folder. ``path`` is absolute; ``size`` in bytes; ``mtime_ns`` as stat gives it.

    ``partition`` is empty when the file's name is not a usable partition name. ``inode`` 0 means "not known".
    """

    pipeline: str
    partition: str
    path: str
    size: int
    mtime_ns: int
    inode: int = 0


@dataclass(frozen=True)
class Refresh:
    """An arrival taken in: ``snapshot`` is our own immutable copy, ``fingerprint`` its SHA-256 in hex."""

    pipeline: str
    partition: str
    fingerprint: str
    snapshot: str
    format: Literal["parquet", "csv"]
    size: int
    source: str


@dataclass(frozen=True)
class RuleFinding:
    """The outcome of one rule. ``unexpected_percent`` is of the non-null rows, 0 to 100; at most 10 ``examples``."""

    rule: str
    status: FindingStatus
    severity: Severity
    column: str | None = None
    detail: str = ""
    observed: str | None = None
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateReport:
    """The stored evidence of one gate and its verdict. ``findings`` holds every rule that did not simply pass."""

    pipeline: str
    gate: Literal["schema", "refresh", "features", "predictions"]
    subject: str
    verdict: Verdict
    rows: int
    rules_declared: int
    rules_evaluated: int
    rules_version: str
    engine: Literal["metadata", "duckdb", "pandas"]
    seconds: float
    findings: tuple[RuleFinding, ...] = ()
    report_path: str = ""
    docs_path: str = ""


@dataclass(frozen=True)
class SplitRows:
    """A refresh split by its rules: ``landed == kept + quarantined``; both files are Parquet."""

    kept_path: str
    quarantined_path: str
    landed: int
    kept: int
    quarantined: int
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PartitionRef:
    """One published version of one partition. ``version`` is content-addressed; ``path`` is the Parquet file."""

    pipeline: str
    partition: str
    version: str
    fingerprint: str
    path: str
    rows: int
    quarantined: int
    verdict: Verdict
    rules_version: str
    report_path: str
    docs_path: str
    published_at: str


@dataclass(frozen=True)
class Window:
    """The partitions a training uses, oldest first; ``key`` is the newest, ``digest`` names the exact versions."""

    pipeline: str
    key: str
    partitions: tuple[PartitionRef, ...]
    digest: str


@dataclass(frozen=True)
class TrainingSet:
    """Files of one prepared training set under ``folder`` and the figures that describe it.

    ``holdout`` says what the holdout is, for a person ("2013-05", or "last third of 2013-01 by day").
    """

    pipeline: str
    partition: str
    folder: str
    digest: str
    window_digest: str
    train_rows: int
    holdout_rows: int
    train_base_rate: float
    holdout_base_rate: float
    missing_labels: int
    holdout: str
    seconds: float


@dataclass(frozen=True)
class TrainedModel:
    """One candidate as logged to MLflow. ``metrics`` are on the holdout; seconds are wall, ``fit_cpu_seconds`` CPU."""

    candidate: str
    run_id: str
    model_uri: str
    metrics: Mapping[str, float]
    fit_seconds: float
    fit_cpu_seconds: float
    predictions_path: str


@dataclass(frozen=True)
class Check:
    """One comparison inside a blessing. A number that is missing or not finite has status ``error``, never ``pass``."""

    name: str
    kind: CheckKind
    status: CheckStatus
    observed: float | None = None
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Blessing:
    """The verdict on one candidate, with both model ids and every comparison."""

    pipeline: str
    partition: str
    candidate: str
    candidate_run_id: str
    candidate_model_uri: str
    champion_version: str | None
    blessed: bool
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    training_set_digest: str
    window_digest: str


@dataclass(frozen=True)
class LatencyFigures:
    """What answering cost one version: quantiles in ms over ``requests`` answers, CPU in ms a request of its process.

    A figure that could not be had is NaN; CPU time that the system does not tell is None.
    """

    version: str
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests_per_second: float
    cpu_ms: float | None
    scoring_path: str


@dataclass(frozen=True)
class LatencyReport:
    """The verdict on what a candidate's answers cost, with every figure; ``changed`` is what sets it apart from the
    champion. ``resamples`` draws of ``blocks`` interleaved blocks made the interval."""

    pipeline: str
    version: str
    partition: str
    rows: int
    concurrency: int
    candidate: LatencyFigures
    champion: LatencyFigures | None
    checks: tuple[Check, ...]
    passed: bool
    reasons: tuple[str, ...]
    changed: tuple[str, ...]
    blocks: int
    resamples: int
    seconds: float


@dataclass(frozen=True)
class ModelVersion:
    """A registered model version of the pipeline (its registered-model name is the pipeline's name)."""

    pipeline: str
    version: str
    run_id: str
    model_uri: str
    partition: str
    training_set_digest: str


@dataclass(frozen=True)
class Deployment:
    """What the endpoint serves after a deployment. ``deployed_at`` is ISO 8601 in UTC."""

    pipeline: str
    target: str
    version: str
    previous_version: str | None
    partition: str
    endpoint_url: str
    deployed_at: str
    reason: str


@dataclass(frozen=True)
class Rollback:
    """An earlier version was put back. ``who`` asked for it, through the run or program ``by``; ``served_at`` is ISO
    8601 in UTC. ``checked`` says how its answers were looked at, ``problems`` what is still to be done and by whom."""

    pipeline: str
    left: str
    version: str
    partition: str
    who: str
    by: str
    reason: str
    served_at: str
    checked: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunIdentity:
    """Who does the work: the orchestrator's run and task, and the page on which a person can see it."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int = 1
    map_index: int = -1
    url: str = ""
