"""The typed form of a pipeline's declaration. Light on purpose: DAG files read it at every parse.

Functions are named, not imported: ``"features:assemble_requests"`` is the function of that name in the module
``features`` of the pipeline's own folder, resolved by ``include.declaration.resolve`` inside the task that needs it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from include.declaration.delivery import Deployment
from include.declaration.kserve import KServeTarget
from include.declaration.ladder import Ladder
from include.declaration.parts import FunctionName, Name, Part
from include.declaration.search import Search, check_metric
from include.declaration.sla import Sla
from include.scoring.expressions import Feature, iterate_columns

ColumnType = Literal["int", "float", "string", "timestamp", "bool"]


class Quarantine(Part):
    """Rows that break a rule with a tolerance are set aside; above ``max_share`` of all rows the refresh is blocked."""

    max_share: float = Field(0.01, ge=0, le=1)


class Data(Part):
    """What arrives. ``columns`` is the exact schema of a refresh file: name to type.

    ``schedule`` is the cron of the partitions: the tick of a partition is the start of its period, so the partition
    of tick t is ``t`` written in ``partition_format`` (strftime). ``first``/``last`` bound what is scheduled and
    backfilled; a file of a partition outside them is refused.
    """

    columns: dict[str, ColumnType] = Field(min_length=1)
    partition_format: str = "%Y-%m"
    schedule: str = "0 0 1 * *"
    first: str
    last: str | None = None
    formats: tuple[Literal["parquet", "csv"], ...] = ("parquet", "csv")
    settle_seconds: float = Field(5.0, ge=0)
    poll_seconds: float = Field(1.0, gt=0)
    suite: Name
    suite_parameters: dict[str, Any] = {}
    engine: Literal["duckdb", "pandas"] = "duckdb"
    quarantine: Quarantine = Quarantine()

    @model_validator(mode="after")
    def _check_bounds(self) -> Data:
        for bound in (self.first, self.last):
            if bound is not None:
                self.parse_partition(bound)
        return self

    def parse_partition(self, partition: str) -> datetime:
        """Start of the partition's period (naive). Raises ValueError when the name does not fit the format."""
        start = datetime.strptime(partition, self.partition_format)
        if start.strftime(self.partition_format) != partition:
            raise ValueError(f"partition {partition!r} is not written as {self.partition_format}")
        return start


class Reference(Part):
    """A reference table: ``load`` is ``module:function`` returning a pandas frame, its ``key`` column unique.

    A table named in a row feature is stored inside the model; one that is not is only used to assemble requests.
    """

    load: FunctionName
    key: str | None = None


class Label(Part):
    """``function(rows) -> Series`` of 0.0, 1.0 or NaN (no label), aligned with the rows."""

    function: FunctionName
    definition: str
    max_missing_share: float = Field(ge=0, le=1)
    base_rate: tuple[float, float]


class RequestColumn(Part):
    """A column of the raw request. ``number`` is a 64-bit float; an optional column may be absent or null. A
    ``private`` one is never written down by the endpoint."""

    type: Literal["number", "string"]
    required: bool = False
    description: str = ""
    private: bool = False


class Request(Part):
    """What a caller knows before the outcome: the model's signature.

    ``assemble(rows, references) -> DataFrame`` gives exactly ``columns`` for historical rows, aligned with them.

    The endpoint refuses a row that does not fit, naming the column. A model whose callers cannot do better may relax
    that: a column that is not declared is then ignored, a null in a required column is left to the model (an absent
    column is still refused), and a text in a number column is read as the number that it spells.
    """

    columns: dict[str, RequestColumn] = Field(min_length=1)
    assemble: FunctionName
    unknown_columns: Literal["refuse", "ignore"] = "refuse"
    required_nulls: Literal["refuse", "accept"] = "refuse"
    number_texts: Literal["refuse", "read"] = "refuse"


class Leakage(Part):
    """Columns of the rows that are known only after the outcome. None may be a request column, and a probe scrambles
    them in single rows and refuses the training when one of those rows' own requests changes."""

    known_after: tuple[str, ...]
    probe_rows: int = Field(20, ge=1)


