"""The part of a declaration that says how a blessed model reaches customers, and what is watched on the way.

Settings that SageMaker has too carry SageMaker's names.
"""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from include.declaration.kserve import KServeTarget
from include.declaration.parts import DurationText, Name, Part
from include.declaration.sagemaker import SageMakerTarget


class LocalTarget(Part):
    """An endpoint on this machine, at TOLLGATE_ENDPOINT_PORT + ``port_offset``."""

    kind: Literal["local"] = "local"
    port_offset: int = Field(0, ge=0, le=999)


class PredictionRule(Part):
    """Bounds that every single answer keeps, whatever the model says; at least one bound.

    ``action``: "clip" moves a prediction to the bound, "refuse" answers 500 for the whole request, and "champion" lets
    the champion answer where a candidate in its rollout broke the rule (and refuses where it was the champion itself).
    The rules travel with the model: a changed declaration holds from the next registered version on.
    """

    name: Name
    minimum: FiniteFloat | None = None
    maximum: FiniteFloat | None = None
    action: Literal["clip", "refuse", "champion"] = "champion"

    @model_validator(mode="after")
    def _check_bounds(self) -> PredictionRule:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give a minimum, a maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("the minimum is above the maximum")
        if self.name == "not_finite":
            raise ValueError("not_finite is what every pipeline has already: a number that is none is never an answer")
        if (self.minimum or 0.0) > 1 or (self.maximum is not None and self.maximum < 0):
            raise ValueError("no probability is within the bounds")
        return self


class DataCapture(Part):
    """Requests and answers that the endpoint keeps as Parquet, named as SageMaker's DataCaptureConfig names them.

    The files of one endpoint take at most ``max_mb``: beyond that the oldest go. A file is closed after ``rotate_mb``
    or ``rotate_seconds``. Capturing every request costs a compiled model's one-row request about a tenth of its CPU,
    and the writing of Parquet beside it a fifth more: ask for all where requests are few or rows are many.
    """

    enable_capture: bool = True
    initial_sampling_percentage: float = Field(10.0, ge=0, le=100)
    rotate_mb: float = Field(8.0, gt=0)
    rotate_seconds: float = Field(60.0, gt=0)
    max_mb: float = Field(512.0, gt=0)

    @model_validator(mode="after")
    def _check_room(self) -> DataCapture:
        if self.max_mb < 5 * self.rotate_mb:
            raise ValueError("max_mb has no room for five files of rotate_mb, which capturing needs at the least")
        return self


class LatencyGate(Part):
    """What a candidate's answers may cost, measured beside the champion under the same replayed load, in one run.

    ``rows`` stored rows a request, ``concurrency`` callers at a time, ``samples`` requests to each of both within
    ``max_seconds``; fewer answers never pass. The objective bounds are milliseconds, None: not asked. A candidate is
    also stopped when the lower bound of the bootstrap interval (``confidence``) of candidate ÷ champion at ``quantile``
    is above ``max_ratio`` and the difference is more than ``tolerance_ms``: below that nobody would notice, and trees
    would never follow a linear model. With
    ``max_ratio`` None no champion is asked, which is the way past one that cannot be served any more.
    """

    rows: int = Field(1, ge=1, le=10_000)
    concurrency: int = Field(1, ge=1, le=64)
    samples: int = Field(1000, ge=200)
    p50_ms: float | None = Field(None, gt=0)
    p95_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)
    quantile: float = Field(0.5, gt=0, lt=1)
    # 800 samples prove a regression of 15 % to be more than 5 % nine times of ten, and more than 10 % half the time.
    max_ratio: float | None = Field(1.05, ge=1)
    tolerance_ms: float = Field(0.5, ge=0)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    # Starting, measuring and logging fit into the time that any task has.
    max_seconds: float = Field(120.0, gt=0, le=600)


class CapacitySize(Part):
    """A share of the traffic, in percent."""

    type: Literal["CAPACITY_PERCENT"] = "CAPACITY_PERCENT"
    value: int = Field(10, ge=1, le=100)


