"""The part of a declaration that has SageMaker serve a model. What SageMaker names too carries its name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from include.declaration.parts import Part

# What SageMaker takes for a rollout in all, in seconds.
SHORTEST_EXECUTION, LONGEST_EXECUTION = 600, 28_800


class Serverless(Part):
    """Capacity by the request, none kept. SageMaker has no guardrails for it: all traffic moves at once."""

    memory_size_in_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    max_concurrency: int = Field(20, ge=1, le=200)


class Autoscaling(Part):
    """Instances follow the load: ``target_invocations`` a minute for each, between both capacities."""

    min_capacity: int = Field(2, ge=1)
    max_capacity: int = Field(4, ge=1)
    target_invocations: float = Field(1000.0, gt=0)
    scale_in_cooldown: int = Field(300, ge=0)
    scale_out_cooldown: int = Field(60, ge=0)

    @model_validator(mode="after")
    def _check_order(self) -> Autoscaling:
        if self.min_capacity > self.max_capacity:
            raise ValueError("min_capacity is above max_capacity")
        return self


class Alarms(Part):
    """When CloudWatch takes a release back. The share of 5xx answers and the traffic below which nothing is judged are
    those of ``rollout.auto_rollback_configuration``; here is what SageMaker has beside.

    ``model_latency_ms`` bounds the ``model_latency_statistic`` of ModelLatency, None: not asked. A period is
    ``period`` seconds; ``evaluation_periods`` of them in a row trip an alarm.
    """

    model_latency_ms: float | None = Field(None, gt=0)
    model_latency_statistic: Literal["Average", "p50", "p90", "p95", "p99", "p99.9"] = "p99"
    period: int = 60
    evaluation_periods: int = Field(1, ge=1, le=100)

    @field_validator("period")
    @classmethod
    def _check_period(cls, period: int) -> int:
        if period not in (10, 30) and (period <= 0 or period % 60):
            raise ValueError("CloudWatch has periods of 10, 30 or a multiple of 60 seconds")
        return period


class SageMakerTarget(Part):
    """A real-time endpoint of SageMaker.

    ``role_arn`` is what the endpoint runs as; artifacts and captured requests go below ``s3://bucket/prefix/``.
    ``image_uri`` is the server's own image (Dockerfile.serving) in ECR, or "mlflow" for the one that MLflow builds and
    pushes into the role's account. ``connection_id`` names Airflow's connection; None: AWS's default chain.
    A rollout is looked at every ``poll_seconds``.
    """

    kind: Literal["sagemaker"] = "sagemaker"
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field("tollgate", pattern=r"^[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*$")
    image_uri: str = Field(min_length=1)
    instance_type: str = Field("ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")
    instance_count: int = Field(2, ge=1)
    serverless: Serverless | None = None
    autoscaling: Autoscaling | None = None
    alarms: Alarms = Alarms()
    container_startup_seconds: int = Field(300, ge=60, le=3600)
    model_download_seconds: int = Field(300, ge=60, le=3600)
    connection_id: str | None = None
    poll_seconds: float = Field(10.0, gt=0, le=300)

    @model_validator(mode="after")
    def _check_capacity(self) -> SageMakerTarget:
        if self.serverless is not None and self.autoscaling is not None:
            raise ValueError("serverless scales by itself: leave autoscaling out")
        return self

    @property
    def smallest_fleet(self) -> int:
        """The fewest instances that a release can be given."""
        return self.autoscaling.min_capacity if self.autoscaling is not None else self.instance_count

    def find_obstacle(self, routing: str, share_percent: int, seconds: float) -> str:
        """Why SageMaker could not roll out so; "" when it can. ``share_percent`` is the canary or the linear step,
        ``seconds`` the whole rollout's limit."""
        if not SHORTEST_EXECUTION <= seconds <= LONGEST_EXECUTION:
            limits = f"{SHORTEST_EXECUTION} to {LONGEST_EXECUTION}"
            return f"maximum_execution_timeout_in_seconds is {seconds:g}; SageMaker takes {limits}"
        if routing == "ALL_AT_ONCE":
            return ""
        if self.serverless is not None:
            return f"a serverless endpoint has no {routing} shift: declare ALL_AT_ONCE"
        if share_percent > 50:
            return f"SageMaker shifts at most 50 % of a fleet in one step of {routing}, not {share_percent} %"
        fleet = self.smallest_fleet
        if fleet * share_percent < 100:
            needed = -(-100 // share_percent)
            smallest = f"the smallest share of {fleet} is {-(-100 // fleet)} %" if fleet > 1 else "one cannot be shared"
            return f"{share_percent} % of {fleet} instances is none ({smallest}); {needed} instances can give it"
        return ""