class Candidate(Part):
    """A model to try: ``kind`` is a built-in recipe; or "custom", with ``module:function(seed, threads, **parameters)``
    returning an unfitted scikit-learn estimator that takes the declared features as a frame. Further parameters may be
    left to a ``search``."""

    name: Name
    kind: Literal["boosted_trees", "linear", "naive", "custom"]
    parameters: dict[str, Any] = {}
    function: FunctionName | None = None
    search: Search | None = None

    @model_validator(mode="after")
    def _check_function_given(self) -> Candidate:
        if (self.kind == "custom") != (self.function is not None):
            raise ValueError('kind "custom" takes a function, and no other kind does')
        return self

    @model_validator(mode="after")
    def _check_search(self) -> Candidate:
        both = sorted(set(self.parameters) & set(self.search.space)) if self.search else []
        if both:
            raise ValueError(f"{', '.join(both)} in both parameters and search.space; declare it or search for it")
        return self


class Training(Part):
    """How candidates are fitted. The window is expanding: every validated partition up to the newest, or the last
    ``window`` of them. ``day_columns`` are the row columns that make a row's calendar day. ``ladder`` are the machines
    that it may be done on; a fit takes at most ``max_minutes``."""

    candidates: tuple[Candidate, ...] = Field(min_length=1)
    window: int | None = Field(None, ge=2)
    day_columns: tuple[str, ...]
    seed: int = 20130101
    features_suite: Name
    features_suite_parameters: dict[str, Any] = {}
    max_minutes: float = Field(30.0, gt=0)
    ladder: Ladder = Ladder()


class Threshold(Part):
    """Bounds of one metric on the holdout; at least one bound."""

    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _check_one_bound(self) -> Threshold:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give a minimum, a maximum or both")
        return self


class Change(Part):
    """Against the champion on the same rows: promoted only if the lower bound of the interval of
    (candidate − champion) of ``metric`` is above −margin (higher is better; for a metric where lower is better the
    sign is turned)."""

    metric: str = "roc_auc"
    margin: float = Field(0.005, ge=0)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    resamples: int = Field(400, ge=100)


class Slice(Part):
    """Each value of ``column`` (a request column) with enough support is checked on its own; one with less is listed
    as not evaluated; a value in ``required`` that is missing or cannot be evaluated blocks."""

    column: str
    metric: str = "roc_auc"
    minimum: float | None = None
    margin: float | None = Field(None, ge=0)
    min_rows: int = Field(500, ge=1)
    min_per_class: int = Field(50, ge=1)
    required: tuple[str, ...] = ()


class Calibration(Part):
    """``max_gap``: largest allowed |mean prediction − rate of positives| on the holdout."""

    max_gap: float = Field(gt=0, le=1)


class BlessingRules(Part):
    """What a candidate must pass. ``predictions_suite`` holds the business rules; it sees the request columns, the
    label and the column ``prediction``."""

    primary_metric: str = "roc_auc"
    value: dict[str, Threshold] = Field(min_length=1)
    change: Change = Change()
    slices: tuple[Slice, ...] = ()
    predictions_suite: Name
    predictions_suite_parameters: dict[str, Any] = {}
    calibration: Calibration | None = None


class Pipeline(Part):
    """One model from refresh to served prediction. ``package`` and ``folder`` are filled in by the loader."""

    name: Name
    owner: tuple[str, ...] = Field(min_length=1)
    description: str
    data: Data
    references: dict[str, Reference] = {}
    label: Label
    request: Request
    leakage: Leakage
    features: tuple[Feature, ...] = Field(min_length=1)
    training: Training
    blessing: BlessingRules
    deployment: Deployment = Deployment()
    sla: Sla = Sla()
    package: str = ""
    folder: str = ""

    @model_validator(mode="after")
    def _check_references(self) -> Pipeline:
        leaked = sorted(set(self.request.columns) & set(self.leakage.known_after))
        if leaked:
            raise ValueError(f"request columns known only after the outcome: {', '.join(leaked)}; drop them")
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("two features have the same name")
        for feature in self.features:
            unknown = sorted(iterate_columns(feature.expression) - set(self.request.columns))
            if unknown:
                raise ValueError(f"feature {feature.name} reads {', '.join(unknown)}, not a request column")
        for piece in self.blessing.slices:
            if piece.column not in self.request.columns:
                raise ValueError(f"slice column {piece.column} is not a request column")
        target = self.deployment.target
        problem = target.find_name_obstacle(self.name) if isinstance(target, KServeTarget) else ""
        if problem:
            raise ValueError(problem)
        candidates = [candidate.name for candidate in self.training.candidates]
        if len(set(candidates)) != len(candidates):
            raise ValueError("two candidates have the same name")
        for candidate in self.training.candidates:
            if candidate.search is not None and candidate.search.metric is None:
                try:
                    check_metric(self.blessing.primary_metric)
                except ValueError as error:
                    raise ValueError(f"the search of {candidate.name} needs a metric of its own: {error}") from None
        return self