class TrafficRouting(Part):
    """How traffic moves to the candidate: "CANARY" first ``canary_size`` for ``wait_interval_in_seconds``, then all;
    "LINEAR" by ``linear_step_size`` at every interval; "ALL_AT_ONCE" all. The first version of an endpoint has nobody
    to share with and gets all."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"] = "CANARY"
    canary_size: CapacitySize = CapacitySize()
    linear_step_size: CapacitySize = CapacitySize(value=25)
    wait_interval_in_seconds: float = Field(2.0, ge=0, le=3600)


class AutoRollback(Part):
    """When the candidate is taken back, by itself. Nothing is judged before it was asked ``minimum_requests`` times;
    customers' requests and probes are then judged apart. What the champion cannot answer either is not held against it,
    nor for it: it passes with ``minimum_requests`` others.

    ``max_failure_rate``: errors, time-outs and broken prediction rules, of the requests it was given.
    ``max_mean_shift``: |mean prediction − the champion's on the same requests|, None: not asked. Predictions are taken
    for probabilities: a difference beyond ±1 counts as ±1.
    ``false_alarm``: the chance that a candidate as good as asked for is taken back all the same, over a whole rollout.
    """

    minimum_requests: int = Field(50, ge=1)
    max_failure_rate: float = Field(0.01, gt=0, lt=1)
    # A good refresh moves it too: a month of flights by 0.1.
    max_mean_shift: float | None = Field(0.25, gt=0)
    false_alarm: float = Field(0.001, gt=0, lt=0.5)


class Rollout(Part):
    """How a new version reaches customers, with SageMaker's names (DeploymentConfig) for what SageMaker has too.

    ``termination_wait_in_seconds`` is the bake: all traffic goes to the candidate, the champion stands behind it. A
    request with the header ``sticky_header`` always goes to the same side for the same value. The candidate has
    ``candidate_deadline_ms`` for a request and ``candidate_memory_mb`` in all; beyond them the champion answers.
    ``probe_requests_per_second`` stored rows are sent along, so that a rollout is judged without customers too.
    """

    traffic_routing_configuration: TrafficRouting = TrafficRouting()
    termination_wait_in_seconds: float = Field(2.0, ge=0, le=3600)
    maximum_execution_timeout_in_seconds: float = Field(600.0, gt=0)
    auto_rollback_configuration: AutoRollback = AutoRollback()
    sticky_header: str | None = "x-tollgate-key"
    candidate_deadline_ms: float = Field(500.0, gt=0)
    candidate_memory_mb: float = Field(1024.0, gt=0)
    probe_requests_per_second: float = Field(100.0, ge=0)


class Approval(Part):
    """A person must approve a deployment within ``within``; rejection or silence means not deployed."""

    within: DurationText = "1d"
    approvers: tuple[str, ...] = ()


# Whatever may serve a model; told apart by ``kind``.
AnyTarget = Annotated[LocalTarget | SageMakerTarget | KServeTarget, Field(discriminator="kind")]


class Deployment(Part):
    """Where and how a blessed model reaches customers."""

    target: AnyTarget = LocalTarget()
    approval: Approval | None = None
    sandbox_rows: int = Field(50, ge=1)
    sandbox_seconds: float = Field(60.0, gt=0)
    swap_seconds: float = Field(60.0, gt=0)
    latency: LatencyGate = LatencyGate()
    rollout: Rollout = Rollout()
    prediction_rules: tuple[PredictionRule, ...] = ()
    data_capture: DataCapture = DataCapture()

    @property
    def port_offset(self) -> int | None:
        """Where the endpoint listens beyond TOLLGATE_ENDPOINT_PORT; None where a service serves, not this machine."""
        return self.target.port_offset if isinstance(self.target, LocalTarget) else None

    @model_validator(mode="after")
    def _check_rules(self) -> Deployment:
        names = [rule.name for rule in self.prediction_rules]
        if len(set(names)) != len(names):
            raise ValueError("two prediction rules have the same name")
        lowest = max((rule.minimum for rule in self.prediction_rules if rule.minimum is not None), default=-inf)
        highest = min((rule.maximum for rule in self.prediction_rules if rule.maximum is not None), default=inf)
        if lowest > highest:
            raise ValueError("no prediction could keep all of the prediction rules")
        return self

    @model_validator(mode="after")
    def _check_rollout(self) -> Deployment:
        if isinstance(self.target, SageMakerTarget):
            routing = self.rollout.traffic_routing_configuration
            size = routing.linear_step_size if routing.type == "LINEAR" else routing.canary_size
            seconds = self.rollout.maximum_execution_timeout_in_seconds
            problem = self.target.find_obstacle(routing.type, size.value, seconds)
            if problem:
                raise ValueError(problem)
        return self
