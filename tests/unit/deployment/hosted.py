"""A pipeline that declares SageMaker, and its target on an AWS in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.declaration import (
    AutoRollback,
    CapacitySize,
    Deployment,
    Pipeline,
    Rollout,
    SageMakerTarget,
    TrafficRouting,
)
from include.deployment.recorded import record_live
from include.deployment.sagemaker.target import SageMakerEndpoint
from include.deployment.target import Progress, Release
from include.settings import Settings
from tests.unit.cloud.fake_aws import FakeAws
from tests.unit.deployment.steps import make_version
from tests.unit.factory import make_pipeline

ENDPOINT = "tollgate-parcels"


def declare_target(**changes: Any) -> SageMakerTarget:
    given: dict[str, Any] = {
        "region": "us-east-1",
        "role_arn": "arn:aws:iam::123456789012:role/serving",
        "bucket": "models",
        "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/tollgate-serving:0.1.0",
        "instance_count": 2,
    }
    return SageMakerTarget(**{**given, **changes})


def declare_pipeline(name: str = "parcels", rollout: Rollout | None = None, **changes: Any) -> Pipeline:
    """Two instances, half of them as canary."""
    routing = TrafficRouting(type="CANARY", canary_size=CapacitySize(value=50), wait_interval_in_seconds=60)
    rollout = rollout or Rollout(
        traffic_routing_configuration=routing,
        termination_wait_in_seconds=120,
        maximum_execution_timeout_in_seconds=1800,
        auto_rollback_configuration=AutoRollback(minimum_requests=20, max_failure_rate=0.05),
    )
    return make_pipeline(name, deployment=Deployment(target=declare_target(**changes), rollout=rollout))


def record_served(settings: Settings, pipeline: Pipeline, progress: Progress, left: str | None = None) -> None:
    """What the steps write down once a version is live."""
    record_live(settings, pipeline.name, "sagemaker", "url", progress, "2013-01", "a test", "because", left=left)


@dataclass
class Hosted:
    """One pipeline's target on an AWS in memory, with models 1 to 3 to deploy."""

    settings: Settings
    pipeline: Pipeline
    aws: FakeAws
    folder: Path

    @property
    def target(self) -> SageMakerEndpoint:
        """A new one each time: nothing may hang on an object's memory."""
        declared = self.pipeline.deployment.target
        assert isinstance(declared, SageMakerTarget)
        return SageMakerEndpoint(self.settings, self.pipeline, declared, self.aws)

    def make_release(self, number: str, by: str = "") -> Release:
        model_dir = self.folder / f"model-{number}"
        if not model_dir.exists():
            model_dir.mkdir(parents=True)
            (model_dir / "MLmodel").write_text(f"version: {number}\n")
        return Release(make_version(number), model_dir, "", by or f"parcels.deploy_model/run-{number}", "because")

    def go_live(self, number: str) -> Progress:
        """Deploy, let the service end its rollout, and record it, as the steps do."""
        self.target.deploy(self.make_release(number))
        self.aws.settle()
        progress = self.target.check(number)
        assert progress.state == "live"
        self.record(progress)
        return progress

    def record(self, progress: Progress, left: str | None = None) -> None:
        record_served(self.settings, self.pipeline, progress, left)

    @property
    def live_config(self) -> str:
        return str(self.aws.endpoints[ENDPOINT]["EndpointConfigName"])
